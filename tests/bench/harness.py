"""What every benchmark shares: a table that prints itself, and the cost of commands and of calls."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

WIDTHS = (52, 18, 18, 8)
"""Columns of what, ours, theirs and ratio; the target stands last and needs none."""


class Cost(NamedTuple):
    """Medians over all rounds, in seconds. `cpu`: user and system time, of children too."""

    wall: float
    cpu: float


class Report:
    """An aligned table, a row printed as soon as it is known."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self._out = out
        print(machine(), file=out)
        self._line("what", "ours", "theirs", "ratio", "target")

    def row(self, what: str, ours: Any, theirs: Any = "", ratio: float | None = None, target: Any = "") -> None:
        """One figure; numbers are shown with three significant digits, texts as they are."""
        self._line(what, ours, theirs, "" if ratio is None else ratio, target)

    def _line(self, *cells: Any) -> None:
        *texts, last = (f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in cells)
        line = "".join(f"{text:<{width}}" for text, width in zip(texts, WIDTHS, strict=True))
        print((line + last).rstrip(), file=self._out, flush=True)


def machine() -> str:
    """The machine a figure was taken on: processor, cores, system, Python."""
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except FileNotFoundError:  # not Linux
        told = ""
    names = [line.partition(": ")[2] for line in told.splitlines() if line.startswith("model name")]
    processor = names[0] if names else platform.processor() or platform.machine()
    return f"{processor}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def commands(
    *argvs: Sequence[str | os.PathLike[str]],
    rounds: int = 5,
    cwd: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> list[Cost]:
    """The cost of each command as a whole process, run in turns (so that a busy spell falls on all of them alike).

    Output is thrown away. Raises subprocess.CalledProcessError when a command fails.
    """
    costs: list[list[Cost]] = [[] for _ in argvs]
    for _ in range(rounds):
        for argv, taken in zip(argvs, costs, strict=True):
            taken.append(_once(argv, cwd, environ))
    return [_median(taken) for taken in costs]


def calls(function: Callable[[], object], rounds: int = 5) -> Cost:
    """The cost of a call within this process."""
    taken = []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        function()
        taken.append(Cost(time.perf_counter() - wall, time.process_time() - cpu))
    return _median(taken)


def _once(
    argv: Sequence[str | os.PathLike[str]], cwd: str | os.PathLike[str] | None, environ: Mapping[str, str] | None
) -> Cost:
    began = time.perf_counter()
    with subprocess.Popen(argv, cwd=cwd, env=environ, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        ended = time.perf_counter()
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(argv))
    return Cost(ended - began, usage.ru_utime + usage.ru_stime)


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(statistics.median(cost.wall for cost in costs), statistics.median(cost.cpu for cost in costs))
