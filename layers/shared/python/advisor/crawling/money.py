"""Prices as shops write them to minor units with an ISO 4217 currency. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from price_parser import Price

_SYMBOLS = {
    "€": "EUR", "£": "GBP", "$": "USD", "US$": "USD", "C$": "CAD", "CA$": "CAD", "A$": "AUD",
    "AU$": "AUD", "NZ$": "NZD", "¥": "JPY", "円": "JPY", "₹": "INR", "₩": "KRW", "₽": "RUB",
    "₺": "TRY", "₪": "ILS", "₫": "VND", "₴": "UAH", "฿": "THB", "R$": "BRL", "zł": "PLN",
    "Kč": "CZK", "Ft": "HUF", "lei": "RON", "Fr.": "CHF", "Euro": "EUR", "euro": "EUR",
}  # fmt: skip
# ISO 4217 exponents other than two.
_NO_DECIMALS = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND"}
    | {"VUV", "XAF", "XOF", "XPF"}
)
_THREE_DECIMALS = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})
# ISO 4217, list one of 2026, without funds and metals.
_CODES = """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN
    BZD CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL
    GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF
    KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN
    MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD
    SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH
    UGX USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG
"""
CURRENCIES = frozenset(_CODES.split())
_PLAIN_NUMBER = re.compile(r"\d{1,15}(\.\d{1,6})?")
_MAX_MINOR = 10**15  # beyond it a page holds an article number, not a price
_MAX_CHARS = 100  # a page may say anything; a price is short


@dataclass(frozen=True)
class Money:
    """An amount in minor units (cents) of an ISO 4217 currency."""

    minor: int
    currency: str


def parse_price(text: str, *, currency: str = "") -> Money | None:
    """Read a price; None where there is none, or no currency to give it a meaning.

    text: as on the page ("€1.299,00", "GBP 45", "119.99"). currency: what the page says of it
    elsewhere, ISO code or symbol; where text names another one, text is right, except that a
    bare "$" or "¥" says less than an ISO code.
    """
    plain = text.strip()[:_MAX_CHARS]
    if _PLAIN_NUMBER.fullmatch(plain):  # schema.org: a point is the decimal point
        amount: Decimal | None = Decimal(plain)
        found = ""
    else:
        price = Price.fromstring(plain)
        amount, found = price.amount, price.currency or ""
    code = _iso(found)
    if not code or found in ("$", "¥"):
        code = _iso(currency) or code
    if amount is None or not code or not any(char.isdigit() for char in plain):
        return None  # price-parser reads "free delivery" as 0
    minor = amount.scaleb(exponent_of(code))
    if not 0 <= minor < _MAX_MINOR:
        return None
    return Money(int(minor.quantize(Decimal(1), ROUND_HALF_UP)), code)


def exponent_of(currency: str) -> int:
    """How many decimal digits the minor unit stands for: 2 for EUR, 0 for JPY, 3 for KWD."""
    if currency in _NO_DECIMALS:
        return 0
    return 3 if currency in _THREE_DECIMALS else 2


def _iso(text: str) -> str:
    text = text.strip()
    if text in _SYMBOLS:
        return _SYMBOLS[text]
    return text.upper() if re.fullmatch(r"[A-Za-z]{3}", text) else ""
