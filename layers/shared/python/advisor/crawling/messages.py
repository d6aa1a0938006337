"""What travels through a crawl: requests, responses, pages."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from functools import cached_property, lru_cache
from typing import Any, Literal, Self
from urllib.parse import urljoin

from isal import igzip
from selectolax.lexbor import LexborHTMLParser, LexborNode
from w3lib.encoding import html_to_unicode

from advisor.crawling.urls import Remembered, canonical_url, host_of

Kind = Literal["page", "photo", "sitemap", "robots"]
# A path with or without a query, no "//host", no "." or ".." to resolve.
_SEGMENT = r"\w[\w~%,+@-]*(?:\.\w[\w~%,+@-]*)*"
# No two ways to match a text, or a page could make it slow.
_PATH = rf"/(?:{_SEGMENT}/)*(?:{_SEGMENT})?(?:\?[\w/~%=&.,+:@-]+)?"
_ROOTED = re.compile(_PATH, re.ASCII)
_WHOLE = re.compile(rf"https?://[\w.-]+(?::\d+)?{_PATH}", re.ASCII)
_BASE = re.compile("<base", re.IGNORECASE)
_NOT_UTF8 = (b"\x00", b"\x1b")  # UTF-16, ISO-2022: valid UTF-8 by accident
MAX_HOPS = 5  # RFC 9309 asks for five at robots.txt; browsers allow twenty, shops need two
KINDS: tuple[Kind, ...] = ("sitemap", "page", "photo")


def request_key(kind: Kind, url: str) -> str:
    """What the seen check compares: an address is fetched once as a page, once as a photo."""
    return f"{kind}:{canonical_url(url)}"


@dataclass(frozen=True)  # pickled often, for which slots take three times as long
class Request:
    """One address to fetch.

    kind: a page is parsed, a photo is stored, a sitemap lists pages, a robots.txt is obeyed (and
    in no frontier).
    product_id, category: of the item a photo shows. attempts: how often it failed so far. hops:
    redirects that led here. depth: links between a start page and this one.
    """

    url: str
    kind: Kind = "page"
    product_id: str = ""
    category: str = ""
    attempts: int = 0
    hops: int = 0
    depth: int = 0
    conditions: tuple[tuple[str, str], ...] = ()

    @property
    def host(self) -> str:
        """`host` or `host:port` whose politeness rules the fetch."""
        return host_of(self.url)

    @property
    def sku(self) -> str:
        """The shop's own id of the product that a photo shows."""
        return self.product_id.partition(":")[2]

    @property
    def key(self) -> str:
        """See `request_key`."""
        return request_key(self.kind, self.url)

    def failed(self) -> Self:
        """The same request after one more failure."""
        return replace(self, attempts=self.attempts + 1)

    def to_dict(self) -> dict[str, Any]:
        """Its fields that are not empty, as plain values."""
        return {
            name: value
            for name in self.__dataclass_fields__
            if (value := getattr(self, name)) and name != "conditions"  # those are of one fetch
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote (numbers may come back as another numeric type)."""
        plain = dict(values)
        for name in ("attempts", "hops", "depth"):
            plain[name] = int(plain.get(name, 0))
        return cls(**plain)


@dataclass(frozen=True, kw_only=True)
class Response:
    """What a host answered: status, headers (names in lower case), body decompressed."""

    url: str
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def content_type(self) -> str:
        """The media type without parameters, lower case; "" when the host named none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def location(self) -> str:
        """Where a redirect points, absolute; "" for an answer that is no redirect."""
        target = self.headers.get("location", "")
        if self.status not in (301, 302, 303, 307, 308) or not target:
            return ""
        try:
            return urljoin(self.url, target.strip())
        except ValueError:
            return ""

    def page(self) -> Page:
        """The body as text.

        What is valid UTF-8 is UTF-8, whatever the host calls it: no other text looks like it.
        Else the charset by BOM, header, meta tag, then cp1252.
        """
        if not any(one in self.body for one in _NOT_UTF8):  # 50 times faster than an expression
            with suppress(UnicodeDecodeError):
                return Page(self.url, self.body.decode("utf-8-sig"))
        _, html = html_to_unicode(
            self.headers.get("content-type"), self.body, auto_detect_fun=_utf8_or_latin
        )
        return Page(self.url, html.replace("\x00", ""))


@dataclass(frozen=True)
class Page:
    """A fetched page as a spider sees it."""

    url: str
    html: str

    @cached_property
    def tree(self) -> LexborHTMLParser:
        """The parsed document; parsed once however often it is asked for."""
        return LexborHTMLParser(self.html)

    @cached_property
    def base_url(self) -> str:
        """What relative links are relative to (`<base href>`, else the page's own address)."""
        if not _BASE.search(self.html):  # few have one, and a selector looks at every element
            return self.url
        base = self.tree.css_first("base[href]")
        return self.absolute(base.attributes.get("href") or "", self.url) if base else self.url

    def absolute(self, link: str, base: str = "") -> str:
        """The absolute form of a link; "" for one that cannot be joined."""
        if not base and (plain := self._plain[link]):
            return plain
        try:
            return urljoin(base or self.base_url, link.strip())
        except ValueError:  # "http://[broken"
            return ""

    def links(self, nodes: Iterable[LexborNode]) -> tuple[str, ...]:
        """The absolute forms of the nodes' `href`, in order, each once."""
        plain = self._plain
        hrefs = dict.fromkeys([node.attrs.get("href") or "" for node in nodes])
        found = dict.fromkeys([plain[href] or self.absolute(href) for href in hrefs])
        return tuple(filter(None, found))

    @cached_property
    def _plain(self) -> Remembered[str]:
        return _plain_links(urljoin(self.base_url, "/")[:-1])


@lru_cache(maxsize=16)
def _plain_links(origin: str) -> Remembered[str]:
    """By link, its absolute form where there is nothing to resolve, as urljoin's; "" for others."""

    def joined(link: str) -> str:
        link = link.strip()
        if _ROOTED.fullmatch(link):
            return origin + link
        return link if _WHOLE.fullmatch(link) else ""

    return Remembered(joined)


def retry_after_s(response: Response, *, now: float) -> float | None:
    """The wait in seconds a Retry-After header asks for (seconds or a date), or None."""
    text = response.headers.get("retry-after", "").strip()
    if text.isdigit():
        return float(text[:9])
    try:
        return max(parsedate_to_datetime(text).timestamp() - now, 0.0)
    except (ValueError, TypeError):
        return None


def body_hash(body: bytes) -> str:
    """What a body is archived by: the same text, however often it is fetched, is kept once."""
    return hashlib.sha256(body).hexdigest()


def archive_name(digest: str) -> str:
    """The path under which the body of this hash is archived."""
    return f"{digest[:2]}/{digest}.gz"


@dataclass(frozen=True, kw_only=True)
class ArchivedPage:
    """A page as it is archived. digest: `body_hash`; data: the body, gzip-compressed."""

    url: str
    status: int
    digest: str
    data: bytes

    @classmethod
    def of(cls, response: Response) -> Self:
        """The same data for the same body."""
        return cls(
            url=response.url,
            status=response.status,
            digest=body_hash(response.body),
            # The standard library's takes two to three times as long for 5 % less.
            data=igzip.compress(response.body, 1, mtime=0),
        )


def _utf8_or_latin(body: bytes) -> str:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"
