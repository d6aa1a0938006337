"""Features of photos, computed by the very .tflite that serves, and cached by content."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

import numpy as np

from advisor.errors import UnreadableImageError, UsageError
from advisor.vision.fingerprints import Fingerprint, fingerprint
from advisor.vision.images import PREPROCESSING_ID, decode, image_id
from advisor.vision.interpreter import Model
from training.backbones import Weights
from training.config import FLOAT16
from training.dataset import PhotoFile
from training.duplicates import Fingerprints
from training.parallel import Progress, map_photos
from training.rows import FloatArray, RowFile, Rows

T = TypeVar("T")
_STAGE = "Reading photos"
_WRITE_EVERY = 500
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


@dataclass(frozen=True)
class Features:
    """What is kept of a readable photo. vector: float32 (features,), as the backbone pools."""

    vector: FloatArray
    fingerprint: Fingerprint


@dataclass(frozen=True)
class Found:
    """What was found out about a content. features is None where reason tells why."""

    sha256: str
    features: Features | None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of many contents, by sha256: the row of their features, or why they have none.

    vectors: float32 (rows, features).
    """

    rows: dict[str, int]
    reasons: dict[str, str]
    vectors: Rows
    fingerprints: Fingerprints

    def joined(self, other: Known) -> Known:
        """Both, the other's rows after these."""
        moved = {sha256: row + len(self.vectors) for sha256, row in other.rows.items()}
        mine, others = self.fingerprints, other.fingerprints
        return Known(
            rows=self.rows | moved,
            reasons=self.reasons | other.reasons,
            vectors=self.vectors + other.vectors,
            fingerprints=Fingerprints(
                np.concatenate([mine.dhashes, others.dhashes]), mine.thumbnails + others.thumbnails
            ),
        )


@dataclass(frozen=True, slots=True)
class Read:
    """A photo file that was read.

    sha256: of its content; "" where not even that could be read. row: of its features; None
    where reason tells why it has none.
    """

    file: PhotoFile
    sha256: str
    row: int | None = None
    reason: str = ""


class FeatureCache:
    """Features by photo content, in one SQLite file for a backbone and a preprocessing.

    Two runs may use it at once; what a killed run had computed is there for the next. A damaged
    file is begun anew, as all that it held can be computed again.
    Raises: UsageError, from every method, if the file cannot be read or written.
    """

    def __init__(self, folder: Path, weights: Weights, precision: str = FLOAT16) -> None:
        # The kind, too: one .h5 file can be a backbone as it is, or a box of layers for another.
        recipe = f"{weights.sha256} {weights.kind.value} {PREPROCESSING_ID}"
        if precision != FLOAT16:
            recipe += f" {precision}"
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{hashlib.sha256(recipe.encode()).hexdigest()[:24]}.sqlite"
        self._do(lambda _: os.utime(self._path))  # the least recently used go first when pruned

    def find_all(self, contents: Sequence[str]) -> dict[str, Found]:
        """What is known of contents, by sha256."""
        found = self._do(lambda connection: [_find(connection, sha256) for sha256 in contents])
        return {one.sha256: one for one in found if one is not None}

    def put(self, found: Sequence[Found]) -> None:
        """Keep what was found out, all of it or nothing."""
        if found:
            rows = [_row(one) for one in found]
            insert = "INSERT OR REPLACE INTO photos VALUES (?, ?, ?, ?, ?)"
            self._do(lambda connection: connection.executemany(insert, rows))

    def known(
        self, contents: Sequence[str], compute: Callable[[Sequence[str]], Iterable[Found]]
    ) -> Known:
        """What is known of many contents, after computing what is not known yet.

        compute: asked once for all new contents, gives what it found in the same order; where it
        names none, the content could not be read.
        """
        return gather(self._known_and_computed(contents, compute), self._path.parent)

    def _known_and_computed(
        self, contents: Sequence[str], compute: Callable[[Sequence[str]], Iterable[Found]]
    ) -> Iterator[Found]:
        # As they lie in the file: a million in another order are as many places to read from.
        ordered, there = sorted(contents), set[str]()
        for start in range(0, len(ordered), _WRITE_EVERY):
            known = self.find_all(ordered[start : start + _WRITE_EVERY])
            yield from known.values()
            there.update(known)
        if new := [sha256 for sha256 in contents if sha256 not in there]:
            for sha256, found in zip(new, compute(new), strict=True):
                # By the hash of before: the file may have changed, or gone, since.
                yield replace(found, sha256=sha256)

    def keeping(
        self, computed: Iterable[Found], stage: str, progress: Progress, count: int
    ) -> Iterator[Found]:
        """The same, kept some at a time; after Ctrl-C, too, what was computed stays."""
        unsaved: list[Found] = []
        try:
            for done, found in enumerate(computed, start=1):
                if found.sha256:
                    unsaved.append(found)
                yield found
                progress(stage, done, count)
                if len(unsaved) >= _WRITE_EVERY:
                    self.put(unsaved)
                    unsaved = []
        except BaseException:  # Ctrl-C, or a full disk; that is told, and not that this fails, too
            with suppress(UsageError):
                self.put(unsaved)
            raise
        self.put(unsaved)

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What the work gives, all of it or nothing."""
        try:
            try:
                return self._try(work)
            except sqlite3.DatabaseError as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DAMAGED:
                    raise
                for suffix in ("", "-journal"):
                    Path(f"{self._path}{suffix}").unlink(missing_ok=True)
                return self._try(work)
        except sqlite3.Error as error:
            raise UsageError(f"{self._path}, a cache of features, fails: {error}") from error

    def _try(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with closing(sqlite3.connect(self._path, timeout=60)) as connection, connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS photos (sha256 TEXT PRIMARY KEY, dhash TEXT, "
                "thumbnail BLOB, vector BLOB, reason TEXT NOT NULL) WITHOUT ROWID"
            )
            return work(connection)


def gather(found: Iterable[Found], folder: Path) -> Known:
    """What was found of contents, each of them once. folder: where the files without names are."""
    rows: dict[str, int] = {}
    reasons: dict[str, str] = {}
    dhashes = array("Q")
    with RowFile(folder) as vectors, RowFile(folder, np.uint8) as thumbnails:
        for one in found:
            if one.features is None:
                reasons[one.sha256] = one.reason
                continue
            mark = one.features.fingerprint
            rows[one.sha256] = vectors.add(one.features.vector)
            thumbnails.add(np.frombuffer(mark.thumbnail, np.uint8))
            dhashes.append(mark.dhash)
        marks = Fingerprints(np.array(dhashes, np.uint64), thumbnails.rows())
        return Known(rows=rows, reasons=reasons, vectors=vectors.rows(), fingerprints=marks)


def read_photos(
    files: Sequence[PhotoFile],
    graph: Callable[[], bytes],
    cache: FeatureCache,
    progress: Progress,
    stored: Known | None = None,
) -> tuple[list[Read], Known]:
    """Features of every photo, in order; only contents not met before are decoded.

    graph: gives the .tflite, asked for only where a photo is new. stored: what is known already,
    and is not asked the cache for. A photo that cannot be read is returned with the reason, which
    is remembered where the content is at fault.
    """
    first: dict[str, int] = {}
    hashes, reasons = [], {}
    for number, found in enumerate(map_photos(lambda: _hash, files)):
        hashes.append(found.sha256)
        if found.sha256:
            first.setdefault(found.sha256, number)
        else:
            reasons[number] = found.reason

    def compute(new: Sequence[str]) -> Iterator[Found]:
        unread = [files[first[sha256]] for sha256 in new]
        worker = _make_reader(graph())
        return cache.keeping(map_photos(worker, unread), _STAGE, progress, len(unread))

    unknown = [sha256 for sha256 in first if stored is None or sha256 not in stored.rows]
    known = cache.known(unknown, compute)
    if stored is not None:
        known = stored.joined(known)
    reads = [
        Read(file, sha256, known.rows.get(sha256),
             reasons.get(number) or known.reasons.get(sha256, ""))
        for number, (file, sha256) in enumerate(zip(files, hashes, strict=True))
    ]  # fmt: skip
    return reads, known


def _make_reader(graph: bytes) -> Callable[[], Callable[[PhotoFile], Found]]:
    def make() -> Callable[[PhotoFile], Found]:
        model = Model(graph)

        def read(file: PhotoFile) -> Found:
            try:
                data = file.read()
            except OSError as error:
                return _unread(error)
            except UnreadableImageError as error:  # too many bytes: none was read
                return replace(_hash(file), reason=str(error))
            try:
                photo = decode(data)
            except UnreadableImageError as error:
                return Found(image_id(data), None, str(error))
            vector = np.array(model.run(photo).embedding, np.float32)
            return Found(image_id(data), Features(vector, fingerprint(photo)))

        return read

    return make


def _hash(file: PhotoFile) -> Found:
    try:
        return Found(file.hash(), None)
    except OSError as error:
        return _unread(error)


def _unread(error: OSError) -> Found:
    return Found("", None, f"cannot be read: {error.strerror or error}")


def _find(connection: sqlite3.Connection, sha256: str) -> Found | None:
    query = "SELECT dhash, thumbnail, vector, reason FROM photos WHERE sha256 = ?"
    row = connection.execute(query, (sha256,)).fetchone()
    if row is None:
        return None
    dhash, thumbnail, vector, reason = row
    if reason:
        return Found(sha256, None, reason)
    mark = Fingerprint(int(dhash, 16), thumbnail)
    return Found(sha256, Features(np.frombuffer(vector, np.float32), mark))


def _row(found: Found) -> tuple[str, str, bytes, bytes, str]:
    if found.features is None:
        return found.sha256, "", b"", b"", found.reason
    mark = found.features.fingerprint
    vector = found.features.vector.tobytes()
    return found.sha256, f"{mark.dhash:x}", mark.thumbnail, vector, ""
