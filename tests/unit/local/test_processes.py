"""Programs beside ours: none is left, whenever an interrupt comes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from local.processes import held_interrupts, interrupt_on_signals, running_program

# Tells its own child's process id, ignores SIGTERM, and ends when its child does.
PARENT = """
import signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
child.wait()
"""
TIDY = """
import signal, sys, time
try:
    print("ready", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    open(sys.argv[1], "w").write("tidied")
"""


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    interrupt_on_signals()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def first_line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout
    with process.stdout as said:
        return said.readline()


def gone(pid: int) -> bool:
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        with suppress(FileNotFoundError):
            if "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text():
                return True
        time.sleep(0.02)
    return False


def test_a_program_and_what_it_started_end_with_the_block() -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        running_program([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as process,
    ):
        child = int(first_line(process))
        signal.raise_signal(signal.SIGTERM)
    assert gone(process.pid)
    assert gone(child)


def test_what_a_program_leaves_behind_ends_too() -> None:
    code = PARENT.replace("child.wait()", "")
    command = [sys.executable, "-W", "ignore", "-c", code]
    with running_program(command, stdout=subprocess.PIPE) as process:
        child = int(first_line(process))
        assert process.wait() == 0
    assert gone(child)


def test_a_program_may_tidy_up_in_its_grace_time(tmp_path: Path) -> None:
    note = tmp_path / "note"
    command = [sys.executable, "-c", TIDY, str(note)]
    with running_program(command, grace_s=10, stdout=subprocess.PIPE) as process:
        first_line(process)
    assert note.read_text() == "tidied"


def test_an_interrupt_is_heard_after_what_must_not_be_cut_off() -> None:
    steps = []
    with pytest.raises(KeyboardInterrupt), held_interrupts():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        steps.append("done")
    assert steps == ["done"]
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)  # as before the block
