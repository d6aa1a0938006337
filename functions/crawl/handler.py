"""Takes one turn at one host of a crawl for each token that SQS brings."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Protocol

from aws_lambda_powertools import Logger

from advisor.aws.alerts import AlertTable
from advisor.aws.announcing import ClosedTopic
from advisor.aws.catalog import CatalogTables
from advisor.aws.crawl_turns import CrawlService
from advisor.aws.tokens import Token, TokenQueue
from advisor.settings import Settings

# What a turn needs after its time is up: fetches under way (60 s at most) and their batch.
WIND_DOWN_S = 75.0

logger = Logger()


class Context(Protocol):
    """What we use of Lambda's context."""

    def get_remaining_time_in_millis(self) -> int: ...


@cache
def default_service() -> CrawlService:
    settings = Settings.from_env(os.environ)
    return CrawlService(
        frontier_table=settings.frontier_table,
        queue=TokenQueue(settings.tokens_queue_url, settings.frontier_table),
        bucket=settings.data_bucket,
        tables=CatalogTables(
            settings.products_table,
            settings.prices_table,
            AlertTable(settings.alerts_table, settings.alerts_topic_arn),
        ),
        announce=ClosedTopic(settings.closed_topic_arn).announce,
    )


def handler(
    event: Mapping[str, Any],
    context: Context,
    *,
    service: Callable[[], CrawlService] = default_service,
) -> None:
    """An unexpected failure escapes: SQS tries the token again, then keeps it as a dead letter."""
    for record in event["Records"]:
        token = Token.from_record(record)
        budget_s = max(1.0, context.get_remaining_time_in_millis() / 1000 - WIND_DOWN_S)
        turn = service().take_turn(token, budget_s=budget_s)
        logger.info(
            "turn taken",
            extra={
                "run_id": token.run_id,
                "host": token.host,
                "reason": turn.reason,
                "finished": turn.finished,
            },
        )
