"""A past crawl parsed again with today's spider: archived pages in, items out. No network."""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from advisor.crawling.completeness import FIELDS
from advisor.crawling.crawl_settings import CrawlSettings
from advisor.crawling.decide import decide
from advisor.crawling.items import Item
from advisor.crawling.ledger import Entry
from advisor.crawling.messages import Request, Response, archive_name
from advisor.crawling.spiders.base import Spider
from advisor.errors import DataError


@dataclass
class Replay:
    """Iterate for the items, in the order of the crawl; counts is complete after that."""

    entries: Iterable[Entry]
    archive: Path
    spider: Spider
    shop: str
    counts: Counter[str] = field(default_factory=Counter)

    def __iter__(self) -> Iterator[Item]:
        settings = CrawlSettings().with_overrides(self.spider.settings)
        seen: set[str] = set()
        for entry in self.entries:
            outcome = decide(
                Request(entry.url, depth=entry.depth),
                Response(
                    url=entry.url,
                    status=200,
                    body=_read(self.archive / archive_name(entry.body)),
                    headers=entry.headers,
                ),
                spider=self.spider,
                shop=self.shop,
                settings=settings,
                now=entry.at,
            )
            self.counts["pages"] += 1
            self.counts.update(f"dropped:{reason}" for reason in outcome.dropped)
            self.counts.update(f"errors:{reason}" for reason in outcome.errors)
            for item in outcome.items:
                if item.id in seen:
                    self.counts["dropped:duplicate"] += 1
                    continue
                seen.add(item.id)
                self.counts["items"] += 1
                yield item


def compare(
    before: Iterable[Mapping[str, Any]], now: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    """What changed between lines of items.

    more, fewer: ids. fields_*: how many of the items in both gained a field, lost it, or have
    another value.
    """
    old = {line["id"]: line for line in before}
    new = {line["id"]: line for line in now}
    gained: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    changed: Counter[str] = Counter()
    for one in old.keys() & new.keys():
        for name in ("title", "category", "description", "currency", *FIELDS):
            was, is_now = old[one].get(name) or None, new[one].get(name) or None
            if was != is_now:
                (changed if was and is_now else gained if is_now else lost)[name] += 1
    return {
        "before": len(old),
        "now": len(new),
        "more": sorted(new.keys() - old.keys()),
        "fewer": sorted(old.keys() - new.keys()),
        "fields_gained": dict(sorted(gained.items())),
        "fields_lost": dict(sorted(lost.items())),
        "fields_changed": dict(sorted(changed.items())),
    }


def _read(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is missing or broken: the archive is not whole") from error
