"""The ledger of a crawl folder: what became of every address, and which body it had.

One SQLite file beside the frontier, over all crawls of the folder. SQLite and not JSON lines: it
is asked by address (why, conditional requests) while a crawl is writing to it.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Self

from advisor.crawling.messages import Request
from advisor.crawling.recall import Known, Packed, unpack
from advisor.errors import DataError

SEEN = "seen"  # a page links to it
FETCHED = "fetched"
REDIRECTED = "redirected"
RETRY = "to be tried again"
FAILED = "failed"
REFUSED = "refused by robots.txt"
TOO_DEEP = "too deep"  # a page links to it that is at the max_depth of the crawl

_SCHEMA = """
CREATE TABLE IF NOT EXISTS crawls (
    crawl INTEGER PRIMARY KEY, started REAL NOT NULL, spider TEXT NOT NULL,
    base_url TEXT NOT NULL, shop TEXT NOT NULL, finish_reason TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS visits (
    key BLOB NOT NULL, crawl INTEGER NOT NULL, url TEXT NOT NULL, kind TEXT NOT NULL,
    found_on TEXT NOT NULL, depth INTEGER NOT NULL, state TEXT NOT NULL,
    status INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0,
    at REAL NOT NULL DEFAULT 0, detail TEXT NOT NULL DEFAULT '',
    headers TEXT NOT NULL DEFAULT '{}', body TEXT NOT NULL DEFAULT '', UNIQUE (key, crawl));
CREATE TABLE IF NOT EXISTS parses (
    key BLOB PRIMARY KEY, crawl INTEGER NOT NULL, spider TEXT NOT NULL, parsed BLOB NOT NULL);
"""
_COLUMNS = "crawl, url, kind, found_on, depth, state, status, attempts, at, detail, headers, body"
_SEE = """
INSERT INTO visits (key, crawl, url, kind, found_on, depth, state)
VALUES (?, ?, ?, ?, ?, ?, 'seen')
ON CONFLICT (key, crawl) DO UPDATE SET
    state = excluded.state, found_on = excluded.found_on, depth = excluded.depth
    WHERE state = 'too deep'
"""
_LEAVE = """
INSERT OR IGNORE INTO visits (key, crawl, url, kind, found_on, depth, state)
VALUES (?, ?, ?, ?, ?, ?, 'too deep')
"""
_VISIT = """
INSERT INTO visits
    (key, crawl, url, kind, found_on, depth, state, status, attempts, at, detail, headers, body)
VALUES (?, ?, ?, ?, '', ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (key, crawl) DO UPDATE SET
    rowid = (SELECT max(rowid) + 1 FROM visits),  -- of two pages of a product the first one counts
    state = excluded.state, status = excluded.status, attempts = excluded.attempts,
    at = excluded.at, detail = excluded.detail, headers = excluded.headers, body = excluded.body
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Visit:
    """What became of a request.

    body: hash of the archived one. parsed: for `recall`. extension: of the file of a photo.
    """

    request: Request
    state: str
    status: int = 0
    at: float = 0.0
    detail: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    parsed: Packed | None = None
    extension: str = ""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What the ledger says of an address in one crawl. attempts: those that failed."""

    crawl: int
    url: str
    kind: str
    found_on: str
    depth: int
    state: str
    status: int
    attempts: int
    at: float
    detail: str
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True, kw_only=True)
class PastCrawl:
    """A crawl of the folder, the newest with the highest number."""

    crawl: int
    started: float
    spider: str
    base_url: str
    shop: str
    finish_reason: str


class Ledger:
    """Open with `writing` for the crawl itself; else it only reads, also beside a crawl.

    A crawl records in one thread, and asks what it recorded in others.
    """

    def __init__(self, path: Path, *, writing: bool = False) -> None:
        """Raises: DataError if there is none to read, or it is no ledger."""
        if not writing and not path.exists():
            raise DataError(f"{path.parent.parent} holds no crawl with a ledger")
        self._lock = Lock()
        self._db = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
        try:
            if writing:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=NORMAL")
                self._db.executescript(_SCHEMA)
            else:
                self._db.execute("PRAGMA query_only=1")
                self._db.execute("SELECT count(*) FROM crawls")
        except sqlite3.OperationalError as error:
            self._db.close()
            raise DataError(f"cannot open {path}: {error}") from error
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise DataError(f"{path} is no ledger: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def begin(self, *, started: float, spider: str, base_url: str, shop: str) -> int:
        """Note that a crawl starts; returns its number."""
        row = self._db.execute(
            "INSERT INTO crawls (started, spider, base_url, shop) VALUES (?, ?, ?, ?) "
            "RETURNING crawl",
            (started, spider, base_url, shop),
        ).fetchone()
        return int(row[0])

    def finish(self, crawl: int, reason: str) -> None:
        """Note how a crawl ended."""
        self._db.execute("UPDATE crawls SET finish_reason = ? WHERE crawl = ?", (reason, crawl))

    def record(
        self,
        crawl: int,
        visits: Collection[Visit],
        found: Collection[tuple[Request, str]],
        *,
        too_deep: Collection[tuple[Request, str]] = (),
        spider: str = "",
    ) -> None:
        """Note visits, and requests with the page that each was found on, all or nothing.

        too_deep: requests that are left out, unless a shorter way leads there too.
        spider: its fingerprint, under which `recall` gives back what it read off the pages.
        """
        with self._lock:
            self._db.execute("BEGIN")
            for statement, requests in ((_SEE, found), (_LEAVE, too_deep)):
                rows = [
                    (_digest(one.key), crawl, one.url, one.kind, page, one.depth)
                    for one, page in requests
                ]
                self._db.executemany(statement, rows)
            self._db.executemany(_VISIT, [_row(crawl, visit) for visit in visits])
            if spider:
                self._db.executemany(
                    "REPLACE INTO parses VALUES (?, ?, ?, ?)",
                    [
                        (_digest(visit.request.key), crawl, spider, visit.parsed)
                        for visit in visits
                        if visit.parsed
                    ],
                )
            self._db.execute("COMMIT")

    def recall(self, key: str, *, spider: str) -> Known | None:
        """A page as this spider last read it."""
        with self._lock:
            row = self._db.execute(
                "SELECT parsed, body, headers FROM parses JOIN visits USING (key, crawl) "
                "WHERE key = ? AND spider = ? AND body != ''",
                (_digest(key), spider),
            ).fetchone()
        if row is None:
            return None
        return Known(parsed=unpack(row[0]), body=row[1], headers=json.loads(row[2]))

    def count(self, crawl: int, state: str) -> int:
        """How many addresses of a crawl are in this state."""
        row = self._db.execute(
            "SELECT count(*) FROM visits WHERE crawl = ? AND state = ?", (crawl, state)
        ).fetchone()
        return int(row[0])

    def crawls(self) -> list[PastCrawl]:
        """All crawls of the folder, the newest first."""
        rows = self._db.execute(
            "SELECT crawl, started, spider, base_url, shop, finish_reason FROM crawls "
            "ORDER BY crawl DESC"
        )
        names = ("crawl", "started", "spider", "base_url", "shop", "finish_reason")
        return [PastCrawl(**dict(zip(names, row, strict=True))) for row in rows]

    def find(self, key: str) -> list[Entry]:
        """What became of a request (`Request.key`) in each crawl, the newest first."""
        with self._lock:
            rows = self._db.execute(
                f"SELECT {_COLUMNS} FROM visits WHERE key = ? ORDER BY crawl DESC",  # noqa: S608 (our names)
                (_digest(key),),
            ).fetchall()
        return [_entry(row) for row in rows]

    def pages(self, crawl: int) -> Iterator[Entry]:
        """The pages of a crawl that are archived, in the order in which they were settled."""
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM visits "  # noqa: S608 (our names)
            "WHERE crawl = ? AND kind = 'page' AND body != '' ORDER BY at, rowid",
            (crawl,),
        )
        return map(_entry, rows)


def _row(crawl: int, visit: Visit) -> tuple[Any, ...]:
    one = visit.request
    return (
        _digest(one.key), crawl, one.url, one.kind, one.depth, visit.state, visit.status,
        one.attempts, visit.at, visit.detail, json.dumps(dict(visit.headers)), visit.body,
    )  # fmt: skip


def _entry(row: tuple[Any, ...]) -> Entry:
    values = dict(zip(_COLUMNS.split(", "), row, strict=True))
    return Entry(**values | {"headers": json.loads(values["headers"])})


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()
