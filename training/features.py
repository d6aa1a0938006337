"""Features of photos, computed by the very .tflite that serves, and cached by content."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
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
from training.parallel import Progress, map_photos
from training.rows import FloatArray, RowFile

_STAGE = "Reading photos"
_WRITE_EVERY = 500
_NOWHERE = np.zeros(0, np.float32)


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

    def vectors_of(
        self,
        files: Sequence[tuple[PhotoFile, str]],
        compute: Callable[[Sequence[str]], Iterable[Read]],
    ) -> dict[str, Read]:
        """What is known of many photos, by content, after computing what is not known yet.

        Their vectors lie in a file (training/rows.py). compute: asked once for all new contents,
        gives what it found in the same order.
        """
        reads: dict[str, tuple[Read, int]] = {}
        with RowFile(self._path.parent) as vectors:
            for sha256, read in self._known_and_computed(files, compute):
                features, row = read.features, -1
                if features is not None:
                    row = vectors.add(features.vector)
                    read = replace(read, features=replace(features, vector=_NOWHERE))  # noqa: PLW2901 (the vector is in the file now)
                reads[sha256] = read, row
            rows = vectors.rows()
        return {
            sha256: replace(read, features=replace(read.features, vector=rows[row]))
            if read.features is not None
            else read
            for sha256, (read, row) in reads.items()
        }

    def _known_and_computed(
        self,
        files: Sequence[tuple[PhotoFile, str]],
        compute: Callable[[Sequence[str]], Iterable[Read]],
    ) -> Iterator[tuple[str, Read]]:
        new = []
        for start in range(0, len(files), _WRITE_EVERY):
            some = files[start : start + _WRITE_EVERY]
            known = self.find_all(some)
            yield from known.items()
            new += [sha256 for _, sha256 in some if sha256 not in known]
        if new:
            # By the hash of before: the file may have changed, or gone, since.
            yield from zip(new, compute(new), strict=True)

    def keeping(
        self, computed: Iterable[Read], stage: str, progress: Progress, count: int
    ) -> Iterator[Read]:
        """The same, kept some at a time; after Ctrl-C, too, what was computed stays."""
        unsaved: list[Read] = []
        try:
            for done, read in enumerate(computed, start=1):
                unsaved.append(read)
                yield read
                progress(stage, done, count)
                if len(unsaved) >= _WRITE_EVERY:
                    self.put(unsaved)
                    unsaved = []
        finally:
            self.put(unsaved)

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
    contents = {read.sha256: read.file for read in hashed if read.sha256}

    def compute(new: Sequence[str]) -> Iterator[Read]:
        unread = [contents[sha256] for sha256 in new]
        worker = _make_reader(graph())
        return cache.keeping(map_photos(worker, unread), _STAGE, progress, len(unread))

    known = cache.vectors_of([(file, sha256) for sha256, file in contents.items()], compute)
    return [replace(known.get(read.sha256, read), file=read.file) for read in hashed]


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
