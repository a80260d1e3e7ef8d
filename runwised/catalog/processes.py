"""Which processes live, and which of them hold a log open for writing (`/proc`; elsewhere only whether a pid lives)."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from typing import NamedTuple

PROC = "/proc"
TRAINER = re.compile(r"(?:--pid[ =]|wandb-service\(\d+-)(\d+)")
"""How W&B's helper names the training process it works for: ``wandb-core --pid N``, ``wandb-service(2-N-…``."""
WRITABLE = 0o200
"""Bit in the mode of a link in ``/proc/PID/fd`` that says the file is open for writing."""
ANSWER_SECONDS = 1.0
ENDINGS = (".wandb", ".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".log", ".txt", ".out", ".err")
"""What the names of logs end with; event files say what they are anywhere in their names."""
EVENTS = ".tfevents."


class Process(NamedTuple):
    """A living process."""

    pid: int
    started: float
    """Epoch seconds, exact to about a second; 0 where that cannot be known."""
    command: str


class Holder(NamedTuple):
    """A process that holds a log open for writing."""

    pid: int
    trainer: int | None
    """The training process it works for, by the number it has in the holder's own pid namespace."""
    trainer_lives: bool


def process(pid: int) -> Process | None:
    """The process with this number; None when there is none or it is a zombie."""
    fields = _fields(pid)
    if not fields:
        return None
    started = _boot_time() + int(fields[19]) / os.sysconf("SC_CLK_TCK") if len(fields) > 1 else 0.0
    return Process(pid, started, _command(pid))


def lives(pid: int) -> bool:
    """Whether there is a process with this number that is no zombie."""
    return bool(_fields(pid))


def _fields(pid: int) -> list[str]:
    """``/proc/PID/stat`` from the state on; elsewhere one word for a living process; empty for none."""
    try:
        fields = _read(pid, "stat").rpartition(")")[2].split()
    except OSError:
        return ["?"] if not os.path.isdir(PROC) and _answers(pid) else []
    return [] if fields[0] in "ZX" else fields


def can_see_files(pid: int) -> bool:
    """Whether we may know what this process has open: then its helpers, of the same user, show theirs too."""
    return os.access(f"{PROC}/{pid}/fd", os.R_OK | os.X_OK)


class Holders:
    """Who holds logs open, by (device, inode). Processes are gone through once a second at most, and for new logs."""

    def __init__(self) -> None:
        self._held: dict[tuple[int, int], int] = {}
        self._looked_at = -ANSWER_SECONDS
        self._began_at = 0.0
        """When the last look began, epoch seconds."""

    def predates(self, written_at: float) -> bool:
        """Whether the last look was before a log was written: who holds one that is new may not be known yet."""
        return self._began_at < written_at

    @property
    def stale(self) -> bool:
        """Whether it is time to go through the processes again."""
        return time.monotonic() - self._looked_at >= ANSWER_SECONDS

    def look(self) -> None:
        """Go through all processes."""
        self._began_at = time.time()
        self._held = dict(_held())
        self._looked_at = time.monotonic()

    def of(self, device: int, inode: int) -> Holder | None:
        """The process that writes this file, as it is now."""
        if self.stale:
            self.look()
        pid = self._held.get((device, inode))
        return _holder(pid) if pid is not None and lives(pid) else None


def _held() -> Iterator[tuple[tuple[int, int], int]]:
    for pid in _pids():
        for descriptor in _descriptors(pid):
            path = f"{PROC}/{pid}/fd/{descriptor}"
            try:
                name = os.readlink(path)
                if (name.endswith(ENDINGS) or EVENTS in name) and os.lstat(path).st_mode & WRITABLE:
                    found = os.stat(path)
                    yield (found.st_dev, found.st_ino), pid
            except OSError:
                continue


def _pids() -> list[int]:
    try:
        return [int(name) for name in os.listdir(PROC) if name.isdecimal() and int(name) != os.getpid()]
    except OSError:
        return []


def _descriptors(pid: int) -> list[str]:
    try:
        return os.listdir(f"{PROC}/{pid}/fd")
    except OSError:
        return []


def _holder(pid: int) -> Holder:
    named = TRAINER.search(_command(pid))
    if named is None:
        return Holder(pid, None, trainer_lives=True)
    trainer = int(named[1])
    if len(_numbers(pid)) < 2:
        return Holder(pid, trainer, lives(trainer))
    # In a container its number means another process here; but it is the helper's parent for as long as it lives.
    return Holder(pid, trainer, _numbers(_parent(pid))[-1:] == [trainer])


def _numbers(pid: int) -> list[int]:
    """A process's numbers in our pid namespace and in each one inside it; empty when unknown."""
    return [int(number) for number in _status(pid, "NSpid")]


def _parent(pid: int) -> int:
    return int((_status(pid, "PPid") or ["0"])[0])


def _status(pid: int, field: str) -> list[str]:
    try:
        lines = _read(pid, "status").splitlines()
    except OSError:
        return []
    return next((line.split()[1:] for line in lines if line.startswith(field + ":")), [])


def _command(pid: int) -> str:
    try:
        return _read(pid, "cmdline").replace("\0", " ").strip()
    except OSError:
        return ""


def _read(pid: int, name: str) -> str:
    with open(f"{PROC}/{pid}/{name}", "rb") as file:
        return file.read().decode(errors="replace")


def _boot_time() -> float:
    with open(f"{PROC}/stat", "rb") as file:
        return next((float(line.split()[1]) for line in file if line.startswith(b"btime ")), 0.0)


def _answers(pid: int) -> bool:
    """Whether a signal could be sent to it."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True
