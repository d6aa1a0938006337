"""Vectors in a file: what was put in comes out, and memory does not hold it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training.rows import RowFile, Rows

WIDTH = 500


def put(folder: Path, count: int) -> list[np.ndarray]:
    with RowFile(folder) as file:
        for number in range(count):
            assert file.add(np.full(WIDTH, number, np.float32)) == number
        return file.rows()


def test_rows_are_what_was_added_and_no_file_is_left(tmp_path: Path) -> None:
    vectors = put(tmp_path, 30)
    rows = Rows(vectors[10:20], WIDTH)
    assert (len(rows), rows.shape) == (10, (10, WIDTH))
    assert rows[np.array([9, 0, 9])][:, 0].tolist() == [19, 10, 19]
    both = rows + Rows([np.zeros(WIDTH, np.float32)], WIDTH)
    assert both[np.array([10, 1])][:, -1].tolist() == [0, 11]
    assert list(tmp_path.iterdir()) == []
    assert put(tmp_path, 0) == []


def test_memory_holds_only_what_was_looked_at_of_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = Path("/proc/self/smaps_rollup")
    if not status.is_file():
        pytest.skip("only Linux tells how much of a file is in memory")
    monkeypatch.setattr("training.rows._HELD_BYTES", 2_000_000)
    rows = Rows(put(tmp_path, 20_000), WIDTH)  # 40 MB

    def in_memory() -> int:
        line = next(one for one in status.read_text().splitlines() if one.startswith("Rss:"))
        return 1024 * int(line.split()[1])

    before, most = in_memory(), 0
    for start in range(0, 20_000, 100):
        taken = rows[np.arange(start, start + 100)]
        assert taken[:, 7].tolist() == list(range(start, start + 100))
        most = max(most, in_memory() - before)
    assert most < 20_000_000
