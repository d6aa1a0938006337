"""The words shops use for facts we keep in one form. Pure."""

from __future__ import annotations

import re

_GTIN_LENGTHS = (8, 12, 13, 14)
_AVAILABILITIES = (
    # Order matters: "out of stock" and "pre-order" are looked for before "in stock".
    ("out_of_stock", ("outofstock", "soldout", "discontinued", "notavailable", "unavailable")),
    ("preorder", ("preorder", "presale", "backorder", "comingsoon")),
    ("in_stock", ("instock", "instoreonly", "onlineonly", "limitedavailability", "available")),
)


def availability_of(text: str) -> str:
    """in_stock, out_of_stock, preorder, or "" for what is none of them.

    Reads schema.org's words ("https://schema.org/InStock") and the plain ones ("In stock").
    """
    letters = re.sub(r"[^a-z]", "", text.rsplit("/", 1)[-1].lower())
    for name, words in _AVAILABILITIES:
        if any(word in letters for word in words):
            return name
    return ""


def gtin_of(text: str) -> str:
    """The digits of a GTIN-8, -12, -13 or -14 (EAN, UPC), or "" for anything else."""
    digits = re.sub(r"[\s-]", "", text)
    plain = digits.isascii() and digits.isdigit() and len(digits) in _GTIN_LENGTHS
    return digits if plain else ""
