from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from advisor.crawling.currencies import exponent_of
from advisor.crawling.money import Money, parse_price


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
        ("2 pairs from $349", "", Money(34900, "USD")),
        ("CHF 3,999.00", "", Money(399900, "CHF")),
        ("Was $499.00 Now $349.00", "", Money(34900, "USD")),
        ("was 59,95 now 39,95", "EUR", Money(3995, "EUR")),
        ("Statt 99,99 € jetzt 79,99 €", "", Money(7999, "EUR")),
        ("RRP £100.00 Our price £80.00", "", Money(8000, "GBP")),
        ("Sale price $349.00 Regular price $499.00", "", Money(34900, "USD")),
        ("Regular price $499.00", "", Money(49900, "USD")),
        ("was $499", "", None),
        ("$10.00 - $20.00", "", Money(1000, "USD")),
        ("10 \u2013 20 €", "", Money(1000, "EUR")),
        ("USD 5 - 7", "", Money(500, "USD")),
        ("from £20 to £30", "", Money(2000, "GBP")),
        ("20% off €45.00", "", Money(4500, "EUR")),
        ("\u221220%  €45.00", "", Money(4500, "EUR")),
        ("12x $49.99", "", Money(4999, "USD")),
        ("3 for 10", "USD", Money(1000, "USD")),
        ("€4.50/100 g, €45.00", "", Money(4500, "EUR")),
        ("$ 12.50 / 100 g", "", Money(1250, "USD")),
        ("€ 1.299,-", "", Money(129900, "EUR")),
        ("1\u2019299.\u2013 CHF", "", Money(129900, "CHF")),
        ("CHF 1'299.00", "", Money(129900, "CHF")),
        ("$349 AUD", "", Money(34900, "AUD")),
        ("NT$ 1,000", "", Money(100000, "TWD")),
        ("1 299,00 zł", "", Money(129900, "PLN")),
        ("-5 €", "", None),
        ("€ -5.00", "", None),
        ("free delivery", "EUR", None),
    ],
)
def test_reads_a_price(text: str, currency: str, expected: Money | None) -> None:
    assert parse_price(text, currency=currency) == expected


def test_what_it_was_read_from_stays_with_the_price() -> None:
    money = parse_price(" was $499 now $349 ")
    assert money
    assert money.text == "was $499 now $349"


@given(st.text(max_size=40), st.sampled_from(["EUR", "JPY", "KWD", ""]))
def test_any_text_is_a_price_or_none(text: str, currency: str) -> None:
    money = parse_price(text, currency=currency)
    assert money is None or (money.minor >= 0 and len(money.currency) == 3)


@given(st.integers(0, 10**12), st.sampled_from(["EUR", "JPY", "KWD"]))
def test_an_amount_written_by_schema_org_rules_comes_back(minor: int, currency: str) -> None:
    digits = exponent_of(currency)
    text = f"{minor // 10**digits}.{minor % 10**digits:0{digits}d}" if digits else str(minor)
    assert parse_price(text, currency=currency) == Money(minor, currency)


@example("€1.299")
@example("£1234.5")
@example("€ 0.99")
@given(st.from_regex(r"\A[€£]\s?[0-9]{1,7}(\.[0-9]{1,3})?\Z"))
def test_a_price_in_its_simplest_form_is_what_the_whole_parser_makes_of_it(text: str) -> None:
    # A zero-width space keeps it from being in its simplest form.
    assert parse_price(text) == parse_price(f"\u200b{text}")
