"""What a shop answers at one path, and the few documents that every shop has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TypeVar
from xml.sax.saxutils import escape as xml_escape

HTML = "text/html; charset=utf-8"
_One = TypeVar("_One")


@dataclass(frozen=True, kw_only=True)
class Page:
    """One answer. body is called at each request. fails_first: the first answer is a 500."""

    body: Callable[[], bytes]
    status: int = 200
    content_type: str = HTML
    headers: Mapping[str, str] = field(default_factory=dict)
    fails_first: bool = False


Site = dict[str, Page]  # by path with query


def html_page(text: str, *, status: int = 200, fails_first: bool = False) -> Page:
    """A page of HTML."""
    data = text.encode()
    return Page(body=lambda: data, status=status, fails_first=fails_first)


def text_page(text: str, *, content_type: str = "text/plain; charset=utf-8") -> Page:
    """A page of any other text."""
    data = text.encode()
    return Page(body=lambda: data, content_type=content_type)


def file_page(path: Path, *, content_type: str) -> Page:
    """A file as it is on disk."""
    return Page(body=path.read_bytes, content_type=content_type)


def made_once(make: Callable[[], bytes], *, content_type: str) -> Page:
    """Bytes that are made at the first request and kept."""
    return Page(body=cache(make), content_type=content_type)


def redirect(to: str) -> Page:
    """A 301 to another path of the shop."""
    return Page(
        body=lambda: b"",
        status=301,
        content_type="text/plain; charset=utf-8",
        headers={"Location": to},
    )


def robots_txt(base_url: str) -> Page:
    """Everybody may read everything but /private/, without waiting."""
    return text_page(
        f"User-agent: *\nDisallow: /private/\nCrawl-delay: 0\n\nSitemap: {base_url}/sitemap.xml\n"
    )


def sitemap_xml(base_url: str, paths: Iterable[str]) -> Page:
    """The sitemap of the paths given."""
    urls = "\n".join(f"  <url><loc>{xml_escape(base_url + path)}</loc></url>" for path in paths)
    return text_page(
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{urls}\n</urlset>\n',
        content_type="application/xml",
    )


def in_pages(things: Sequence[_One], size: int) -> list[Sequence[_One]]:
    """The things in pages of a size; one empty page where there is nothing."""
    return [things[at : at + size] for at in range(0, len(things), size)] or [things]
