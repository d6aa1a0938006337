"""The folder of what runs leave for the next one: files that are whole, and not too many."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

_FOLDERS: Final = ("features", "graphs", "pixels", "checkpoints")
_IN_USE_S: Final = 3600.0  # another run may be at it: fine-tuning reads its photos for minutes


def prune(cache: Path, *, max_bytes: int, now: float | None = None) -> list[Path]:
    """Delete what was used longest ago until the rest fits; what was used of late stays.

    Fetched weights and copies of S3 prefixes are not counted: they are fetched on purpose.
    Returns: the files that went.
    """
    now = time.time() if now is None else now
    files = []
    for folder in _FOLDERS:
        for path in (cache / folder).glob("*"):
            try:
                stat = path.stat()
            except FileNotFoundError:  # another run prunes, too
                continue
            files.append((stat.st_mtime, stat.st_size, path))
    total = sum(size for _, size, _ in files)
    gone = []
    for used, size, path in sorted(files):
        if total <= max_bytes or now - used < _IN_USE_S:
            break
        path.unlink(missing_ok=True)
        total -= size
        gone.append(path)
    return gone


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which is at the path once it is whole; another run may write it, too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
