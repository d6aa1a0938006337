"""Prices as shops write them to minor units with an ISO 4217 currency. Pure.

price-parser reads one amount and its currency; which of the amounts in a text is the price to
pay ("2 pairs from $349", "was $499 now $349", "20% off") is decided here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from itertools import zip_longest

from price_parser import Price

from advisor.crawling.currencies import CURRENCIES, exponent_of

_SYMBOLS = {
    "€": "EUR", "£": "GBP", "$": "USD", "US$": "USD", "C$": "CAD", "CA$": "CAD", "A$": "AUD",
    "AU$": "AUD", "NZ$": "NZD", "¥": "JPY", "円": "JPY", "₹": "INR", "₩": "KRW", "₽": "RUB",
    "NT$": "TWD", "HK$": "HKD", "S$": "SGD", "MX$": "MXN", "Rs.": "INR", "Rs": "INR",
    "₺": "TRY", "₪": "ILS", "₫": "VND", "₴": "UAH", "฿": "THB", "R$": "BRL", "zł": "PLN",
    "Kč": "CZK", "Ft": "HUF", "lei": "RON", "Fr.": "CHF", "Euro": "EUR", "euro": "EUR",
}  # fmt: skip
_SIGNS = "|".join(
    re.escape(one) + (r"(?![^\W\d_])" if one[-1].isalpha() else "")
    for one in sorted({*_SYMBOLS, *CURRENCIES}, key=len, reverse=True)
)
# No two ways to read a text, or a page could make it slow: hence the look ahead, which is not
# gone back into. (++ would say so, too, but means something else before Python 3.11.4.)
_AMOUNT = re.compile(
    rf"(?P<prefix>(?<![^\W\d_])(?:{_SIGNS})\s?)?"
    r"(?P<number>(?:(?=(?P<thousands>\d{1,3}(?:[.,' \u00a0\u202f]\d{3})+))(?P=thousands)(?!\d)"
    r"|\d+(?!\d))(?:[.,]\d{1,3}(?!\d))?)"
    rf"(?:[.,][-\u2013\u2014]+)?(?P<suffix>\s?(?:{_SIGNS}))?",
    re.IGNORECASE,
)
_DASH = re.compile(r"\s*(?:[-\u2013\u2014]|to|bis)\s*", re.IGNORECASE)
_MINUS = re.compile(r"[-\u2212]\s?$")
_NO_PRICE = re.compile(
    r"\s?(?:%|x\b|\u00d7|for\b|pairs?\b|pack|pcs|pieces|st\u00fcck)", re.IGNORECASE
)
_PER_UNIT = re.compile(
    r"\s?(?:/|per\b|pro\b|je\b)\s?\d*\s?(?:100|kg|g|l|ml|m|unit|st)", re.IGNORECASE
)
_GONE = re.compile(r"\b(?:was|before|instead|statt|vorher|bisher|save|spare)\b[^\d]*$")
_OLD = re.compile(_GONE.pattern + r"|\b(?:rrp|srp|msrp|uvp|list|regular|old|original)\b[^\d]*$")
_NOW = re.compile(r"\b(?:now|sale|jetzt|nur|only|our)\b[^\d]*$")
_PLAIN_NUMBER = re.compile(r"\d{1,15}(\.\d{1,6})?")
_SIMPLE = re.compile(r"([€£]) ?([1-9][0-9]{0,5}(?:\.[0-9]{2})?)")  # as most are; read at once
_MAX_MINOR = 10**15  # beyond it a page holds an article number, not a price
_MAX_CHARS = 100  # a page may say anything; a price is short


@dataclass(frozen=True)
class Money:
    """An amount in minor units (cents) of an ISO 4217 currency. text: what it was read from."""

    minor: int
    currency: str
    text: str = field(default="", compare=False)


def parse_price(text: str, *, currency: str = "") -> Money | None:
    """Read a price; None where there is none, or no currency to give it a meaning.

    text: as on the page ("€1.299,00", "GBP 45", "119.99"). currency: what the page says of it
    elsewhere, ISO code or symbol; where text names another one, text is right, except that a
    bare "$" or "¥" says less than an ISO code. Of a range it is the lower end; of "was ... now
    ..." the latter; quantities, percentages, prices of a kilogram and amounts below zero are no
    price.
    """
    plain = text.strip()[:_MAX_CHARS]
    if _PLAIN_NUMBER.fullmatch(plain):  # schema.org: a point is the decimal point
        amount: Decimal | None = Decimal(plain)
        found = ""
    elif simple := _SIMPLE.fullmatch(plain):
        found, amount = simple[1], Decimal(simple[2])
    else:
        amount, found = _amount_to_pay(plain)
    code = _iso(found)
    if not code or found in ("$", "¥"):
        code = _iso(currency) or code
    if amount is None or not code:
        return None
    minor = amount.scaleb(exponent_of(code))
    if not 0 <= minor < _MAX_MINOR:
        return None
    return Money(int(minor.quantize(Decimal(1), ROUND_HALF_UP)), code, plain)


def _amount_to_pay(text: str) -> tuple[Decimal | None, str]:
    """The amount to pay and its currency as written; None if there is none."""
    text = text.replace("\u2019", "'")
    amounts = _amounts(text)
    amounts = [one for one in amounts if one.currency] or amounts
    for one in [one for one in amounts if not _PER_UNIT.match(one.after)] or amounts:
        price = Price.fromstring(one.text)
        if price.amount is not None:
            return price.amount, one.currency
    return None, ""


@dataclass(frozen=True)
class _Amount:
    text: str
    currency: str  # as written; of a range the other end's
    before: str  # the words since the amount before it
    after: str

    @property
    def is_old(self) -> bool:
        """Whether it is what the thing did cost."""
        return bool(_OLD.search(self.before)) and not _NOW.search(self.before)


def _amounts(text: str) -> list[_Amount]:
    """The amounts in a text that may be the price to pay, in order."""
    matches = list(_AMOUNT.finditer(text))
    found: list[_Amount] = []
    end = 0
    for match, following in zip_longest(matches, matches[1:]):
        before, after = text[end : match.start()], text[match.end() :]
        end = match.end()
        currency = _clearest(match["prefix"], match["suffix"])
        is_range = following and _DASH.fullmatch(text[match.end() : following.start()])
        if is_range and following and not currency:
            currency = _clearest(following["prefix"], following["suffix"])
        below_zero = _MINUS.search(before) and not (found and _DASH.fullmatch(before))
        if not below_zero and not _NO_PRICE.match(after):
            found.append(_Amount(match["number"], currency, before.lower(), after))
    to_pay = [one for one in found if not one.is_old]
    if not to_pay:  # "was $499" and no more tells no price; a list price alone is one
        to_pay = [one for one in found if not _GONE.search(one.before)]
    return to_pay


def _clearest(*written: str | None) -> str:
    """The currency of an amount that may have one on both sides: the code ("$349 AUD")."""
    said = [one.strip() for one in written if one and one.strip()]
    return next((one for one in said if one.upper() in CURRENCIES), said[0] if said else "")


def _iso(text: str) -> str:
    text = text.strip()
    if text in _SYMBOLS:
        return _SYMBOLS[text]
    return text.upper() if re.fullmatch(r"[A-Za-z]{3}", text) else ""
