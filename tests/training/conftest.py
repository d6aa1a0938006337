"""One process with TensorFlow for the tests that need what it does, not how it is started."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from multiprocessing import get_context

import pytest

from training import tensorflow_process


@pytest.fixture(scope="session")
def pool() -> Iterator[ProcessPoolExecutor]:
    """A process as in_tensorflow starts one; importing TensorFlow takes most of a test's time."""
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    with (
        ours,
        theirs,
        ProcessPoolExecutor(
            1, mp_context=context, initializer=tensorflow_process._be_quiet, initargs=(theirs,)
        ) as pool,
    ):
        yield pool


@pytest.fixture
def one_tensorflow(pool: ProcessPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever asks for TensorFlow gets the same process; what it tells while it works is lost."""
    monkeypatch.setattr(
        tensorflow_process, "ProcessPoolExecutor", lambda *_, **__: nullcontext(pool)
    )
