"""The GTINs below are GS1's own examples and codes printed on real goods."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.catalog.gtin import normalise_gtin


@pytest.mark.parametrize(
    ("text", "gtin"),
    [
        ("4006381333931", "04006381333931"),
        (" 4006-3813 33931\u2011", "04006381333931"),
        ("036000291452", "00036000291452"),
        ("96385074", "00000096385074"),
        ("04006381333931", "04006381333931"),
        ("36000291452", "00036000291452"),  # a zero in front was lost
    ],
)
def test_pads_a_valid_code_to_14_digits(text: str, gtin: str) -> None:
    assert normalise_gtin(text) == gtin


@pytest.mark.parametrize(
    "text",
    ["", "4006381333932", "400638133393", "0000000000000", "ABC6381333931", "٤٠٠٦٣٨١٣٣٣٩٣١", "-"],
)
def test_anything_else_is_no_code(text: str) -> None:
    assert normalise_gtin(text) == ""


@given(st.integers(min_value=1, max_value=10**12 - 1))
def test_one_check_digit_of_ten_is_right(number: int) -> None:
    codes = [normalise_gtin(f"{number:012d}{digit}") for digit in range(10)]
    assert sum(map(bool, codes)) == 1


@given(st.text())
def test_any_text_gives_14_digits_or_nothing(text: str) -> None:
    gtin = normalise_gtin(text)
    assert gtin == "" or (len(gtin) == 14 and gtin.isdigit())
    assert normalise_gtin(gtin) == gtin
