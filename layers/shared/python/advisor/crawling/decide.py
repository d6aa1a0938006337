"""What to do about one answer or one failure. Pure: values in, an Outcome out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from advisor.crawling.fetch import MAX_HOPS, retry_after_s
from advisor.crawling.items import REQUIRED, Item
from advisor.crawling.messages import Request, Response
from advisor.crawling.photos import Photo, make_photo
from advisor.crawling.spiders.base import ParsedPage, Spider
from advisor.crawling.urls import is_web_url, site_of
from advisor.errors import FetchError

_RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_SLOW_DOWN_STATUSES = frozenset({429, 503})
_HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})
_MAX_RETRY_AFTER_S = 3600.0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one fetch came to.

    archive: the page to keep. items: valid ones, in the page's order. links: addresses of pages
    to follow. redirect: the request an answer points to. dropped, errors: reasons to count.
    retry_in_s: the request is to be done again. host_pause_s: leave the host alone that long.
    unreachable: the host did not answer at all.
    """

    request: Request
    archive: Response | None = None
    items: tuple[Item, ...] = ()
    links: tuple[str, ...] = ()
    redirect: Request | None = None
    photo: Photo | None = None
    dropped: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    retry_in_s: float | None = None
    host_pause_s: float = 0.0
    unreachable: bool = False


class Retries(Protocol):
    """How often and how soon a failed request is tried again."""

    @property
    def max_attempts(self) -> int: ...

    def backoff_s(self, attempts: int) -> float:
        """The wait before the next try, after so many failures."""
        ...


def decide(
    request: Request, response: Response, *, spider: Spider, shop: str, retries: Retries, now: float
) -> Outcome:
    """What an answer comes to: items and links, a photo, a redirect, a retry or an error."""
    if response.status in _RETRIED_STATUSES:
        asked = retry_after_s(response, now=now)
        pause = min(asked or 0.0, _MAX_RETRY_AFTER_S)
        if response.status in _SLOW_DOWN_STATUSES and not pause:
            pause = retries.backoff_s(request.attempts)
        slow = pause if response.status in _SLOW_DOWN_STATUSES else 0.0
        return _again(request, f"http {response.status}", retries, pause_s=slow)
    if response.location:
        return _redirected(request, response.location, spider)
    if response.status != 200:
        return Outcome(request=request, errors=(f"http {response.status}",))
    if request.kind == "photo":
        return _photo(request, response)
    if not _is_html(response):
        return Outcome(request=request, errors=("not html",))
    return _parsed(request, response, spider, shop)


def decide_failure(request: Request, error: FetchError, *, retries: Retries) -> Outcome:
    """What no answer comes to: another try where that can help, else an error to count."""
    if error.retryable:
        return _again(request, error.reason, retries, unreachable=True)
    return Outcome(request=request, errors=(error.reason,))


def _again(
    request: Request,
    reason: str,
    retries: Retries,
    *,
    pause_s: float = 0.0,
    unreachable: bool = False,
) -> Outcome:
    failed = request.failed()
    if failed.attempts >= retries.max_attempts:
        return Outcome(
            request=failed, errors=(reason,), host_pause_s=pause_s, unreachable=unreachable
        )
    return Outcome(
        request=failed,
        retry_in_s=max(pause_s, retries.backoff_s(request.attempts)),
        host_pause_s=pause_s,
        unreachable=unreachable,
    )


def _redirected(request: Request, target: str, spider: Spider) -> Outcome:
    if request.hops >= MAX_HOPS:
        return Outcome(request=request, errors=("redirects",))
    if not is_web_url(target):
        return Outcome(request=request, errors=("forbidden address",))
    if request.kind == "page" and site_of(target) != site_of(spider.base_url):
        return Outcome(request=request, errors=("redirect to another site",))
    moved = replace(request, url=target, hops=request.hops + 1, attempts=0)
    if moved.key == request.key:  # itself again, or but for a fragment
        return Outcome(request=request, errors=("redirects",))
    return Outcome(request=request, redirect=moved)


def _photo(request: Request, response: Response) -> Outcome:
    photo = make_photo(
        response.body,
        product_id=request.product_id,
        category=request.category,
        url=request.url,
    )
    return Outcome(request=request, photo=photo, errors=() if photo else ("not an image",))


def _is_html(response: Response) -> bool:
    if response.content_type:
        return response.content_type in _HTML_TYPES
    return response.body.lstrip()[:1] == b"<"


def _parsed(request: Request, response: Response, spider: Spider, shop: str) -> Outcome:
    try:
        parsed = spider.parse(response.page())
    except Exception as error:
        name = f"spider {type(error).__name__}"
        return Outcome(request=request, archive=response, errors=(name,))
    items, dropped = _valid(parsed, shop)
    site = site_of(spider.base_url)
    links = tuple(
        url for url in dict.fromkeys(parsed.requests) if is_web_url(url) and site_of(url) == site
    )
    return Outcome(
        request=request,
        archive=response,
        items=items,
        links=links,
        dropped=dropped,
        errors=parsed.problems,
    )


def _valid(parsed: ParsedPage, shop: str) -> tuple[tuple[Item, ...], tuple[str, ...]]:
    """The items that have all they need, and why the others are dropped."""
    items: list[Item] = []
    dropped: list[str] = []
    for found in parsed.items:
        missing = [name for name in REQUIRED if not getattr(found, name).strip()]
        if missing:
            dropped.append(f"no {', '.join(missing)}")
            continue
        images = tuple(url for url in dict.fromkeys(found.images) if is_web_url(url))
        items.append(replace(found, shop=shop, images=images).validate())
    return tuple(items), tuple(dropped)
