"""One demo, or one local cloud, at a time in a folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from advisor.errors import UsageError


@contextmanager
def only_one(folder: Path, what: str) -> Iterator[None]:
    """Hold the folder until the block ends; the system lets go of it if the process is killed.

    Raises: UsageError, naming the process that holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            holder = lock.read().strip()
            raise UsageError(
                f"{what} is already running (process {holder}); stop it with Ctrl-C first"
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
        lock.truncate(0)
