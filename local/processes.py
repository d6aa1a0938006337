"""Programs that run beside this one, and end with it: none is left, whenever Ctrl-C comes."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

INTERRUPTS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def running_program(
    command: Sequence[str | os.PathLike[str]], *, grace_s: float = 0, **options: Any
) -> Iterator[subprocess.Popen[Any]]:
    """Run a program until the block ends; then nothing of it is left, nor of what it started.

    The program gets a session of its own, so that Ctrl-C is ours to handle. If it still runs
    when the block ends, it is asked to end (SIGINT) and has grace_s seconds for that.
    """
    process: subprocess.Popen[Any] | None = None
    try:
        with held_interrupts():  # between its start and its name here it could not be ended
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, start_new_session=True, **options
            )
        yield process
    finally:
        if process:
            with held_interrupts():
                _end(process, grace_s)


@contextmanager
def held_interrupts() -> Iterator[None]:
    """What must not be cut off: an interrupt that comes during the block is heard after it."""
    heard: list[int] = []

    def hear(number: int, _frame: FrameType | None) -> None:
        heard.append(number)

    before = {number: signal.signal(number, hear) for number in INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if heard:
            signal.raise_signal(heard[0])


def interrupt_on_signals() -> None:
    """Let SIGTERM end this program as Ctrl-C does, and SIGINT, too.

    A program that a shell starts in the background has SIGINT ignored.
    """
    for number in INTERRUPTS:
        signal.signal(number, _interrupt)


def _end(process: subprocess.Popen[Any], grace_s: float) -> None:
    if grace_s and process.poll() is None:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(grace_s)
    with suppress(ProcessLookupError, PermissionError):  # nothing of the group is left
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
