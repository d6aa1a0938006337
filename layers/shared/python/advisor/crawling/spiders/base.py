"""The spider contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

from advisor.crawling.items import Item
from advisor.crawling.messages import Page
from advisor.crawling.stages import Stage
from advisor.crawling.urls import origin_of

MAX_ITEMS = 1_000  # of one page; a list of goods has a hundred


@dataclass(frozen=True)
class ParsedPage:
    """What a spider reads off a page.

    items: as found; the stages clean, check and drop. requests: absolute addresses of pages to
    follow, as plain text, so that the many that are seen already cost no object. problems:
    reasons to count, of parts that could not be read.
    """

    items: tuple[Item, ...] = ()
    requests: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


class Spider(Protocol):
    """Reads one shop (or one kind of shop). Pure: the same page gives the same result."""

    @property
    def name(self) -> str:
        """What the registry, the command line and the runs call it."""
        ...

    @property
    def base_url(self) -> str:
        """Where the shop is; the crawl stays on this site."""
        ...

    @property
    def start_urls(self) -> tuple[str, ...]:
        """Where the crawl starts."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """What its shop needs otherwise than `CrawlSettings` has it, by the settings' names."""
        ...

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What its items go through, in this order."""
        ...

    def parse(self, page: Page) -> ParsedPage:
        """Items and links of a page; never an error for odd markup."""
        ...


def starts_at(base_url: str, paths: tuple[str, ...]) -> tuple[str, ...]:
    """The start addresses: the paths on the base, or the base itself where it has a path."""
    if urlsplit(base_url).path not in ("", "/"):
        return (base_url,)
    origin = origin_of(base_url)
    return tuple(origin + path for path in paths)


def clean(text: str | None) -> str:
    """Text with each run of white space as one space; nothing else is changed."""
    return " ".join((text or "").split())
