"""The price history of a crawled folder: DIR/prices.jsonl, appended to by each crawl.

Each line is a price point with its product's id and the photos that the page showed with it.
"""

from __future__ import annotations

import filecmp
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from advisor.catalog.prices import corrected, judge, photos_differ, price_of
from advisor.catalog.products import PricePoint
from advisor.crawling.folder import ITEMS, ledger_path
from advisor.crawling.items import Item
from advisor.crawling.ledger import Ledger
from advisor.crawling.replay import Replay
from advisor.crawling.spiders.registry import open_spider
from advisor.errors import DataError

PRICES: Final = "prices.jsonl"
BEFORE_REPLAY: Final = "prices.before-replay.jsonl"


@dataclass(frozen=True)
class Sight:
    """An item as a crawl of the folder saw it. observed_at: ISO 8601, UTC."""

    item: Item
    run_id: str
    observed_at: str


@dataclass(frozen=True)
class Logged:
    """A line of the log."""

    product_id: str
    images: tuple[str, ...]
    point: PricePoint

    def to_line(self) -> str:
        """The line as it is written."""
        line = {"product_id": self.product_id, "images": list(self.images)}
        return json.dumps(line | self.point.to_dict(), ensure_ascii=False) + "\n"


@dataclass
class PriceLog:
    """The log in memory: each product's lines, oldest first."""

    lines: dict[str, list[Logged]]

    @classmethod
    def read(cls, folder: Path) -> PriceLog:
        """The folder's log; an empty one if it has none. A last line that a kill cut is left out.

        Raises: DataError, naming the line, if it is no such log.
        """
        path = folder / PRICES
        log = cls({})
        if not path.exists():
            return log
        *whole, _cut = path.read_text(encoding="utf-8").split("\n")
        for number, line in enumerate(whole, start=1):
            try:
                log._keep(_logged(json.loads(line)))
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(f"{path}, line {number}: no price: {error!r}") from error
        return log

    def see(self, sight: Sight) -> Logged | None:
        """Take note of a sight; returns the line to append, None if it says nothing new."""
        item = sight.item
        seen = price_of(item, run_id=sight.run_id, observed_at=sight.observed_at)
        lines = self.lines.get(item.product_id, [])
        if seen is None or (lines and lines[-1].point.observed_at >= seen.observed_at):
            return None
        point = judge(
            (line.point for line in reversed(lines)),
            seen,
            photos_changed=lambda: photos_differ(lines[-1].images, item.images),
        )
        return self._keep(Logged(item.product_id, item.images, point)) if point else None

    def points(self, product_id: str) -> list[PricePoint]:
        """A product's history, oldest first; empty for one that never showed a price."""
        return [line.point for line in self.lines.get(product_id, [])]

    def _keep(self, logged: Logged) -> Logged:
        self.lines.setdefault(logged.product_id, []).append(logged)
        return logged


def record(folder: Path) -> list[Logged]:
    """Append what the folder's newest crawl says of prices; the same again appends nothing."""
    log = PriceLog.read(folder)
    new = [line for sight in newest_sights(folder) if (line := log.see(sight))]
    path = folder / PRICES
    try:
        with path.open("ab") as file:
            _end_at_a_whole_line(path)
            file.write("".join(line.to_line() for line in new).encode("utf-8", "replace"))
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}") from error
    return new


def replay(folder: Path) -> tuple[PriceLog, PriceLog]:
    """Make the log anew out of every archived page, as today's spiders and parser read it.

    Returns: the log before and the new one. The new file takes the place of the old one when it
    is complete; what was there, if it said something else, stays as prices.before-replay.jsonl.
    Raises: DataError if the archive is not whole.
    """
    before, log = PriceLog.read(folder), PriceLog({})
    path, part = folder / PRICES, folder / f".{PRICES}.part"
    try:
        with part.open("w", encoding="utf-8", errors="replace") as file:
            for sight in all_sights(folder):
                if line := log.see(sight):
                    [point] = corrected(before.points(line.product_id), [line.point])
                    file.write(replace(line, point=point).to_line())
        if path.exists() and not filecmp.cmp(part, path, shallow=False):
            shutil.copyfile(path, folder / BEFORE_REPLAY)
        part.replace(path)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
    return before, log


def newest_sights(folder: Path) -> list[Sight]:
    """What the newest crawl found, each item with the time at which its page was fetched."""
    with Ledger(ledger_path(folder)) as ledger:
        crawl = next(iter(ledger.crawls()), None)
        if crawl is None or not (folder / ITEMS).exists():
            return []
        seen_at = {entry.body: entry.at for entry in ledger.pages(crawl.crawl)}
    with (folder / ITEMS).open(encoding="utf-8") as lines:
        items = [Item.from_dict(json.loads(line)) for line in lines if line.strip()]
    sights = [
        Sight(item, str(crawl.crawl), _iso(seen_at[item.page]))
        for item in items
        if item.page in seen_at
    ]
    return sorted(sights, key=lambda sight: sight.observed_at)


def all_sights(folder: Path, crawls: Iterable[int] = ()) -> Iterator[Sight]:
    """What crawls of the folder found, as today's spiders read the archived pages.

    crawls: their numbers, in order; all, the oldest first, if none is named.
    """
    with Ledger(ledger_path(folder)) as ledger:
        known = {crawl.crawl: crawl for crawl in ledger.crawls()}
        for crawl in (known[number] for number in crawls or sorted(known)):
            entries = list(ledger.pages(crawl.crawl))
            seen_at = {entry.body: entry.at for entry in entries}
            items = Replay(
                entries,
                archive=folder / "pages",
                spider=open_spider(crawl.spider, crawl.base_url),
                shop=crawl.shop,
            )
            for item in items:
                yield Sight(item, str(crawl.crawl), _iso(seen_at[item.page]))


def changed(
    before: Iterable[PricePoint], now: Iterable[PricePoint]
) -> Iterator[tuple[str, str, str]]:
    """What a replay changed of a product: time, what it said, what it says ("" for no point)."""
    old = {point.observed_at: _told(point) for point in before}
    new = {point.observed_at: _told(point) for point in now}
    for at in sorted(old.keys() | new.keys()):
        if old.get(at, "") != new.get(at, ""):
            yield at, old.get(at, ""), new.get(at, "")


def _told(point: PricePoint) -> str:
    return " ".join(filter(None, (str(point.price_minor), point.currency, point.state)))


def _logged(line: dict[str, Any]) -> Logged:
    known = {name: line[name] for name in PricePoint.__dataclass_fields__ if name in line}
    return Logged(line["product_id"], tuple(line.get("images", ())), PricePoint(**known))


def _end_at_a_whole_line(path: Path) -> None:
    """Cut off what a kill left of a line."""
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        os.truncate(path, data.rfind(b"\n") + 1)


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
