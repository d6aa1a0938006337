"""Starts a crawl of one shop, unless one is going on; called by schedule or by hand."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Literal, Self

from aws_lambda_powertools import Logger

from advisor.aws.crawl_turns import CrawlService
from advisor.aws.tokens import TokenQueue
from advisor.errors import UsageError
from advisor.settings import Settings

Trigger = Literal["manual", "schedule"]
_TRIGGERS: dict[object, Trigger] = {"manual": "manual", "schedule": "schedule"}

logger = Logger()


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


@cache
def default_service() -> CrawlService:
    settings = Settings.from_env(os.environ)
    queue = TokenQueue(settings.tokens_queue_url, settings.frontier_table)
    return CrawlService(frontier_table=settings.frontier_table, queue=queue)


def handler(
    event: Mapping[str, Any],
    _context: object,
    *,
    service: Callable[[], CrawlService] = default_service,
) -> dict[str, Any]:
    """Returns {"run_id", "started", "reason"}. A wrong event is an error of the function."""
    asked = StartCrawl.from_event(event)
    answer = service().start(
        asked.spider,
        base_url=asked.base_url,
        shop=asked.shop,
        limit=asked.limit,
        trigger=asked.trigger,
    )
    logger.info("crawl asked for", extra={**asdict(asked), **asdict(answer)})
    return asdict(answer)
