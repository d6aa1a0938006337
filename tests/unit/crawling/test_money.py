from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.crawling.money import Money, exponent_of, parse_price


@pytest.mark.parametrize(
    ("text", "currency", "expected"),
    [
        ("€1,299.00", "", Money(129900, "EUR")),
        ("1.299,00 €", "", Money(129900, "EUR")),
        ("119.99", "USD", Money(11999, "USD")),
        ("1234.5", "EUR", Money(123450, "EUR")),
        ("0", "EUR", Money(0, "EUR")),
        ("£45", "EUR", Money(4500, "GBP")),
        ("$20", "CAD", Money(2000, "CAD")),
        ("$20", "", Money(2000, "USD")),
        ("¥5,980", "JPY", Money(5980, "JPY")),
        ("12.345", "KWD", Money(12345, "KWD")),
        ("GBP 45.10", "", Money(4510, "GBP")),
        ("1 495,00 kr", "SEK", Money(149500, "SEK")),
        ("10", "€", Money(1000, "EUR")),
        ("0.005", "EUR", Money(1, "EUR")),
        ("10", "", None),
        ("free", "EUR", None),
        ("", "EUR", None),
        ("9" * 30, "EUR", None),
        ("10", "not a code", None),
    ],
)
def test_reads_a_price(text: str, currency: str, expected: Money | None) -> None:
    assert parse_price(text, currency=currency) == expected


@given(st.text(max_size=40), st.sampled_from(["EUR", "JPY", "KWD", ""]))
def test_any_text_is_a_price_or_none(text: str, currency: str) -> None:
    money = parse_price(text, currency=currency)
    assert money is None or (money.minor >= 0 and len(money.currency) == 3)


@given(st.integers(0, 10**12), st.sampled_from(["EUR", "JPY", "KWD"]))
def test_an_amount_written_by_schema_org_rules_comes_back(minor: int, currency: str) -> None:
    digits = exponent_of(currency)
    text = f"{minor // 10**digits}.{minor % 10**digits:0{digits}d}" if digits else str(minor)
    assert parse_price(text, currency=currency) == Money(minor, currency)
