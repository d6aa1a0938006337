"""Brings lost tokens back, ends crawls that are done, tells of ends; called by schedule."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger

from advisor.aws.announcing import ClosedTopic
from advisor.aws.crawl_turns import CrawlService
from advisor.aws.tokens import TokenQueue
from advisor.settings import Settings

logger = Logger()


@cache
def default_service() -> CrawlService:
    settings = Settings.from_env(os.environ)
    queue = TokenQueue(settings.tokens_queue_url, settings.frontier_table)
    return CrawlService(
        frontier_table=settings.frontier_table,
        queue=queue,
        announce=ClosedTopic(settings.closed_topic_arn).announce,
    )


def handler(
    _event: object, _context: object, *, service: Callable[[], CrawlService] = default_service
) -> dict[str, Any]:
    """Returns {"tokens": sent again, "finished": runs ended, "announced": ends told}."""
    swept = service().sweep()
    logger.info("crawls swept", extra=asdict(swept))
    return asdict(swept)
