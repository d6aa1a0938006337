"""Rows of numbers in a file without a name: memory holds those that were asked for.

A hundred thousand feature vectors are 512 MB, and a head looks at a hundred in each step. They are
read, not mapped into memory: the kernel would bring in 64 KB around each.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


class RowFile:
    """Rows of one length, added one by one and then looked at; the file is gone with them."""

    def __init__(self, folder: Path, kind: npt.DTypeLike = np.float32) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed by __exit__)
        self._kind = np.dtype(kind)
        self._width = 0
        self._count = 0

    def __enter__(self) -> RowFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, row: npt.NDArray[Any]) -> int:
        """Append a row; returns its number."""
        self._width = row.size
        self._file.write(np.ascontiguousarray(row, self._kind).tobytes())
        self._count += 1
        return self._count - 1

    def rows(self) -> Rows:
        """All rows; no more can be added."""
        self._file.flush()
        content = _Content(self._file.fileno(), self._kind, self._width)
        places = np.zeros((self._count, 2), np.int64)
        places[:, 1] = np.arange(self._count)
        return Rows((content,), places)


class Rows:
    """Rows of files as one matrix, (rows, width), of which some are taken at a time."""

    def __init__(self, contents: tuple[_Content, ...], places: npt.NDArray[np.int64]) -> None:
        self._contents = contents
        self._places = places  # (rows, 2): which of the files, which row of it
        self.shape = (len(places), contents[0].width)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        taken = np.empty((len(numbers), self.shape[1]), self._contents[0].kind)
        for row, (content, number) in zip(taken, self._places[numbers].tolist(), strict=True):
            row[:] = self._contents[content].read(number)
        return taken

    def __add__(self, other: Rows) -> Rows:
        moved = other._places + np.array([len(self._contents), 0])
        return Rows((*self._contents, *other._contents), np.concatenate([self._places, moved]))

    def of(self, numbers: npt.ArrayLike) -> Rows:
        """Those of the numbers, in their order."""
        return Rows(self._contents, self._places[np.asarray(numbers, np.int64)])


class _Content:
    """An open file of rows."""

    def __init__(self, descriptor: int, kind: np.dtype[Any], width: int) -> None:
        self.kind, self.width = kind, width
        self._descriptor = os.dup(descriptor)
        weakref.finalize(self, os.close, self._descriptor)

    def read(self, number: int) -> npt.NDArray[Any]:
        size = self.width * self.kind.itemsize
        return np.frombuffer(os.pread(self._descriptor, size, number * size), self.kind)
