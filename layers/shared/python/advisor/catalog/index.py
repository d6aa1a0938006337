"""An index of one category's photos: a folder of files that are read through a memory map.

A search is in two steps. First all photos by short codes: int8 of the embedding's projection onto
the category's own principal directions, compared by SimSIMD. Then the best of these by the whole
embedding, of which only their rows are read. A photo is added by appending a row.

coarse.npy   int8 (photos, COARSE)          fine.npy   float16 (photos, dimensions)
basis.npy    float32 (dimensions, COARSE)   photos.bin, ends.npy   product, image and place of each
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
from simsimd import cdist

from advisor.catalog.similarity import Shelf, ShelfPhoto, SimilarPhoto
from advisor.errors import DataError

# benchmarks/suggest.py: all of the ten nearest were found with 300 at a million. Each is a read of
# the disk where the file is not in memory.
COARSE: Final = 96
LOOKED_AT_AGAIN: Final = (100, 300)  # at least and at most; between them one in 3,000
FIT_ON: Final = 5_000  # photos that the directions are found from
FIT_ANEW: Final = 4  # when the category has grown so many times since
FILES: Final = ("coarse.npy", "fine.npy", "basis.npy", "photos.bin", "ends.npy")
_BATCH = 20_000

Codes = npt.NDArray[np.int8]
Halves = npt.NDArray[np.float16]
Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class CategoryIndex:
    """An index as it lies in a folder; arrays are memory maps. fitted_on: photos then."""

    coarse: Codes
    fine: Halves
    basis: Matrix
    ends: npt.NDArray[np.int64]
    lines: npt.NDArray[np.uint8]

    @classmethod
    def open(cls, folder: Path) -> CategoryIndex:
        """Map the files of a folder.

        Raises: DataError if they are not those of one index.
        """
        try:
            coarse, fine, basis, ends = (
                np.load(folder / name, mmap_mode="r", allow_pickle=False)
                for name in ("coarse.npy", "fine.npy", "basis.npy", "ends.npy")
            )
            lines = np.memmap(folder / "photos.bin", dtype=np.uint8, mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{folder} holds no index of photos: {error}") from error
        if not len(coarse) == len(fine) == len(ends) or int(ends[-1]) != len(lines):
            raise DataError(f"{folder} holds files of more than one index")
        return cls(coarse, fine, basis, ends, lines)

    def __len__(self) -> int:
        return len(self.coarse)

    def photo(self, row: int) -> ShelfPhoto:
        """The photo of a row."""
        start = int(self.ends[row - 1]) if row else 0
        return ShelfPhoto(*json.loads(self.lines[start : int(self.ends[row])].tobytes()))

    def photos(self) -> Iterator[ShelfPhoto]:
        """All photos, in the order of their rows."""
        return map(self.photo, range(len(self)))

    def search(self, query: Matrix, *, limit: int) -> list[SimilarPhoto]:
        """The photos that look most like the query, most alike first; several of one product.

        query: float32 (dimensions,), unit length.
        """
        least, most = LOOKED_AT_AGAIN
        rows = self._nearest(query, max(limit, least, min(most, len(self) // 3_000)))
        embeddings = _unit(self._read(rows))
        similarities = np.clip(embeddings @ query, 0.0, 1.0)
        order = np.argsort(-similarities, kind="stable")[:limit]
        return [
            SimilarPhoto(self.photo(int(rows[at])), float(similarities[at]), embeddings[at])
            for at in order
        ]

    def _read(self, rows: npt.NDArray[np.intp]) -> Matrix:
        """The embeddings of rows, without the map: a page of it brings in 64 KB around a row,
        1.5 GB in fifty searches of a million photos.
        """
        size = self.fine.strides[0]
        fine = cast(np.memmap[Any, Any], self.fine)
        with Path(str(fine.filename)).open("rb") as file:
            data = b"".join(
                os.pread(file.fileno(), size, fine.offset + int(row) * size) for row in rows
            )
        return np.frombuffer(data, dtype=np.float16).reshape(len(rows), -1).astype(np.float32)

    def _nearest(self, query: Matrix, count: int) -> npt.NDArray[np.intp]:
        """The rows whose short codes are nearest, in the order of the rows."""
        if len(self) <= count:
            return np.arange(len(self))
        code = encode(query[np.newaxis] @ self.basis)
        distances = np.asarray(cdist(code, self.coarse, metric="cosine")).ravel()
        return np.sort(np.argpartition(distances, count)[:count])


def write_index(folder: Path, shelf: Shelf, *, before: CategoryIndex | None = None) -> bool:
    """Write the index of a shelf into an empty folder; False if `before` is that index already.

    before: an earlier index of the same category and model. Of a photo that it knows the codes
    are taken from it, as long as the category has not grown so far that its directions may have
    changed. A shelf without photos is no index.
    Raises: DataError for such a shelf.
    """
    if not shelf.photos:
        raise DataError("a category without photos has no index")
    if before is not None and not _is_base(before, shelf):
        before = None
    known = {photo: row for row, photo in enumerate(before.photos())} if before else {}
    old = [(known[one], at) for at, one in enumerate(shelf.photos) if one in known]
    new = [at for at, one in enumerate(shelf.photos) if one not in known]
    if before and not new and len(old) == len(before):
        return False
    basis = np.asarray(before.basis) if before else directions(shelf.embeddings)
    # Those that are known keep their order, and further ones are appended.
    order = [at for _, at in sorted(old)] + new
    kept = np.array(sorted(row for row, _ in old), dtype=np.intp)
    folder.mkdir(parents=True, exist_ok=True)
    coarse, fine = (
        np.lib.format.open_memmap(folder / name, mode="w+", dtype=kind, shape=(len(order), width))
        for name, kind, width in (
            ("coarse.npy", np.int8, basis.shape[1]),
            ("fine.npy", np.float16, shelf.embeddings.shape[1]),
        )
    )
    if before is not None:
        coarse[: len(kept)], fine[: len(kept)] = before.coarse[kept], before.fine[kept]
    for start in range(0, len(new), _BATCH):
        rows = shelf.embeddings[new[start : start + _BATCH]]
        place = slice(len(kept) + start, len(kept) + start + len(rows))
        coarse[place], fine[place] = encode(rows @ basis), rows
    coarse.flush()
    fine.flush()
    np.save(folder / "basis.npy", basis)
    _write_photos(folder, [shelf.photos[at] for at in order])
    return True


def _is_base(before: CategoryIndex, shelf: Shelf) -> bool:
    """Whether the directions of an earlier index will do for the shelf."""
    count, dimensions = shelf.embeddings.shape
    if int(before.basis.shape[1]) < min(COARSE, count, dimensions):
        return False
    return bool(before.fine.shape[1] == dimensions and count <= FIT_ANEW * len(before))


def directions(embeddings: Matrix) -> Matrix:
    """The directions in which a category's photos lie furthest apart: float32 (dims, COARSE).

    Not centred, for it is cosines that are compared. Of many photos an even choice is taken.
    """
    step = max(1, len(embeddings) // FIT_ON)
    sample = embeddings[::step][:FIT_ON].astype(np.float32)
    _, _, transposed = np.linalg.svd(sample, full_matrices=False)
    return np.ascontiguousarray(transposed[:COARSE].T, dtype=np.float32)


def encode(vectors: Matrix) -> Codes:
    """The vectors as int8, each scaled by its own largest value: a cosine does not mind."""
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    scaled = vectors / np.where(largest > 0, largest, 1.0)  # 127 / largest may overflow
    return np.round(scaled * 127.0).astype(np.int8)


def _write_photos(folder: Path, photos: Sequence[ShelfPhoto]) -> None:
    ends = np.empty(len(photos), dtype=np.int64)
    end = 0
    with (folder / "photos.bin").open("wb") as file:
        for row, photo in enumerate(photos):
            end += file.write(json.dumps([photo.product_id, photo.image_id, photo.photo]).encode())
            ends[row] = end
    np.save(folder / "ends.npy", ends)


def _unit(vectors: Matrix) -> Matrix:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), dtype=np.float32)
