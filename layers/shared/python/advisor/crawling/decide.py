"""What to do about one answer or one failure. Pure: values in, an Outcome out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from advisor.crawling.crawl_settings import CrawlSettings
from advisor.crawling.items import Item
from advisor.crawling.messages import (
    MAX_HOPS,
    ArchivedPage,
    Request,
    Response,
    body_hash,
    retry_after_s,
)
from advisor.crawling.photos import Photo, make_photo
from advisor.crawling.recall import Known, Packed, pack
from advisor.crawling.sitemaps import MAX_DEPTH, read_sitemap
from advisor.crawling.spiders.base import MAX_ITEMS, ParsedPage, Spider
from advisor.crawling.stages import Dropped, Stage, run_stages
from advisor.crawling.urls import MAX_CHARS, Remembered, host_of, is_web_url, site_of
from advisor.errors import FetchError

_SLOW_DOWN_STATUSES = frozenset({429, 503})
_HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})
_MAX_RETRY_AFTER_S = 3600.0
# A page of a real shop has a few thousand elements and some hundred links. More is a trap; and the
# time that a CSS selector takes grows with the square of how deep elements are nested (20 s for
# 100,000, 2 s for 30,000).
_MAX_ELEMENTS = 30_000
_MAX_LINKS = 5_000
_MAX_PHOTOS = 100  # of one item
_MAX_ID_BYTES = 500  # no SKU is so long; it is a key of tables, and of a photo's data in S3


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one fetch came to.

    archive: the page to keep. items: valid ones, in the page's order. links: addresses of pages
    to follow; too_deep: those past max_depth; sitemaps: further ones. redirect: the request an
    answer points to. dropped, errors: reasons to count. retry_in_s: the request is to be done
    again, for this reason. host_pause_s: leave the host alone that long. unreachable: the host did
    not answer at all. bytes: of the body. status, headers: of the answer. parsed: what the spider
    read. unchanged: the hash of the body, of a page or photo that is as it was in an earlier crawl.
    """

    request: Request
    archive: ArchivedPage | None = None
    items: tuple[Item, ...] = ()
    links: tuple[str, ...] = ()
    too_deep: tuple[Request, ...] = ()
    sitemaps: tuple[Request, ...] = ()
    redirect: Request | None = None
    photo: Photo | None = None
    dropped: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    retry_in_s: float | None = None
    host_pause_s: float = 0.0
    unreachable: bool = False
    bytes: int = 0
    parsed: Packed | None = None
    unchanged: str = ""
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""

    @property
    def depth_of_links(self) -> int:
        """The depth of the links; pages that a sitemap lists are where a crawl starts."""
        return 0 if self.request.kind == "sitemap" else self.request.depth + 1


def decide(
    request: Request,
    response: Response,
    *,
    spider: Spider,
    shop: str,
    settings: CrawlSettings,
    now: float,
    known: Known | None = None,
) -> Outcome:
    """What an answer comes to: items and links, a photo, a redirect, a retry or an error.

    known: the page or photo as an earlier crawl found it; an unchanged page is not parsed, and of
    an unchanged photo the bytes are taken that are there.
    """
    if known and _is_unchanged(response, known):
        if request.kind == "photo":
            outcome = _photo(request, replace(response, body=known.data), settings)
            outcome = replace(outcome, bytes=len(response.body))
        else:
            outcome = _kept(request, known.parsed, spider, shop, settings, page=known.body)
        headers = {**known.headers, **response.headers}
        return replace(outcome, unchanged=known.body, status=response.status, headers=headers)
    outcome = _decide(request, response, spider=spider, shop=shop, settings=settings, now=now)
    if outcome.status:
        return outcome
    return replace(outcome, status=response.status, headers=response.headers)


def _decide(
    request: Request,
    response: Response,
    *,
    spider: Spider,
    shop: str,
    settings: CrawlSettings,
    now: float,
) -> Outcome:
    if response.status in settings.retry_statuses:
        asked = retry_after_s(response, now=now)
        pause = min(asked or 0.0, _MAX_RETRY_AFTER_S)
        if response.status in _SLOW_DOWN_STATUSES and not pause:
            pause = settings.backoff_s(request.attempts)
        slow = pause if response.status in _SLOW_DOWN_STATUSES else 0.0
        return _again(request, f"http {response.status}", settings, pause_s=slow)
    if response.location:
        return _redirected(request, response.location, spider, settings)
    if response.status != 200:
        return Outcome(request=request, errors=(f"http {response.status}",))
    return _read(request, response, spider, shop, settings)


def _read(
    request: Request, response: Response, spider: Spider, shop: str, settings: CrawlSettings
) -> Outcome:
    """What the body of an answer comes to."""
    if request.kind == "sitemap":
        return _listed(request, response, _site(spider.base_url, settings.allowed_hosts))
    if request.kind == "photo":
        return _photo(request, response, settings)
    if not _is_html(response):
        return Outcome(request=request, errors=("not html",))
    return _parsed(request, response, spider, shop, settings)


def decide_failure(request: Request, error: FetchError, *, settings: CrawlSettings) -> Outcome:
    """What no answer comes to: another try where that can help, else an error to count."""
    if error.retryable:
        return _again(request, error.reason, settings, unreachable=True)
    return Outcome(request=request, errors=(error.reason,))


def decide_crash(request: Request, *, settings: CrawlSettings) -> Outcome:
    """What a page comes to that whoever decided it died of: another try, then an error."""
    return _again(request, "crash", settings)


def decide_overdue(request: Request) -> Outcome:
    """What a page comes to that its spider does not come to an end with: an error."""
    return Outcome(request=request, errors=("spider too slow",))


def _again(
    request: Request,
    reason: str,
    settings: CrawlSettings,
    *,
    pause_s: float = 0.0,
    unreachable: bool = False,
) -> Outcome:
    failed = request.failed()
    if failed.attempts >= settings.max_attempts:
        return Outcome(
            request=failed, errors=(reason,), host_pause_s=pause_s, unreachable=unreachable
        )
    return Outcome(
        request=failed,
        reason=reason,
        retry_in_s=max(pause_s, settings.backoff_s(request.attempts)),
        host_pause_s=pause_s,
        unreachable=unreachable,
    )


def _redirected(request: Request, target: str, spider: Spider, settings: CrawlSettings) -> Outcome:
    if refusal := _refusal(request, target, spider, settings):
        return Outcome(request=request, errors=(refusal,))
    moved = replace(request, url=target, hops=request.hops + 1, attempts=0)
    if moved.key != request.key:
        return Outcome(request=request, redirect=moved)
    # The same page, already seen: spelt as the shop likes it, or once it has set its cookie.
    again = replace(moved, attempts=request.attempts + 1)
    return Outcome(request=again, retry_in_s=0.0, reason="redirect to another spelling")


def _refusal(request: Request, target: str, spider: Spider, settings: CrawlSettings) -> str:
    """Why a redirect is not followed, or ""."""
    if not settings.follow_redirects:
        return "redirect"
    itself = target.partition("#")[0] == request.url and not settings.keep_cookies
    if itself or request.hops >= MAX_HOPS:
        return "redirects"
    if not is_web_url(target):
        return "forbidden address"
    site = _site(spider.base_url, settings.allowed_hosts)
    if request.kind != "photo" and not site.holds(target):
        return "redirect to another site"
    return ""


class Site:
    """The shop's own site, and the hosts that are allowed besides."""

    def __init__(self, base_url: str, allowed_hosts: tuple[str, ...]) -> None:
        self._site = site_of(base_url)
        self._hosts = allowed_hosts
        self._known = Remembered(self.holds)
        # Nearly all links begin so; splitting each of them takes as long as building the tree.
        self._origins = tuple(
            f"{scheme}://{www}{self._site}/" for scheme in ("http", "https") for www in ("", "www.")
        )

    def those_of(self, urls: Iterable[str]) -> tuple[str, ...]:
        """The addresses that it holds, each once, in order; links that pages share cost little."""
        return tuple(filter(self._known.__getitem__, dict.fromkeys(urls)))

    def holds(self, url: str) -> bool:
        """Whether the crawl may follow the address."""
        if url.startswith(self._origins) and len(url) <= MAX_CHARS:
            return True
        if not is_web_url(url):
            return False
        return site_of(url) == self._site or (bool(self._hosts) and host_of(url) in self._hosts)


@lru_cache(maxsize=16)
def _site(base_url: str, allowed_hosts: tuple[str, ...]) -> Site:
    return Site(base_url, allowed_hosts)


def _listed(request: Request, response: Response, site: Site) -> Outcome:
    """What a sitemap lists on the shop's own site."""
    found = read_sitemap(request.url, response.body)
    if found is None:
        return Outcome(request=request, errors=("not a sitemap",), bytes=len(response.body))
    deeper = [
        Request(url, "sitemap", depth=request.depth + 1)
        for url in found.sitemaps
        if site.holds(url)
    ]
    too_deep = ("nested sitemaps",) if deeper and request.depth >= MAX_DEPTH else ()
    return Outcome(
        request=request,
        links=site.those_of(found.pages),
        sitemaps=() if too_deep else tuple(deeper),
        errors=too_deep,
        bytes=len(response.body),
    )


def _photo(request: Request, response: Response, settings: CrawlSettings) -> Outcome:
    photo = make_photo(
        response.body,
        product_id=request.product_id,
        category=request.category,
        url=request.url,
    )
    size = len(response.body)
    if photo is None:
        return Outcome(request=request, errors=("not an image",), bytes=size)
    if photo.short_side_px is not None and photo.short_side_px < settings.min_photo_px:
        return Outcome(request=request, dropped=("small photo",), bytes=size)
    return Outcome(request=request, photo=photo, bytes=size)


def _is_html(response: Response) -> bool:
    if response.content_type:
        return response.content_type in _HTML_TYPES
    return response.body.lstrip()[:1] == b"<"


def _parsed(
    request: Request, response: Response, spider: Spider, shop: str, settings: CrawlSettings
) -> Outcome:
    archive = ArchivedPage.of(response)
    size = len(response.body)
    if _has_too_many_elements(response.body):
        return Outcome(request=request, archive=archive, errors=("too many elements",), bytes=size)
    try:
        parsed = spider.parse(response.page())
    except Exception as error:
        name = f"spider {type(error).__name__}"
        return Outcome(request=request, archive=archive, errors=(name,), bytes=size)
    return _kept(
        request,
        parsed,
        spider,
        shop,
        settings,
        page=archive.digest,
        archive=archive,
        bytes=size,
        status=response.status,
        headers=response.headers,
    )


def _has_too_many_elements(body: bytes) -> bool:
    if len(body) < _MAX_ELEMENTS * len("<a>"):
        return False
    return body.count(b"<") - body.count(b"</") > _MAX_ELEMENTS


def _is_unchanged(response: Response, known: Known) -> bool:
    if response.status == 304:
        return True
    return response.status == 200 and body_hash(response.body) == known.body


def _kept(
    request: Request,
    parsed: ParsedPage,
    spider: Spider,
    shop: str,
    settings: CrawlSettings,
    *,
    page: str,
    **answered: Any,
) -> Outcome:
    """What is kept and followed of what a spider read off a page.

    page: the hash that it is archived by. answered: what an Outcome says of the answer itself.
    """
    # With the archived page that an item was read off, and by whom.
    found = [
        replace(item, shop=shop, page=page, extractor=spider.name)
        for item in parsed.items[:MAX_ITEMS]
    ]
    items, dropped = _through_stages(found, spider.stages)
    links = _site(spider.base_url, settings.allowed_hosts).those_of(parsed.requests)
    errors = parsed.problems
    errors += ("too many links",) if len(links) > _MAX_LINKS else ()
    errors += ("too many items",) if len(parsed.items) > MAX_ITEMS else ()
    errors += ("too many photos",) * sum(len(item.images) > _MAX_PHOTOS for item in items)
    links = links[:_MAX_LINKS]
    deepest = settings.max_depth and request.depth >= settings.max_depth
    deeper = [Request(url, depth=request.depth + 1) for url in links] if deepest else []
    return Outcome(
        request=request,
        parsed=pack(parsed),
        items=tuple(map(_with_fewer_photos, items)),
        links=() if deepest else links,
        too_deep=tuple(deeper),
        dropped=dropped,
        errors=errors,
        **answered,
    )


def _with_fewer_photos(item: Item) -> Item:
    few = len(item.images) <= _MAX_PHOTOS
    return item if few else replace(item, images=item.images[:_MAX_PHOTOS])


def _through_stages(
    found: Iterable[Item], stages: Sequence[Stage]
) -> tuple[tuple[Item, ...], tuple[str, ...]]:
    """The items that the stages let through, and why the others are dropped."""
    items: list[Item] = []
    dropped: list[str] = []
    for one in found:
        item = run_stages(one, stages)
        if isinstance(item, Dropped):
            dropped.append(item.reason)
        elif len(item.id.encode("utf-8", "replace")) > _MAX_ID_BYTES:
            dropped.append("id too long")
        else:
            items.append(item)
    return tuple(items), tuple(dropped)
