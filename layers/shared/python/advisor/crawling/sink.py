"""Where a crawl's results go: a folder on a laptop, S3 and DynamoDB on AWS."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from advisor.crawling.items import Item
from advisor.crawling.ledger import Visit
from advisor.crawling.messages import ArchivedPage, Request
from advisor.crawling.photos import Photo


@dataclass(frozen=True, kw_only=True)
class Results:
    """What a batch of fetches brought.

    visits: what became of each request. found: new requests, each with the page that it is on.
    too_deep: requests that are not made, as their page is at the settings' max_depth.
    """

    pages: Collection[ArchivedPage] = ()
    items: Collection[Item] = ()
    photos: Collection[Photo] = ()
    visits: Collection[Visit] = ()
    found: Collection[tuple[Request, str]] = ()
    too_deep: Collection[tuple[Request, str]] = ()


class Sink(Protocol):
    """Keeps results. Writing the same ones again leaves what was there."""

    def write(self, results: Results) -> Mapping[str, int]:
        """Keep a batch; returns how far it has written, for the frontier to remember."""
        ...
