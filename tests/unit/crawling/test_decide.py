"""What an answer comes to, as values."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from advisor.crawling.crawl_settings import CrawlSettings
from advisor.crawling.decide import Outcome, decide, decide_failure
from advisor.crawling.items import Item
from advisor.crawling.messages import Page, Request, Response, body_hash
from advisor.crawling.recall import Known
from advisor.crawling.spiders.base import ParsedPage
from advisor.crawling.stages import DEFAULT_STAGES, Stage
from advisor.errors import FetchError
from tests.unit.crawling.loopback import JPEG

HAT = Item(id="1", title="Hat", category="hats", description="A hat.", url="https://shop.test/p")
PAGE = Request("https://shop.test/p")
PHOTO = Request("https://img.test/p.jpg", "photo", product_id="corner:1", category="hats")


@dataclass(frozen=True)
class OneItem:
    """A spider that finds what it was given."""

    found: ParsedPage
    name: str = "one"
    base_url: str = "https://shop.test"
    start_urls: tuple[str, ...] = ()
    stages: tuple[Stage, ...] = DEFAULT_STAGES

    def parse(self, page: Page) -> ParsedPage:
        if "boom" in page.html:
            raise KeyError("boom")
        return self.found


class Exactly(CrawlSettings):
    """Waits without chance."""

    def backoff_s(self, attempts: int) -> float:
        return 2.0**attempts


TWICE = Exactly(max_attempts=2)


def _decide(request: Request, response: Response, found: ParsedPage | None = None) -> Outcome:
    spider = OneItem(found or ParsedPage())
    return decide(request, response, spider=spider, shop="corner", settings=TWICE, now=1000.0)


def _html(body: bytes = b"<p>", **headers: str) -> Response:
    return Response(
        url=PAGE.url, status=200, body=body, headers={"content-type": "text/html"} | headers
    )


def test_a_page_gives_items_of_the_shop_and_links_within_the_site() -> None:
    links = (
        "https://shop.test/a",
        "https://www.shop.test/b",
        "https://shop.test/a",
        "https://other.test/c",
        "mailto:x@shop.test",
    )
    outcome = _decide(
        PAGE, _html(), ParsedPage((replace(HAT, images=("x:y", "https://i/1")),), links)
    )
    assert [item.product_id for item in outcome.items] == ["corner:1"]
    assert outcome.items[0].images == ("https://i/1",)
    assert outcome.links == ("https://shop.test/a", "https://www.shop.test/b")
    assert outcome.archive is not None


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (replace(HAT, description=" "), "no description"),
        (replace(HAT, id="", title=""), "no id, title"),
    ],
)
def test_an_item_without_a_required_field_is_dropped_with_the_reason(
    item: Item, reason: str
) -> None:
    outcome = _decide(PAGE, _html(), ParsedPage((item, HAT)))
    assert outcome.dropped == (reason,)
    assert len(outcome.items) == 1


def test_an_item_whose_id_no_table_could_hold_is_dropped() -> None:
    items = (replace(HAT, id="\U0001f3a9" * 126), replace(HAT, id="\U0001f3a9" * 125))
    outcome = _decide(PAGE, _html(), ParsedPage(items))
    assert outcome.dropped == ("id too long",)
    assert [len(item.id) for item in outcome.items] == [125]


def test_a_spider_that_crashes_costs_the_page_and_nothing_more() -> None:
    outcome = _decide(PAGE, _html(b"<boom>"))
    assert outcome.errors == ("spider KeyError",)
    assert outcome.archive is not None
    assert outcome.retry_in_s is None


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (Response(url=PAGE.url, status=404), "http 404"),
        (_html(**{"content-type": "application/pdf"}), "not html"),
        (_html(b"plain", **{"content-type": ""}), "not html"),
        (Response(url=PAGE.url, status=301, headers={"location": "https://x.test/"}),
         "redirect to another site"),
        (Response(url=PAGE.url, status=301, headers={"location": "ftp://shop.test/"}),
         "forbidden address"),
        (Response(url=PAGE.url, status=301, headers={"location": "/p#again"}), "redirects"),
        (Response(url=PAGE.url, status=304), "http 304"),
    ],
)  # fmt: skip
def test_what_is_no_page_is_counted(response: Response, error: str) -> None:
    outcome = _decide(PAGE, response)
    assert outcome.errors == (error,)
    assert outcome.archive is None


def test_a_page_without_a_content_type_is_looked_at() -> None:
    assert _decide(PAGE, Response(url=PAGE.url, status=200, body=b"\n<html>")).archive is not None


def test_a_redirect_becomes_a_request_until_there_were_too_many() -> None:
    moved = Response(url=PAGE.url, status=302, headers={"location": "/q"})
    outcome = _decide(PAGE, moved)
    assert outcome.redirect == Request("https://shop.test/q", hops=1)
    assert _decide(replace(PAGE, hops=5), moved).errors == ("redirects",)
    photo = _decide(PHOTO, replace(moved, headers={"location": "https://cdn.test/p.jpg"}))
    assert photo.redirect == replace(PHOTO, url="https://cdn.test/p.jpg", hops=1)


def test_a_redirect_to_another_spelling_of_the_page_is_asked_for_until_there_were_too_many() -> (
    None
):
    page = replace(PAGE, url="https://shop.test/p?b=2&a=1")
    moved = Response(url=page.url, status=301, headers={"location": "/p?a=1&b=2"})
    outcome = _decide(page, moved)
    again = replace(page, url="https://shop.test/p?a=1&b=2", hops=1, attempts=1)
    assert (outcome.request, outcome.retry_in_s, outcome.errors) == (again, 0.0, ())
    assert outcome.request.key == page.key
    assert _decide(replace(page, hops=5), moved).errors == ("redirects",)
    itself = Response(url=PAGE.url, status=302, headers={"location": PAGE.url})
    jar = CrawlSettings(keep_cookies=True)
    walled = decide(PAGE, itself, spider=OneItem(ParsedPage()), shop="s", settings=jar, now=0.0)
    assert (walled.request.hops, walled.retry_in_s) == (1, 0.0)


def test_a_photo_is_known_by_its_bytes() -> None:
    body = Response(url=PHOTO.url, status=200, body=JPEG, headers={"content-type": "text/plain"})
    photo = _decide(PHOTO, body).photo
    assert photo is not None
    assert (photo.sku, photo.content_type, photo.extension) == ("1", "image/jpeg", "jpg")
    assert photo.data == JPEG
    avif = _decide(PHOTO, replace(body, body=b"\x00\x00\x00\x20ftypavif" + bytes(20))).photo
    assert avif is not None
    assert (avif.content_type, avif.extension) == ("image/avif", "avif")
    for other in (b"<html>", b"\x00\x00\x00\x20ftypheic" + bytes(20)):
        page = replace(body, body=other, headers={"content-type": "image/jpeg"})
        assert _decide(PHOTO, page).errors == ("not an image",)


def test_a_photo_that_did_not_change_costs_no_bytes_and_keeps_what_304_leaves_out() -> None:
    earlier = {"etag": "1", "content-type": "image/jpeg"}
    known = Known(body=body_hash(JPEG), headers=earlier, data=JPEG)
    same = Response(url=PHOTO.url, status=304, headers={"etag": "2"})
    spider = OneItem(ParsedPage())
    outcome = decide(
        PHOTO, same, spider=spider, shop="s", settings=CrawlSettings(), now=0.0, known=known
    )
    assert outcome.photo is not None
    assert (outcome.photo.data, outcome.bytes, outcome.unchanged) == (JPEG, 0, known.body)
    assert outcome.headers == {"etag": "2", "content-type": "image/jpeg"}


def test_a_photo_of_a_few_pixels_is_dropped() -> None:
    pixel = b"GIF89a" + b"\x01\x00\x20\x00" + bytes(30)
    outcome = _decide(PHOTO, Response(url=PHOTO.url, status=200, body=pixel))
    assert (outcome.photo, outcome.dropped) == (None, ("small photo",))
    wide = b"GIF89a" + b"\x20\x00\x20\x00" + bytes(30)
    assert _decide(PHOTO, Response(url=PHOTO.url, status=200, body=wide)).photo is not None


def test_failures_are_tried_again_later_and_later_then_counted() -> None:
    broken = Response(url=PAGE.url, status=500)
    first = _decide(PAGE, broken)
    assert (first.retry_in_s, first.request.attempts, first.errors) == (1.0, 1, ())
    second = _decide(first.request, broken)
    assert (second.retry_in_s, second.errors) == (None, ("http 500",))
    error = FetchError("down", reason="connection", retryable=True)
    assert decide_failure(PAGE, error, settings=TWICE).retry_in_s == 1.0
    assert decide_failure(first.request, error, settings=TWICE).errors == ("connection",)
    final = FetchError("no", reason="too large")
    assert decide_failure(PAGE, final, settings=TWICE).errors == ("too large",)


def test_a_host_that_asks_for_a_pause_gets_it() -> None:
    busy = Response(url=PAGE.url, status=429, headers={"retry-after": "30"})
    assert _decide(PAGE, busy).host_pause_s == _decide(PAGE, busy).retry_in_s == 30
    silent = Response(url=PAGE.url, status=503)
    assert _decide(PAGE, silent).host_pause_s == 1.0
    for_ever = Response(url=PAGE.url, status=503, headers={"retry-after": "9" * 30})
    assert _decide(PAGE, for_ever).host_pause_s == 3600
