"""Starts, shows, pauses and stops crawls over HTTP; API Gateway lets in whom IAM allows."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools import Logger

from advisor.aws.announcing import ClosedTopic
from advisor.aws.crawl_turns import CrawlService
from advisor.aws.frontier import list_runs, read_run
from advisor.aws.start_crawl import StartCrawl
from advisor.aws.tokens import TokenQueue
from advisor.errors import RequestError, UsageError
from advisor.http import ANSWERED, Request, answer, problem
from advisor.settings import Settings
from advisor.uploads import json_object

logger = Logger()


@cache
def default_service() -> CrawlService:
    settings = Settings.from_env(os.environ)
    return CrawlService(
        frontier_table=settings.frontier_table,
        queue=TokenQueue(settings.tokens_queue_url, settings.frontier_table),
        announce=ClosedTopic(settings.closed_topic_arn).announce,
    )


def handler(
    event: Mapping[str, Any],
    _context: object,
    *,
    service: Callable[[], CrawlService] = default_service,
) -> dict[str, Any]:
    """Answer one HTTP request."""
    try:
        request = Request.from_event(event)
        run_id = (event.get("pathParameters") or {}).get("run_id", "")
        if request.route == "GET /crawls":
            return answer({"crawls": [asdict(run) for run in list_runs(service().frontier_table)]})
        if request.route == "POST /crawls":
            return _start(request, service())
        if request.route != "GET /crawls/{run_id}":
            _change(request.route, run_id, service())
        return answer(asdict(read_run(service().frontier_table, run_id)))
    except ANSWERED as error:
        return problem(error)


def _start(request: Request, service: CrawlService) -> dict[str, Any]:
    try:
        asked = StartCrawl.from_event(json_object(request.body))
        started = service.start(
            asked.spider,
            base_url=asked.base_url,
            shop=asked.shop,
            limit=asked.limit,
            settings=asked.settings,
        )
    except UsageError as error:
        raise RequestError(HTTPStatus.BAD_REQUEST, str(error)) from error
    logger.info("crawl asked for", extra={**asdict(asked), **asdict(started)})
    status = HTTPStatus.CREATED if started.started else HTTPStatus.CONFLICT
    return answer(asdict(started), status)


def _change(route: str, run_id: str, service: CrawlService) -> None:
    change = {
        "POST /crawls/{run_id}/stop": service.stop,
        "POST /crawls/{run_id}/pause": service.pause,
        "POST /crawls/{run_id}/resume": service.resume,
    }[route]
    if not change(run_id):
        status = read_run(service.frontier_table, run_id).status
        raise RequestError(HTTPStatus.CONFLICT, f"crawl {run_id} is {status}")
    logger.info("crawl changed", extra={"run_id": run_id, "route": route})
