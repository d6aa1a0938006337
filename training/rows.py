"""Feature vectors in a file without a name: memory holds those that were looked at of late.

A hundred thousand of them are 512 MB, and a head looks at a hundred in each step.
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
# Looked at, before they are let go; the kernel brings 64 KB in for each row of 5 KB.
_HELD_BYTES: Final = 4_000_000


class RowFile:
    """Vectors of one length, added one by one and then looked at; the file is gone with them."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed by __exit__)
        self._width = 0
        self._count = 0

    def __enter__(self) -> RowFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, vector: FloatArray) -> int:
        """Append a vector; returns its number."""
        self._width = vector.size
        self._file.write(np.ascontiguousarray(vector, np.float32).tobytes())
        self._count += 1
        return self._count - 1

    def rows(self) -> list[FloatArray]:
        """All vectors, float32 (features,) each, as views of the file; no more can be added."""
        self._file.flush()
        if not self._count:
            return []
        content = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        return list(np.frombuffer(content, np.float32).reshape(self._count, self._width))


class Rows:
    """Vectors as one matrix of float32 (photos, features) that is taken rows at a time."""

    def __init__(self, vectors: Sequence[FloatArray], width: int) -> None:
        self._vectors = vectors
        self.shape = (len(vectors), width)
        files = {id(one): one for one in map(_file_of, vectors) if one is not None}
        self._files = list(files.values())
        self._looked_at = 0

    def __len__(self) -> int:
        return len(self._vectors)

    def __getitem__(self, numbers: npt.NDArray[np.int64]) -> FloatArray:
        taken = np.empty((len(numbers), self.shape[1]), np.float32)
        for place, number in enumerate(numbers.tolist()):
            taken[place] = self._vectors[number]
        self._looked_at += taken.nbytes
        if self._looked_at > _HELD_BYTES:
            self._looked_at = 0
            for file in self._files:
                file.madvise(mmap.MADV_DONTNEED)  # the kernel keeps them as it does any file's
        return taken

    def __add__(self, other: Rows) -> Rows:
        return Rows([*self._vectors, *other._vectors], self.shape[1])


def _file_of(vector: FloatArray) -> mmap.mmap | None:
    base: object = vector
    while isinstance(base, np.ndarray):
        base = base.base
    content = base.obj if isinstance(base, memoryview) else base
    return content if isinstance(content, mmap.mmap) else None
