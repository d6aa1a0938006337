"""Features of photos, computed by the very .tflite that serves, and cached by content."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from advisor.errors import UnreadableImageError
from advisor.vision.images import PREPROCESSING_ID, decode, image_id
from advisor.vision.interpreter import Model
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
    """A photo file that was read. features is None where reason tells why it has none."""

    file: PhotoFile
    sha256: str
    features: Features | None
    reason: str = ""


class FeatureCache:
    """Features by photo content, in one SQLite file for a backbone and a preprocessing.

    Two runs may use it at once; what a killed run had computed is there for the next.
    """

    def __init__(self, folder: Path, backbone_sha256: str) -> None:
        recipe = hashlib.sha256(f"{backbone_sha256} {PREPROCESSING_ID}".encode()).hexdigest()
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{recipe[:24]}.sqlite"
        with closing(self._connect()) as connection, connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS photos (sha256 TEXT PRIMARY KEY, dhash TEXT, "
                "thumbnail BLOB, vector BLOB, reason TEXT NOT NULL) WITHOUT ROWID"
            )

    def find_all(self, files: Sequence[tuple[PhotoFile, str]]) -> dict[str, Read]:
        """What is known of many photos, by content."""
        with closing(self._connect()) as connection:
            found = {sha256: _find(connection, file, sha256) for file, sha256 in files}
        return {sha256: read for sha256, read in found.items() if read is not None}

    def put(self, reads: Sequence[Read]) -> None:
        """Keep what was found out, all of it or nothing."""
        with closing(self._connect()) as connection, connection:
            connection.executemany(
                "INSERT OR REPLACE INTO photos VALUES (?, ?, ?, ?, ?)", map(_row, reads)
            )

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=60)


def read_photos(
    files: Sequence[PhotoFile],
    graph: Callable[[], bytes],
    cache: FeatureCache,
    progress: Progress,
) -> list[Read]:
    """Features of every photo, in order; only contents not met before are decoded.

    graph: gives the .tflite, asked for only where a photo is new. A photo that cannot be read
    is returned with the reason, and remembered too.
    """
    hashed = list(zip(files, map_photos(lambda: _sha256_of, files), strict=True))
    known = cache.find_all(hashed)
    new = {sha256: file for file, sha256 in hashed if sha256 not in known}
    if new:
        for read in _compute(list(new.values()), graph(), cache, progress):
            known[read.sha256] = read
    return [
        Read(file, sha256, known[sha256].features, known[sha256].reason) for file, sha256 in hashed
    ]


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
            data = file.path.read_bytes()
            try:
                photo = decode(data)
            except UnreadableImageError as error:
                return Read(file, image_id(data), None, str(error))
            vector = np.array(model.run(photo).embedding, np.float32)
            return Read(file, image_id(data), Features(vector, fingerprint(photo)))

        return read

    return make


def _sha256_of(file: PhotoFile) -> str:
    with file.path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


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
