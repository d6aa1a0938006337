"""Sitemaps (sitemaps.org): a shop's own list of its pages. Pure, and bounded."""

from __future__ import annotations

import html
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from urllib.parse import urljoin

from advisor.crawling.crawl_settings import SITEMAP_BYTES, CrawlSettings
from advisor.crawling.messages import Request
from advisor.crawling.spiders.base import Spider
from advisor.crawling.urls import origin_of

MAX_PAGES = 50_000
MAX_SITEMAPS = 500
MAX_DEPTH = 2  # robots.txt, its index of sitemaps, their sitemaps
_LOCATION = re.compile(rb"<loc\s*>\s*(?:<!\[CDATA\[)?\s*([^<>\]\s][^<>\]]{0,2100})")
_LISTED = re.compile(rb"(?im)^[ \t]*sitemap[ \t]*:[ \t]*(\S{1,2100})")
_LINE = re.compile(rb"(?m)^\s*(https?://\S{1,2100})\s*$")


@dataclass(frozen=True)
class Sitemap:
    """What a sitemap lists: pages, or further sitemaps."""

    pages: tuple[str, ...] = ()
    sitemaps: tuple[str, ...] = ()


def first_requests(spider: Spider, settings: CrawlSettings) -> list[Request]:
    """Where a crawl begins: the spider's pages, and the robots.txt that names the sitemaps."""
    pages = [Request(url) for url in spider.start_urls]
    if not settings.sitemap:
        return pages
    return [*pages, Request(f"{origin_of(spider.base_url)}/robots.txt", "sitemap")]


def read_sitemap(url: str, body: bytes) -> Sitemap | None:
    """What the file at the address lists; None if it is no sitemap.

    XML, an index, plain text, each also gzip-compressed; robots.txt, which lists its Sitemap
    lines, or else /sitemap.xml.
    """
    data = _unpacked(body)[:SITEMAP_BYTES].removeprefix(b"\xef\xbb\xbf")
    if url.endswith("/robots.txt"):
        found = _addresses(_LISTED, data, url)
        named = tuple(dict.fromkeys(islice(found, MAX_SITEMAPS)))
        return Sitemap(sitemaps=named or (urljoin(url, "/sitemap.xml"),))
    begin = data[:2000].lstrip()
    if b"<sitemapindex" in begin:
        return Sitemap(sitemaps=tuple(islice(_addresses(_LOCATION, data, url), MAX_SITEMAPS)))
    if b"<urlset" in begin:
        return Sitemap(pages=tuple(islice(_addresses(_LOCATION, data, url), MAX_PAGES)))
    if begin.startswith(b"http"):
        return Sitemap(pages=tuple(islice(_addresses(_LINE, data, url), MAX_PAGES)))
    return None


def _addresses(pattern: re.Pattern[bytes], data: bytes, base: str) -> Iterator[str]:
    for match in pattern.finditer(data):
        text = html.unescape(match[1].decode("utf-8", "replace").strip())
        try:
            yield urljoin(base, text)
        except ValueError:
            continue


def _unpacked(body: bytes) -> bytes:
    """The body without the gzip that a file named .xml.gz has besides the transfer's own."""
    if body[:2] != b"\x1f\x8b":
        return body
    try:
        return zlib.decompressobj(31).decompress(body, SITEMAP_BYTES)
    except zlib.error:
        return b""
