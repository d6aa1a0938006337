"""Work on many photos with all cores."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from training import parallel


def test_a_machine_of_many_cores_works_with_all(monkeypatch: pytest.MonkeyPatch) -> None:
    many = 48
    monkeypatch.setattr(parallel, "cores", lambda: many)
    together = threading.Barrier(many)  # none goes on before all are at work

    def make_worker() -> Callable[[int], int]:
        together.wait(timeout=60)
        return lambda item: -item

    assert list(parallel.map_photos(make_worker, range(1000))) == [-n for n in range(1000)]
