"""Starts, shows, pauses and stops crawls over HTTP; API Gateway lets in whom IAM allows."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache
from http import HTTPStatus
from typing import Any, Final

from aws_lambda_powertools import Logger

from advisor.aws.announcing import ClosedTopic
from advisor.aws.crawl_turns import CrawlService
from advisor.aws.frontier import list_runs, read_run
from advisor.aws.remote_archive import find_remote
from advisor.aws.routes import Answered, Body, Route, serve
from advisor.aws.start_crawl import StartCrawl
from advisor.aws.tokens import TokenQueue
from advisor.crawling.messages import KINDS, request_key
from advisor.crawling.urls import is_web_url, site_of
from advisor.crawling.visits import explain
from advisor.errors import NotFoundError, RequestError, UsageError
from advisor.http import Request, Whole, Words
from advisor.settings import Settings
from advisor.uploads import json_object

logger = Logger()
URL: Final = Words(name="url", about="an address of a shop, as https://shop.example/p/1")
LIMIT: Final = Whole(name="limit", about="how many at most", default=20, least=1, most=100)
WHY_RUNS: Final = 3  # whose records one request reads
SHOP: Final = Words(name="shop", about="whose crawls; those of the address's site, if not given")


@cache
def default_service() -> CrawlService:
    settings = Settings.from_env(os.environ)
    return CrawlService(
        frontier_table=settings.frontier_table,
        queue=TokenQueue(settings.tokens_queue_url, settings.frontier_table),
        announce=ClosedTopic(settings.closed_topic_arn).announce,
        bucket=settings.data_bucket,
    )


def handler(
    event: Mapping[str, Any],
    _context: object,
    *,
    service: Callable[[], CrawlService] = default_service,
) -> dict[str, Any]:
    """Answer one HTTP request."""
    return serve(event, ROUTES, service(), logger=logger)


def list_crawls(request: Request, service: CrawlService) -> dict[str, Any]:
    """The newest crawls of those that have not expired, newest first."""
    runs = list_runs(service.frontier_table, LIMIT.of(request))
    return {"crawls": [asdict(run) for run in runs]}


def start(request: Request, service: CrawlService) -> Answered:
    """Start a crawl of one shop; 409 with the run that is going on, where there is one."""
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
    return Answered(asdict(started), HTTPStatus.CREATED if started.started else HTTPStatus.CONFLICT)


def show(request: Request, service: CrawlService) -> dict[str, Any]:
    """A crawl as it stands."""
    return asdict(read_run(service.frontier_table, request.id("run_id")))


def pause(request: Request, service: CrawlService) -> dict[str, Any]:
    """Let a running crawl rest; 409 if it is not running."""
    return _change(request, service, service.pause)


def resume(request: Request, service: CrawlService) -> dict[str, Any]:
    """Let a paused crawl go on; 409 if it is not paused."""
    return _change(request, service, service.resume)


def stop(request: Request, service: CrawlService) -> dict[str, Any]:
    """End a crawl; 409 if it has ended."""
    return _change(request, service, service.stop)


def _change(
    request: Request, service: CrawlService, change: Callable[[str], bool]
) -> dict[str, Any]:
    run_id = request.id("run_id")
    if not change(run_id):
        status = read_run(service.frontier_table, run_id).status
        raise RequestError(HTTPStatus.CONFLICT, f"crawl {run_id} is {status}")
    logger.info("crawl changed", extra={"run_id": run_id, "route": request.route})
    return show(request, service)


def why(request: Request, service: CrawlService) -> dict[str, Any]:
    """Tell whether and why an address was or was not fetched, by the newest 3 crawls."""
    url, shop = URL.of(request), SHOP.of(request)
    if not is_web_url(url):
        raise RequestError(
            HTTPStatus.BAD_REQUEST,
            f"{url[:100]!r} is no web address; expected one as https://shop.example/p/1",
        )
    runs = [
        asdict(run)
        for run in list_runs(service.frontier_table)
        if (run.shop == shop if shop else site_of(run.base_url) == site_of(url))
    ]
    if not runs:
        whose = f"shop {shop[:100]!r}" if shop else f"site {site_of(url)!r}"
        raise NotFoundError(f"no crawl is known of the {whose}")
    keys = [request_key(kind, url) for kind in KINDS]
    newest = runs[:WHY_RUNS]
    told = explain(url, *find_remote(service.bucket, newest, keys))
    return {"url": url, "why": told, "crawls": len(newest)}


_CHANGE: Final = (404, 409, 429)
ROUTES: Final = {
    "GET /why": Route(answers=why, query=(URL, SHOP), refuses=(400, 404, 429)),
    "GET /crawls": Route(answers=list_crawls, query=(LIMIT,), refuses=(400, 429)),
    "POST /crawls": Route(answers=start, takes=Body.CRAWL, good=(201, 409), refuses=(400, 429)),
    "GET /crawls/{run_id}": Route(answers=show, refuses=(404, 429)),
    "POST /crawls/{run_id}/pause": Route(answers=pause, refuses=_CHANGE),
    "POST /crawls/{run_id}/resume": Route(answers=resume, refuses=_CHANGE),
    "POST /crawls/{run_id}/stop": Route(answers=stop, refuses=_CHANGE),
}
