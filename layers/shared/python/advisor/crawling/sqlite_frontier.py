"""The frontier on a laptop: one SQLite file from which a stopped crawl goes on."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import RLock
from typing import Self

from advisor.crawling.frontier import HostState, Settlement
from advisor.crawling.messages import Kind, Request
from advisor.errors import DataError, UsageError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS hosts (host TEXT PRIMARY KEY, robots TEXT, next_at REAL NOT NULL)
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen (key BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS todo (
    key BLOB PRIMARY KEY, host TEXT NOT NULL, kind TEXT NOT NULL, taken INTEGER NOT NULL,
    due REAL NOT NULL, request TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS todo_by_host ON todo (host, kind, taken, due);
"""
_MAX_CACHED = 10_000  # 16-byte keys: 1 MB; the file is asked for the rest


class SqliteFrontier:
    """A `Frontier` in a file, held by one process at a time, safe to use from its threads."""

    def __init__(self, path: Path) -> None:
        """Open or make the file.

        Raises: UsageError if another crawl holds it, DataError if it is no frontier.
        """
        self._lock = RLock()
        self._cache: set[bytes] = set()
        self._db = sqlite3.connect(path, timeout=0.5, isolation_level=None, check_same_thread=False)
        try:
            self._db.execute("PRAGMA locking_mode=EXCLUSIVE")  # the lock goes with the process
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("BEGIN EXCLUSIVE")
            for statement in _SCHEMA.split(";"):
                self._db.execute(statement)
            self._db.execute("UPDATE todo SET taken = 0 WHERE taken = 1")
            self._db.execute("COMMIT")
            rows = self._db.execute("SELECT DISTINCT host FROM todo").fetchall()
            self._hosts: dict[str, None] = dict.fromkeys(host for (host,) in rows)
        except sqlite3.OperationalError as error:
            self._db.close()
            folder = path.parent.parent
            if error.sqlite_errorname in ("SQLITE_BUSY", "SQLITE_LOCKED"):
                raise UsageError(f"another crawl is writing to {folder}") from error
            raise DataError(f"cannot write to {folder}: {error}") from error
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise DataError(f"{path} holds no crawl: {error}") from error

    def close(self) -> None:
        """Let go of the file; what was settled stays."""
        with self._lock:
            with suppress(sqlite3.OperationalError):  # none is open
                self._db.execute("ROLLBACK")
            self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def meta(self) -> dict[str, str]:
        """What the owner of the crawl wrote about it."""
        with self._lock:
            return dict(self._db.execute("SELECT name, value FROM meta"))

    def set_meta(self, **values: str) -> None:
        """Write about the crawl, all or nothing."""
        with self._lock:
            self._begin()
            self._db.executemany("REPLACE INTO meta VALUES (?, ?)", values.items())
            self._db.execute("COMMIT")

    def reset(self, **meta: str) -> None:
        """Forget everything, and write this about the crawl that starts, all or nothing."""
        with self._lock:
            self._begin()
            for table in ("counts", "hosts", "seen", "todo", "meta"):
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608 (names from above)
            self._db.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
            self._db.execute("COMMIT")
            self._cache.clear()
            self._hosts.clear()

    def checkpoint(self) -> dict[str, int]:
        """How far the sink had written at the last settlement."""
        values: dict[str, int] = json.loads(self.meta().get("checkpoint", "{}"))
        return values

    def hosts(self) -> Collection[str]:
        with self._lock:
            return tuple(self._hosts)

    def host(self, host: str) -> HostState:
        with self._lock:
            row = self._db.execute(
                "SELECT robots, next_at FROM hosts WHERE host = ?", (host,)
            ).fetchone()
        return HostState(robots=row[0], next_at=row[1]) if row else HostState()

    def save_host(self, host: str, state: HostState) -> None:
        with self._lock:
            self._begin()
            self._db.execute(
                "REPLACE INTO hosts VALUES (?, ?, ?)", (host, state.robots, state.next_at)
            )

    def unseen(self, keys: Iterable[str]) -> set[str]:
        with self._lock:
            return {key for key in keys if not self._seen(_digest(key))}

    def take(self, host: str, *, kinds: Collection[Kind], limit: int, now: float) -> list[Request]:
        with self._lock:
            self._begin()
            rows: list[tuple[bytes, str]] = []
            for kind in kinds:
                rows += self._db.execute(
                    "SELECT key, request FROM todo WHERE host = ? AND kind = ? AND taken = 0 "
                    "AND due <= ? ORDER BY due LIMIT ?",
                    (host, kind, now, limit - len(rows)),
                )
            self._db.executemany(
                "UPDATE todo SET taken = 1 WHERE key = ?", [row[:1] for row in rows]
            )
        return [Request.from_dict(json.loads(text)) for _, text in rows]

    def waiting(self, requests: Iterable[Request]) -> list[Request]:
        """Those of the requests that are still to do."""
        with self._lock:
            return [one for one in requests if self._is_to_do(_digest(one.key))]

    def next_due(self, host: str, *, kinds: Collection[Kind]) -> float | None:
        with self._lock:
            found = [
                self._db.execute(
                    "SELECT min(due) FROM todo WHERE host = ? AND kind = ? AND taken = 0",
                    (host, kind),
                ).fetchone()[0]
                for kind in kinds
            ]
        return min((due for due in found if due is not None), default=None)

    def settle(self, settlement: Settlement) -> None:
        with self._lock:
            self._begin()
            self._db.executemany(
                "DELETE FROM todo WHERE key = ?", [(_digest(one.key),) for one in settlement.done]
            )
            self._db.executemany(
                "UPDATE todo SET taken = 0, due = ?, request = ? WHERE key = ?",
                [(due, _text(one), _digest(one.key)) for one, due in settlement.retries],
            )
            for request in settlement.new:
                digest = _digest(request.key)
                if self._claim(digest):
                    self._hosts[request.host] = None
                    self._db.execute(
                        "INSERT INTO todo VALUES (?, ?, ?, 0, 0, ?)",
                        (digest, request.host, request.kind, _text(request)),
                    )
            for key in settlement.claimed:
                self._claim(_digest(key))
            self._db.executemany(
                "INSERT INTO counts VALUES (?, ?) "
                "ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
                settlement.counts.items(),
            )
            if settlement.checkpoint:
                text = json.dumps(dict(settlement.checkpoint))
                self._db.execute("REPLACE INTO meta VALUES ('checkpoint', ?)", (text,))
            self._db.execute("COMMIT")

    def counts(self) -> Mapping[str, int]:
        with self._lock:
            return Counter(dict(self._db.execute("SELECT name, value FROM counts")))

    def _begin(self) -> None:
        if not self._db.in_transaction:
            self._db.execute("BEGIN")

    def _is_to_do(self, digest: bytes) -> bool:
        row = self._db.execute("SELECT 1 FROM todo WHERE key = ?", (digest,)).fetchone()
        return row is not None

    def _seen(self, digest: bytes) -> bool:
        if digest in self._cache:
            return True
        row = self._db.execute("SELECT 1 FROM seen WHERE key = ?", (digest,)).fetchone()
        if row:
            self._remember(digest)
        return row is not None

    def _claim(self, digest: bytes) -> bool:
        cursor = self._db.execute("INSERT OR IGNORE INTO seen VALUES (?)", (digest,))
        self._remember(digest)
        return cursor.rowcount == 1

    def _remember(self, digest: bytes) -> None:
        if len(self._cache) >= _MAX_CACHED:
            self._cache.clear()
        self._cache.add(digest)


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _text(request: Request) -> str:
    return json.dumps(request.to_dict())
