"""Features of photos, computed by the very .tflite that serves, and cached by content."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from advisor.errors import UnreadableImageError, UsageError
from advisor.vision.images import PREPROCESSING_ID, decode, image_id
from advisor.vision.interpreter import Model
from training.backbones import Weights
from training.config import FLOAT16
from training.dataset import PhotoFile
from training.duplicates import Fingerprint, fingerprint
from training.head import FloatArray
from training.parallel import Progress, map_photos

_STAGE = "Reading photos"
_WRITE_EVERY = 500


@dataclass(frozen=True)
class Features:
    """What is kept of a readable photo. vector: float32 (features,), as the backbone pools."""

    vector: FloatArray
    fingerprint: Fingerprint


@dataclass(frozen=True)
class Read:
    """A photo file that was read. features is None where reason tells why it has none.

    sha256: of its content; "" where not even that could be read.
    """

    file: PhotoFile
    sha256: str
    features: Features | None
    reason: str = ""


class FeatureCache:
    """Features by photo content, in one SQLite file for a backbone and a preprocessing.

    Two runs may use it at once; what a killed run had computed is there for the next.
    Raises: UsageError, from every method, if the file cannot be read or written.
    """

    def __init__(self, folder: Path, weights: Weights, precision: str = FLOAT16) -> None:
        # The kind, too: one .h5 file can be a backbone as it is, or a box of layers for another.
        recipe = f"{weights.sha256} {weights.kind.value} {PREPROCESSING_ID}"
        if precision != FLOAT16:
            recipe += f" {precision}"
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{hashlib.sha256(recipe.encode()).hexdigest()[:24]}.sqlite"
        with self._connect() as connection:
            os.utime(self._path)  # the least recently used go first when the cache is pruned
            connection.execute(
                "CREATE TABLE IF NOT EXISTS photos (sha256 TEXT PRIMARY KEY, dhash TEXT, "
                "thumbnail BLOB, vector BLOB, reason TEXT NOT NULL) WITHOUT ROWID"
            )

    def find_all(self, files: Sequence[tuple[PhotoFile, str]]) -> dict[str, Read]:
        """What is known of many photos, by content."""
        with self._connect() as connection:
            found = {sha256: _find(connection, file, sha256) for file, sha256 in files}
        return {sha256: read for sha256, read in found.items() if read is not None}

    def put(self, reads: Sequence[Read]) -> None:
        """Keep what was found out, all of it or nothing."""
        rows = [_row(read) for read in reads if read.sha256]
        if rows:
            with self._connect() as connection:
                connection.executemany("INSERT OR REPLACE INTO photos VALUES (?, ?, ?, ?, ?)", rows)

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self._path, timeout=60)) as connection, connection:
                yield connection
        except sqlite3.Error as error:
            raise UsageError(f"{self._path}, a cache of features, fails: {error}") from error


def read_photos(
    files: Sequence[PhotoFile],
    graph: Callable[[], bytes],
    cache: FeatureCache,
    progress: Progress,
) -> list[Read]:
    """Features of every photo, in order; only contents not met before are decoded.

    graph: gives the .tflite, asked for only where a photo is new. A photo that cannot be read
    is returned with the reason, which is remembered where the content is at fault.
    """
    hashed = list(map_photos(lambda: _hash, files))
    known = cache.find_all([(read.file, read.sha256) for read in hashed if read.sha256])
    new = {read.sha256: read.file for read in hashed if read.sha256 and read.sha256 not in known}
    if new:
        computed = _compute(list(new.values()), graph(), cache, progress)
        # By the hash of before: the file may have changed, or gone, since.
        known.update(zip(new, computed, strict=True))
    return [replace(known.get(read.sha256, read), file=read.file) for read in hashed]


def _compute(
    files: Sequence[PhotoFile], graph: bytes, cache: FeatureCache, progress: Progress
) -> Iterator[Read]:
    unsaved: list[Read] = []
    try:
        worker = _make_reader(graph)
        for done, read in enumerate(map_photos(worker, files), start=1):
            unsaved.append(read)
            yield read
            progress(_STAGE, done, len(files))
            if len(unsaved) >= _WRITE_EVERY:
                cache.put(unsaved)
                unsaved = []
    finally:  # after Ctrl-C, too, what was computed stays
        cache.put(unsaved)


def _make_reader(graph: bytes) -> Callable[[], Callable[[PhotoFile], Read]]:
    def make() -> Callable[[PhotoFile], Read]:
        model = Model(graph)

        def read(file: PhotoFile) -> Read:
            try:
                data = file.path.read_bytes()
            except OSError as error:
                return _unread(file, error)
            try:
                photo = decode(data)
            except UnreadableImageError as error:
                return Read(file, image_id(data), None, str(error))
            vector = np.array(model.run(photo).embedding, np.float32)
            return Read(file, image_id(data), Features(vector, fingerprint(photo)))

        return read

    return make


def _hash(file: PhotoFile) -> Read:
    try:
        with file.path.open("rb") as stream:
            return Read(file, hashlib.file_digest(stream, "sha256").hexdigest(), None)
    except OSError as error:
        return _unread(file, error)


def _unread(file: PhotoFile, error: OSError) -> Read:
    return Read(file, "", None, f"cannot be read: {error.strerror or error}")


def _find(connection: sqlite3.Connection, file: PhotoFile, sha256: str) -> Read | None:
    query = "SELECT dhash, thumbnail, vector, reason FROM photos WHERE sha256 = ?"
    row = connection.execute(query, (sha256,)).fetchone()
    if row is None:
        return None
    dhash, thumbnail, vector, reason = row
    if reason:
        return Read(file, sha256, None, reason)
    mark = Fingerprint(int(dhash, 16), thumbnail)
    return Read(file, sha256, Features(np.frombuffer(vector, np.float32), mark))


def _row(read: Read) -> tuple[str, str, bytes, bytes, str]:
    if read.features is None:
        return read.sha256, "", b"", b"", read.reason
    mark = read.features.fingerprint
    vector = read.features.vector.tobytes()
    return read.sha256, f"{mark.dhash:x}", mark.thumbnail, vector, ""
