"""GTINs (EAN, UPC, ISBN-13): the one code that names the same product in every shop."""

from __future__ import annotations

import re

# Codes have 8, 12, 13 or 14 digits; one of 9 to 11 is a longer one whose zeros in front a
# spreadsheet has eaten, which leaves its check digit right.
LENGTHS = range(8, 15)


def normalise_gtin(text: str) -> str:
    """The GTIN as 14 digits, or "" if the text is none.

    Spaces and hyphens are left out; the check digit must be right; a GTIN of 8 to
    13 digits is padded with zeros in front, which keeps its check digit (GS1 General
    Specifications, 7.9 and 3.2.2).
    """
    digits = re.sub(r"[\s\-\u2010-\u2015]", "", text)
    if len(digits) not in LENGTHS or not (digits.isascii() and digits.isdigit()):
        return ""
    if not digits.strip("0") or not _check_digit_is_right(digits):
        return ""
    return digits.zfill(14)


def _check_digit_is_right(digits: str) -> bool:
    weighted = sum(
        int(digit) * (3 if position % 2 else 1) for position, digit in enumerate(reversed(digits))
    )
    return weighted % 10 == 0
