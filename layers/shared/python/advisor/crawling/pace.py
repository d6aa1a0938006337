"""When a crawl finds too few items to go on with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

GRACE_S = 120.0
GRACE_PAGES = 500
_MINUTE_S = 60.0


@dataclass
class Pace:
    """Looks once a minute whether at least so many items were found since it last looked.

    Not in the first two minutes and the first 500 pages, where a shop may have nothing but
    categories, and within which a small one ends by itself. A minute with fewer pages than the
    items asked for tells nothing of the shop either: a delay, a pause it asked for, or only
    photos left to fetch.
    """

    least: int
    started_at: float
    _looked_at: float = 0.0
    _items: int = 0
    _pages: int = 0

    def is_too_slow(self, counts: Mapping[str, int], *, now: float) -> bool:
        """Whether the minute that just ended brought too few items; False within a minute."""
        if not self.least or now - max(self._looked_at, self.started_at) < _MINUTE_S:
            return False
        items, pages = counts.get("items", 0), counts.get("pages", 0)
        found, fetched = items - self._items, pages - self._pages
        early = now - self.started_at < GRACE_S + _MINUTE_S or self._pages < GRACE_PAGES
        self._looked_at, self._items, self._pages = now, items, pages
        return not early and fetched >= self.least > found
