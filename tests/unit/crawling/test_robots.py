from __future__ import annotations

import pytest

from advisor.crawling.messages import Response
from advisor.crawling.robots import MAX_DELAY_S, Robots, read_robots
from advisor.errors import FetchError

URL = "https://shop.test/robots.txt"


def _answer(status: int, body: bytes = b"", content_type: str = "text/plain") -> Response:
    return Response(url=URL, status=status, body=body, headers={"content-type": content_type})


def test_rules_for_everybody_and_for_us() -> None:
    robots = Robots(
        "User-agent: *\nDisallow: /private/\nCrawl-delay: 2\n\nUser-agent: BadBot\nDisallow: /\n"
    )
    assert robots.allows("https://shop.test/hats")
    assert not robots.allows("https://shop.test/private/x")
    assert robots.delay_s == 2
    ours = Robots("User-agent: *\nDisallow: /\n\nUser-agent: ProductsAdvisor\nAllow: /\n")
    assert ours.allows("https://shop.test/hats")


@pytest.mark.parametrize("status", [301, 401, 403, 404, 410])
def test_no_robots_txt_allows_all(status: int) -> None:
    assert read_robots(_answer(status)).allows("https://shop.test/private/")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_host_in_trouble_is_left_alone(status: int) -> None:
    with pytest.raises(FetchError) as caught:
        read_robots(_answer(status))
    assert caught.value.retryable


def test_a_page_in_its_place_forbids_nothing() -> None:
    page = _answer(200, b"User-agent: *\nDisallow: /", "text/html")
    assert read_robots(page).allows("https://shop.test/")


def test_a_huge_one_with_odd_bytes_is_read_as_far_as_the_limit() -> None:
    body = b"\xef\xbb\xbfUser-agent: *\nDisallow: /a\xff\x00\n" + b"Disallow: /b\n" * 500_000
    robots = read_robots(_answer(200, body))
    assert len(robots.text) <= 500 * 1024
    assert not robots.allows("https://shop.test/b")


def test_a_crawl_delay_is_bounded() -> None:
    assert Robots("User-agent: *\nCrawl-delay: 1e9").delay_s == MAX_DELAY_S
    assert Robots("User-agent: *\nCrawl-delay: nonsense").delay_s == 0
