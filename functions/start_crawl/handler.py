"""Starts a crawl of one shop, unless one is going on; called by schedule or by hand."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger

from advisor.aws.crawl_turns import CrawlService
from advisor.aws.start_crawl import StartCrawl
from advisor.aws.tokens import TokenQueue
from advisor.settings import Settings

logger = Logger()


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
        settings=asked.settings,
        trigger=asked.trigger,
    )
    logger.info("crawl asked for", extra={**asdict(asked), **asdict(answer)})
    return asdict(answer)
