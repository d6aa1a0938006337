"""How complete a crawl's items are, and which fields they lost since the crawl before. Pure.

A shop that changes its pages seldom breaks a spider whole: it loses the price, or the brand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from advisor.crawling.items import Item

FIELDS = ("images", "price_minor", "availability", "brand", "gtin", "mpn")  # others are required
MAX_LOSS = 0.2  # of the items: a field that a fifth of them loses is said to be lost
MIN_ITEMS = 10  # of fewer, a share says little
_PREFIX = "has:"


@dataclass(frozen=True, kw_only=True)
class LostField:
    """A field that fewer items have: shares of all items, 0 to 1."""

    name: str
    before: float
    now: float

    def __str__(self) -> str:
        return f"{self.name} (in {self.before:.0%} of the items before, in {self.now:.0%} now)"


def fields_of(item: Item) -> Iterable[str]:
    """The counters of a crawl that an item adds one to."""
    return (_PREFIX + name for name in FIELDS if getattr(item, name) not in ("", None, ()))


def shares(counts: Mapping[str, int]) -> dict[str, float]:
    """By field, the share of a crawl's items that have it; {} where there are too few items."""
    items = counts.get("items", 0)
    if items < MIN_ITEMS:
        return {}
    return {name: round(counts.get(_PREFIX + name, 0) / items, 4) for name in FIELDS}


def lost_fields(before: Mapping[str, float], now: Mapping[str, float]) -> list[LostField]:
    """The fields whose share fell by more than MAX_LOSS; none where either crawl says nothing."""
    return [
        LostField(name=name, before=before[name], now=now[name])
        for name in FIELDS
        if name in before and name in now and before[name] - now[name] > MAX_LOSS
    ]
