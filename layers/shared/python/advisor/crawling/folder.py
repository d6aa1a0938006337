"""A crawl in a plain folder, written so that a stop at any moment leaves it usable.

DIR/items.jsonl, DIR/photos.jsonl   complete lines only
DIR/items.csv                       the same items as a table, once it was asked for
DIR/images/<category>/<sku>-<image id>.<ext>
DIR/crawls.jsonl                    the statistics of each crawl, a line when it ends
DIR/pages/<ab>/<hash of the body>.gz
DIR/.crawl/                         frontier.sqlite, ledger.sqlite (the index of pages, too); the
                                    lines of a re-crawl until it is complete; the newest answers
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Self

from advisor.crawling.answers import KeptAnswers, forget_answers
from advisor.crawling.completeness import LostField, lost_fields, shares
from advisor.crawling.crawl_settings import CrawlSettings
from advisor.crawling.fetch import Fetch
from advisor.crawling.finish import BUDGETS, COMPLETE, SHOP_DOWN
from advisor.crawling.ledger import TOO_DEEP, Ledger
from advisor.crawling.messages import (
    ArchivedPage,
    Request,
    archive_name,
    body_hash,
)
from advisor.crawling.photos import EXTENSIONS, Photo
from advisor.crawling.recall import Known
from advisor.crawling.sink import Results
from advisor.crawling.sqlite_frontier import SqliteFrontier
from advisor.crawling.tables import write_csv
from advisor.errors import DataError, UsageError
from advisor.naming import path_segment

FORMAT = "2"  # of DIR/.crawl and DIR/pages
FRONTIER = "frontier.sqlite"
LEDGER = "ledger.sqlite"
ITEMS = "items.jsonl"
PHOTOS = "photos.jsonl"
TABLE = "items.csv"
CRAWLS = "crawls.jsonl"
_LINES = (ITEMS, PHOTOS)
_STATE = ".crawl"


def ledger_path(root: Path) -> Path:
    """Where the ledger of a crawl folder is."""
    return root / _STATE / LEDGER


class CrawlFolder:
    """An open crawl folder: a `Sink`, with the frontier beside it.

    resumed: it goes on from where an earlier crawl stopped. A crawl that had come to its end is
    started afresh instead; its earlier lines stay until the new ones are complete.
    """

    def __init__(
        self,
        root: Path,
        *,
        identity: Mapping[str, str],
        settings: CrawlSettings,
        fingerprint: str = "",
        table: bool = False,
    ) -> None:
        """Open the folder or make it. identity: what must be the same to go on (spider, ...).

        fingerprint: of the spider; with one, a later crawl recalls what it read off a page.
        table: keep DIR/items.csv, too; a folder that has one keeps it in any case.

        Raises: UsageError if another crawl is writing to it, or it is not of this identity;
            DataError if it holds lines of no crawl, or not those its crawl wrote.
        """
        self.root = root
        self._state = root / _STATE
        ours = (self._state / FRONTIER).exists()
        if not ours and any((root / name).exists() for name in _LINES):
            raise DataError(f"{root} holds {ITEMS} that no crawl belongs to; name an empty folder")
        try:
            self._state.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{root} cannot be made: {error.strerror}") from error
        self.frontier = SqliteFrontier(self._state / FRONTIER)
        self.ledger = Ledger(ledger_path(root), writing=True)
        self._files: dict[str, BinaryIO] = {}
        self._made: set[Path] = set()
        self._fingerprint = fingerprint
        self._table = table or (root / TABLE).exists()
        try:
            (self._state / "part").unlink(missing_ok=True)  # left by a kill
            self.resumed = self._prepare({"format": FORMAT, **identity}, settings)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        self.close()
        if isinstance(error, sqlite3.OperationalError):
            raise self._unwritable(error) from error

    def write(self, results: Results) -> Mapping[str, int]:
        """Keep pages, photos and lines; returns the lengths of the files of lines."""
        try:
            for page in results.pages:
                self._archive(page)
            self.ledger.record(
                self._crawl,
                results.visits,
                results.found,
                too_deep=results.too_deep,
                spider=self._fingerprint,
            )
            photos = [self._keep_photo(photo) for photo in results.photos]
            items = [item.to_dict() for item in results.items]
            return {ITEMS: self._append(ITEMS, items), PHOTOS: self._append(PHOTOS, photos)}
        except OSError as error:
            raise self._unwritable(error) from error

    def recall(self, request: Request) -> Known | None:
        """A page or photo as an earlier crawl of this folder found it."""
        if self._crawl == 1 or not self._fingerprint:
            return None
        if request.kind == "photo":
            return self._recall_photo(request)
        known = self.ledger.recall(request.key, spider=self._fingerprint)
        return known if known and self._page_path(known.body).exists() else None

    def keeping_answers(self, fetcher: Fetch) -> Fetch:
        """The fetcher, which after a kill is not asked again for what it has answered."""
        return KeptAnswers(fetcher, self._state, waiting=self.frontier.waiting)

    def too_deep(self) -> int:
        """How many addresses the crawl found and left out because of its max_depth."""
        return self.ledger.count(self._crawl, TOO_DEEP)

    def end(self, reason: str) -> None:
        """Record how the crawl ended; complete new lines take the place of earlier ones."""
        self._close_files()
        forget_answers(self._state)
        self.ledger.finish(self._crawl, reason)
        self.frontier.set_meta(finish_reason=reason)
        self._settle_lines()
        if self._table:
            self._write_table()

    def keep_statistics(self, figures: Mapping[str, Any]) -> list[LostField]:
        """Add a line to DIR/crawls.jsonl: the figures, and which fields the items have.

        Returns: the fields that they lost since the crawl before that came to its end.
        """
        fields = shares(self.frontier.counts())
        path = self.root / CRAWLS
        try:
            before = _earlier(path, self._crawl)
            lost = lost_fields(before, fields) if figures["finish_reason"] in COMPLETE else []
            line = {
                "crawl": self._crawl,
                "ended": datetime.now(UTC).isoformat(timespec="seconds"),
                **figures,
                "fields": fields,
                "lost_fields": [asdict(one) for one in lost],
            }
            whole = not path.exists() or path.read_bytes()[-1:] in (b"", b"\n")
            with path.open("a", encoding="utf-8", errors="replace") as file:
                file.write(("" if whole else "\n") + json.dumps(line, ensure_ascii=False) + "\n")
        except OSError as error:
            raise self._unwritable(error) from error
        return lost

    def close(self) -> None:
        """Let go of the folder; a crawl that was not ended is one to go on with."""
        self._close_files()
        self.ledger.close()
        self.frontier.close()

    def _unwritable(self, error: Exception) -> DataError:
        why = getattr(error, "strerror", None) or error
        return DataError(
            f"cannot write to {self.root}: {why}; the same command goes on when it can be written"
        )

    def _prepare(self, identity: Mapping[str, str], settings: CrawlSettings) -> bool:
        """Make the folder ready to write to; whether an earlier crawl goes on."""
        meta = self.frontier.meta()
        if meta and meta.get("format") != FORMAT:
            raise UsageError(
                f"{self.root} was written by another version of this program; name another folder"
            )
        for name, value in identity.items():
            if meta and meta.get(name) != value:
                raise UsageError(
                    f"{self.root} holds a crawl of {name} {meta.get(name)!r}, not {value!r}; "
                    "name another folder"
                )
        self._settle_lines()
        resumed = bool(meta) and not self._is_complete(settings)
        if resumed:
            self.frontier.set_meta(finish_reason="")
        else:
            names = {name: identity[name] for name in ("spider", "base_url", "shop")}
            forget_answers(self._state)
            crawl = self.ledger.begin(started=time.time(), **names)
            self.frontier.reset(**identity, crawl=str(crawl), beside="yes" if meta else "")
        self._crawl = int(self.frontier.meta()["crawl"])
        self._open_files()
        if self._table_is_old():
            self._write_table()
        return resumed

    def _is_complete(self, settings: CrawlSettings) -> bool:
        """Whether the crawl in the folder came to the end that is asked for now."""
        reason = self.frontier.meta().get("finish_reason")
        if reason in BUDGETS:
            return bool(settings.spent(self.frontier.counts()))
        given_up = reason == SHOP_DOWN and not self.frontier.hosts()  # nothing left to go on with
        return given_up or reason in COMPLETE

    def _settle_lines(self) -> None:
        """Move the lines of a re-crawl that is complete to their place; again after a kill."""
        meta = self.frontier.meta()
        if meta.get("beside") and meta.get("finish_reason") in COMPLETE:
            for name in _LINES:
                if (self._state / name).exists():
                    (self._state / name).replace(self.root / name)
            self.frontier.set_meta(beside="")

    def _open_files(self) -> None:
        folder = self._state if self.frontier.meta().get("beside") else self.root
        written = self.frontier.checkpoint()
        for name in _LINES:
            path = folder / name
            size = path.stat().st_size if path.exists() else 0
            if size < written.get(name, 0):
                raise DataError(
                    f"{path} is shorter than its crawl left it; name an empty folder to start anew"
                )
            self._files[name] = path.open("ab")
            # Lines after the last settlement belong to pages that will be fetched again.
            if size > written.get(name, 0):
                self._files[name].truncate(written.get(name, 0))
            self._files[name].seek(0, os.SEEK_END)

    def _write_table(self) -> None:
        """Write DIR/items.csv anew from DIR/items.jsonl."""
        part = self._state / TABLE
        try:
            write_csv(self.root / ITEMS, part)
            part.replace(self.root / TABLE)
        except OSError as error:
            raise self._unwritable(error) from error

    def _table_is_old(self) -> bool:
        """Whether a crawl was killed before it had written the table of its lines."""
        lines, table = self.root / ITEMS, self.root / TABLE
        if not self._table or not (lines.exists() and lines.stat().st_size):
            return False
        return not table.exists() or table.stat().st_mtime_ns < lines.stat().st_mtime_ns

    def _close_files(self) -> None:
        for file in self._files.values():
            with suppress(OSError):  # of a full disk: those lines are not settled, and come again
                file.close()
        self._files.clear()

    def _append(self, name: str, lines: Iterable[Mapping[str, Any]]) -> int:
        """Add lines in one write, so that a kill leaves whole ones; returns the file's length."""
        file = self._files[name]
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        file.write(text.encode("utf-8", "replace"))
        file.flush()
        return file.tell()

    def _archive(self, page: ArchivedPage) -> None:
        path = self._page_path(page.digest)
        if not path.exists():
            self._replace(path, page.data)

    def _recall_photo(self, request: Request) -> Known | None:
        """The photo, where it lies under the category that the item has now, as it was stored."""
        for entry in self.ledger.find(request.key):
            known = Known(body=entry.body, headers=entry.headers)
            if not entry.body or not known.conditions:
                continue
            for extension in EXTENSIONS:
                with suppress(OSError):  # not there
                    data = self._photo_path(request, entry.body, extension).read_bytes()
                    if body_hash(data) == entry.body:
                        return replace(known, data=data)
        return None

    def _photo_path(self, of: Photo | Request, image_id: str, extension: str) -> Path:
        name = f"{path_segment(of.sku)}-{image_id[:12]}.{extension}"
        return self.root / "images" / path_segment(of.category) / name

    def _page_path(self, digest: str) -> Path:
        return self.root / "pages" / archive_name(digest)

    def _keep_photo(self, photo: Photo) -> dict[str, str]:
        path = self._photo_path(photo, photo.image_id, photo.extension)
        if not (path.exists() and path.stat().st_size == len(photo.data)):  # the name has its hash
            self._replace(path, photo.data)
        return {
            "path": path.relative_to(self.root).as_posix(),
            "product_id": photo.product_id,
            "image_id": photo.image_id,
            "url": photo.url,
        }

    def _replace(self, path: Path, data: bytes) -> None:
        """Write a file whole or not at all."""
        if path.parent not in self._made:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(path.parent)
        part = self._state / "part"
        part.write_bytes(data)
        part.replace(path)


def _earlier(path: Path, crawl: int) -> dict[str, float]:
    """The shares of fields in the last crawl before this one that came to its end."""
    fields: dict[str, float] = {}
    if path.exists():
        for text in path.read_text("utf-8").splitlines():
            with suppress(ValueError, TypeError, LookupError):  # a line that a kill cut
                line = json.loads(text)
                if line["crawl"] != crawl and line["finish_reason"] in COMPLETE:
                    fields = dict(line["fields"])
    return fields
