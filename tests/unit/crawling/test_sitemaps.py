"""Sitemaps as the start of a crawl."""

from __future__ import annotations

import gzip
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.crawling.crawl_settings import SITEMAP_BYTES, CrawlSettings
from advisor.crawling.decide import Outcome, decide
from advisor.crawling.messages import Request, Response
from advisor.crawling.sitemaps import (
    MAX_DEPTH,
    MAX_PAGES,
    MAX_SITEMAPS,
    Sitemap,
    first_requests,
    read_sitemap,
)
from advisor.crawling.spiders.schema_org import SchemaOrg

ROBOTS = "https://shop.test/robots.txt"
MAP = "https://shop.test/sitemap.xml"
PAGES = b"""<?xml version="1.0" encoding="UTF-8"?>
<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:image="http://google/image">
 <url><loc>https://shop.test/p/1?a=1&amp;b=2</loc><image:image><image:loc>https://i/1</image:loc>
 </image:image></url>
 <url><loc> <![CDATA[https://shop.test/p/2]]> </loc></url><url><loc>/p/3</loc></url><url><loc></loc>
</urlset>"""
INDEX = b"<sitemapindex><sitemap><loc>https://shop.test/a.xml.gz</loc></sitemap></sitemapindex>"


def test_reads_pages_indexes_text_and_robots() -> None:
    pages = ("https://shop.test/p/1?a=1&b=2", "https://shop.test/p/2", "https://shop.test/p/3")
    assert read_sitemap(MAP, PAGES) == Sitemap(pages=pages)
    assert read_sitemap(MAP, gzip.compress(PAGES)) == Sitemap(pages=pages)
    assert read_sitemap(MAP, INDEX) == Sitemap(sitemaps=("https://shop.test/a.xml.gz",))
    text = b"\xef\xbb\xbfhttps://shop.test/a\r\nhttps://shop.test/b\n"
    assert read_sitemap(MAP, text) == Sitemap(pages=("https://shop.test/a", "https://shop.test/b"))
    robots = (
        b"User-agent: *\nDisallow: /x\nSitemap: /one.xml\nsitemap:https://shop.test/two.xml # 2"
    )
    assert read_sitemap(ROBOTS, robots) == Sitemap(
        sitemaps=("https://shop.test/one.xml", "https://shop.test/two.xml")
    )
    assert read_sitemap(ROBOTS, b"User-agent: *") == Sitemap(sitemaps=(MAP,))
    for nothing in (b"", b"<html>", b"\x1f\x8b broken", b"\x00" * 50):
        assert read_sitemap(MAP, nothing) is None


def test_reads_no_more_than_is_reasonable() -> None:
    many = b"<urlset>" + b"<loc>/p</loc>" * (MAX_PAGES + 10)
    found = read_sitemap(MAP, many)
    assert found is not None
    assert len(found.pages) == MAX_PAGES
    indexes = read_sitemap(MAP, b"<sitemapindex>" + b"<loc>/p</loc>" * (MAX_SITEMAPS + 10))
    assert indexes is not None
    assert len(indexes.sitemaps) == MAX_SITEMAPS


def test_a_gzip_bomb_is_unpacked_no_further_than_the_limit() -> None:
    bomb = gzip.compress(b"<urlset>" + b" " * (4 * SITEMAP_BYTES) + b"<loc>/late</loc>", 1)
    tracemalloc.start()
    assert read_sitemap(MAP, bomb) == Sitemap()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * SITEMAP_BYTES


@given(st.binary(max_size=200), st.sampled_from([ROBOTS, MAP]), st.sampled_from([b"", b"<urlset>"]))
def test_no_bytes_are_an_error(data: bytes, url: str, begin: bytes) -> None:
    read_sitemap(url, begin + data)


@pytest.mark.parametrize("asked", [False, True])
def test_a_crawl_starts_from_sitemaps_where_asked_to(asked: bool) -> None:
    first = first_requests(SchemaOrg("https://shop.test/hats"), CrawlSettings(sitemap=asked))
    assert first[0] == Request("https://shop.test/hats")
    assert first[1:] == ([Request(ROBOTS, "sitemap")] if asked else [])


def test_a_sitemap_leads_to_pages_and_sitemaps_of_the_shop_but_not_for_ever() -> None:
    def listed(body: bytes, depth: int = 0) -> Outcome:
        return decide(
            Request(MAP, "sitemap", depth=depth),
            Response(url=MAP, status=200, body=body, headers={"content-type": "text/xml"}),
            spider=SchemaOrg("https://shop.test"),
            shop="corner",
            settings=CrawlSettings(),
            now=0.0,
        )

    other = PAGES.replace(b"https://shop.test/p/2", b"https://else.test/p/2")
    assert listed(other).links == ("https://shop.test/p/1?a=1&b=2", "https://shop.test/p/3")
    assert listed(other).archive is None
    inner = Request("https://shop.test/a.xml.gz", "sitemap", depth=1)
    assert listed(INDEX).sitemaps == (inner,)
    assert listed(INDEX, MAX_DEPTH).sitemaps == ()
    assert listed(INDEX, MAX_DEPTH).errors == ("nested sitemaps",)
    assert listed(b"<html>").errors == ("not a sitemap",)
