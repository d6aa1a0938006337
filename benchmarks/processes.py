"""What a process has used, by Linux's word."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


def cpu_s(process: int | str) -> float:
    """The seconds of CPU time of a process so far. Raises: OSError if it has ended."""
    fields = (PROC / str(process) / "stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def peak_mb(process: int | str) -> float:
    """The most memory that a process had so far. Raises: OSError, IndexError if it has ended."""
    status = (PROC / str(process) / "status").read_text("ascii")
    return int(status.split("VmHWM:")[1].split(maxsplit=1)[0]) / 1024


def children(process: int | str) -> list[str]:
    """The ids of the processes that it started."""
    lists = (PROC / str(process) / "task").glob("*/children")
    return [child for one in lists for child in one.read_text("ascii").split()]
