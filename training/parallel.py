"""Work on many photos with all cores, in order, with flat memory."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

# Told of a stage, how much of it is done, and how much there is; the command line draws it.
Progress = Callable[[str, int, int], None]
_BATCH = 256  # results waiting at most, and how long Ctrl-C waits: about a second


def map_photos(make_worker: Callable[[], Callable[[T], R]], items: Iterable[T]) -> Iterator[R]:
    """Apply a worker to every item, in order; each thread makes a worker of its own.

    Threads are enough: Pillow and the interpreter release the lock while they work.
    """
    local = threading.local()

    def work(item: T) -> R:
        if not hasattr(local, "worker"):
            local.worker = make_worker()
        result: R = local.worker(item)
        return result

    remaining = iter(items)
    with ThreadPoolExecutor(cores()) as pool:
        while batch := list(islice(remaining, _BATCH)):
            yield from pool.map(work, batch)


def cores() -> int:
    """The processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
