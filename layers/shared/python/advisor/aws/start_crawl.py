"""What a request for a crawl says: an event of a schedule, a call by hand, the body of a POST."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self

from advisor.crawling.crawl_settings import checked_setting
from advisor.errors import UsageError

Trigger = Literal["manual", "schedule"]
# What a run may be given for itself: how politely, how far and how long. The other settings say
# who asks (headers, cookies, which a run's record would show), where to go, or what the function's
# memory and time bear: they belong to the spider, and are deployed with it.
SETTINGS: Final = (
    "delay_s",
    "jitter",
    "concurrency",
    "max_attempts",
    "max_depth",
    "max_items",
    "max_pages",
    "max_bytes",
    "max_seconds",
    "min_items_a_minute",
    "min_photo_px",
    "sitemap",
)
MAX_CHARS: Final = 500  # of a text: it becomes part of a table's key, which ends at 2,048 bytes
_TRIGGERS: dict[object, Trigger] = {"manual": "manual", "schedule": "schedule"}


@dataclass(frozen=True, kw_only=True)
class StartCrawl:
    """The event: which spider, for which shop, until how many items (0: all), with what settings.

    settings: of SETTINGS; they win over the spider's own, and over limit.
    """

    spider: str
    base_url: str = ""
    shop: str = ""
    limit: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    trigger: Trigger = "manual"

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> Self:
        """Read the event. Raises: UsageError naming the field that cannot be used."""
        for name in ("spider", "base_url", "shop"):
            text = event.get(name) or ""
            if not isinstance(text, str) or len(text) > MAX_CHARS:
                raise UsageError(
                    f"{name} is {str(text)[:50]!r}; expected text of at most {MAX_CHARS} characters"
                )
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
            settings=_settings(event.get("settings") or {}),
            trigger=trigger,
        )


def _settings(given: object) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise UsageError(f"settings is {given!r}; expected an object of names and values")
    for name in given:
        if name not in SETTINGS:
            raise UsageError(
                f"{name!r} is no setting that a run on AWS can be given; "
                f"expected one of {', '.join(SETTINGS)}"
            )
    return {name: checked_setting(name, value) for name, value in given.items()}
