"""Rows in a file: what was put in comes out, and memory does not hold it."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np

from training.rows import RowFile, Rows

WIDTH = 500


def put(folder: Path, count: int) -> Rows:
    with RowFile(folder) as file:
        for number in range(count):
            assert file.add(np.full(WIDTH, number, np.float32)) == number
        return file.rows()


def test_rows_are_what_was_added_and_no_file_is_left(tmp_path: Path) -> None:
    rows = put(tmp_path, 30).of(range(10, 20))
    assert (len(rows), rows.shape) == (10, (10, WIDTH))
    assert rows[np.array([9, 0, 9])][:, 0].tolist() == [19, 10, 19]
    both = rows + put(tmp_path, 3) + put(tmp_path, 2)
    assert both[np.array([14, 0, 12])][:, -1].tolist() == [1, 10, 2]
    assert both.of([13, 9])[np.array([1, 0])][:, -1].tolist() == [19, 0]
    assert list(tmp_path.iterdir()) == []
    assert put(tmp_path, 0).shape == (0, 0)


def test_rows_of_bytes_are_bytes(tmp_path: Path) -> None:
    with RowFile(tmp_path, np.uint8) as file:
        file.add(np.array([7, 255], np.uint8))
        (row,) = file.rows()[np.array([0])]
    assert (row.dtype, row.tolist()) == (np.uint8, [7, 255])


def test_memory_holds_what_was_asked_for(tmp_path: Path) -> None:
    count = 5_000  # 10 MB
    tracemalloc.start()
    try:
        rows = put(tmp_path, count)
        for start in range(0, count, 100):
            taken = rows[np.arange(start, start + 100)]
            assert taken[:, 7].tolist() == list(range(start, start + 100))
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
