"""What people said: that two products are one or are not, and what a shop's category is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

# Product id -> other's id -> whether they are one product. Each pair stands there both ways.
Pins = Mapping[str, Mapping[str, bool]]


def pins_of(pairs: Iterable[tuple[str, str, bool]]) -> Pins:
    """Pins out of pairs of product ids and whether they are one product; the last word counts."""
    pins: dict[str, dict[str, bool]] = {}
    for one, other, same in pairs:
        pins.setdefault(one, {})[other] = same
        pins.setdefault(other, {})[one] = same
    return pins


def partners_of(product_ids: Iterable[str], pins: Pins) -> list[str]:
    """The products that people said are the same as one of these, without these themselves."""
    known = dict.fromkeys(product_ids)
    partners = (other for one in known for other, same in pins.get(one, {}).items() if same)
    return [one for one in dict.fromkeys(partners) if one not in known]


def match_id(one: str, other: str) -> str:
    """What a pair of products is known by, whichever is named first: 32 hex digits."""
    return _known_by(*sorted((one, other)))


def category_id(shop: str, category: str) -> str:
    """What a shop's category is known by: 32 hex digits."""
    return _known_by(shop, category)


def _known_by(*names: str) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:32]
