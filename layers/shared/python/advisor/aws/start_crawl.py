"""What a request for a crawl says: an event of a schedule, a call by hand, the body of a POST."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from advisor.errors import UsageError

Trigger = Literal["manual", "schedule"]
_TRIGGERS: dict[object, Trigger] = {"manual": "manual", "schedule": "schedule"}


@dataclass(frozen=True, kw_only=True)
class StartCrawl:
    """The event: which spider, for which shop, until how many items (0: all)."""

    spider: str
    base_url: str = ""
    shop: str = ""
    limit: int = 0
    trigger: Trigger = "manual"

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> Self:
        """Read the event. Raises: UsageError naming the field that cannot be used."""
        for name in ("spider", "base_url", "shop"):
            if not isinstance(event.get(name) or "", str):
                raise UsageError(f"{name} is {event[name]!r}; expected text")
        limit = event.get("limit") or 0
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 0:
            raise UsageError(f"limit is {limit!r}; expected a whole number of items")
        trigger: Trigger | None = _TRIGGERS.get(event.get("trigger") or "manual")
        if trigger is None:
            raise UsageError(f"trigger is {event['trigger']!r}; expected manual or schedule")
        return cls(
            spider=event.get("spider") or "",
            base_url=event.get("base_url") or "",
            shop=event.get("shop") or "",
            limit=limit,
            trigger=trigger,
        )
