"""The files beside a log that know what it does not say: ``debug.log``, file times, the console's last words."""

from __future__ import annotations

import os
import re
import stat
from typing import NamedTuple

LOOK_BYTES = 16 << 10
"""How much of a companion's head and tail is read."""
LINE = re.compile(rb"^\d{4}-\d\d-\d\d [\d:,]+ [A-Z]+ +[^\n\[]*?:(\d+) \[", re.MULTILINE)
"""A line of ``debug.log``: ``2026-11-23 14:04:25,695 INFO    MainThread:4711 [file.py:function():81] text``."""
EXIT_CODE = re.compile(rb"\] got exitcode: (-?\d+)\s*$", re.MULTILINE)
EVENT_NAME = re.compile(r"\.tfevents\.(?P<time>\d{10})\.(?P<host>.+)\.(?P<pid>\d{1,9})\.\d+(?:\.v2)?$")
LAST_WORDS = re.compile(
    rb"SIGTERM|SIGKILL|CANCELLED|DUE TO TIME LIMIT|DUE TO PREEMPTION|oom[-_]kill|^Killed\r?$", re.MULTILINE
)
LAST_WORDS_BYTES = 2048
TRACEBACK = b"Traceback (most recent call last):"
WORDS_AFTER = 4
"""Lines behind the last frame: the exception, and what launchers add to it."""
MADE_AT_START = ("files/requirements.txt", "files/wandb-metadata.json", "logs/debug.log", "logs/debug-internal.log")


class DebugLog(NamedTuple):
    """What W&B's own log says of the training process."""

    pid: int | None
    exit_code: int | None


def parse_debug_log(head: bytes, tail: bytes) -> DebugLog:
    """Read the pid from the first line that has one, and the exit code from the end."""
    line = LINE.search(head)
    codes = EXIT_CODE.findall(tail)
    return DebugLog(int(line[1]) if line else None, int(codes[-1]) if codes else None)


def read_debug_log(folder: str) -> DebugLog:
    """Read ``logs/debug.log`` of a run's folder; all unknown where there is none."""
    head, tail = _ends(os.path.join(folder, "logs", "debug.log"), LOOK_BYTES)
    return parse_debug_log(head, tail)


class Writer(NamedTuple):
    """Who writes an event file."""

    host: str | None
    pid: int | None
    started: float | None
    """Epoch seconds."""


def read_event_name(path: str) -> Writer:
    """What a name ``events.out.tfevents.<epoch seconds>.<host>.<pid>.<number>`` says; of others nothing."""
    found = EVENT_NAME.search(os.path.basename(path))
    return Writer(found["host"], int(found["pid"]), float(found["time"])) if found else Writer(None, None, None)


def read_last_words(folder: str) -> str:
    """The words at the end of ``files/output.log`` that say it was ended from outside; else empty."""
    found = LAST_WORDS.findall(_ends(os.path.join(folder, "files", "output.log"), LAST_WORDS_BYTES)[1])
    return found[-1].decode().strip() if found else ""


def ends_in_traceback(path: str) -> bool:
    """Whether the last thing a console shows is a Python traceback; False where there is none at `path`."""
    tail = _ends(path, LOOK_BYTES)[1] if path else b""
    _, found, rest = tail.rpartition(TRACEBACK)
    if not found:
        return False
    lines = [line for line in rest.splitlines()[1:] if line.strip()]
    raised = next((at for at, line in enumerate(lines) if not line[:1].isspace()), None)
    return raised is not None and len(lines) - raised <= WORDS_AFTER


def console_changed_at(folder: str) -> float:
    """Modification time of ``files/output.log``, epoch seconds; 0 where there is none."""
    return _changed_at(os.path.join(folder, "files", "output.log")) or 0.0


def oldest_file_at(folder: str) -> float | None:
    """Oldest modification time of the files a writer makes when it starts."""
    times = [_changed_at(os.path.join(folder, name)) for name in MADE_AT_START]
    return min((time for time in times if time), default=None)


def _changed_at(path: str) -> float | None:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return None


def _ends(path: str, length: int) -> tuple[bytes, bytes]:
    """The first and the last bytes of a regular file; empty where it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b"", b""
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return b"", b""
        head = os.pread(descriptor, length, 0)
        return head, head if found.st_size <= length else os.pread(descriptor, length, found.st_size - length)
    except OSError:
        return b"", b""
    finally:
        os.close(descriptor)
