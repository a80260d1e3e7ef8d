"""The daemon's own log on stderr: one line an event, one a minute of a cause, fit for the journal or for a file."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from typing import TextIO

from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.harmless import clean
from runwise_protocol.launch import LOG_CAP

QUIET_SECONDS = 60
"""Between two lines of one cause."""
MOST_CAUSES = 1000
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
"""Of syslog(3), which the journal reads from a line's beginning; below: 7, for debugging."""
_STDERR = 2


def begin(level: str, path: str, environ: Mapping[str, str]) -> None:
    """Log to stderr. `path`: the file that stderr is when no service manager keeps the log. Raises RunwiseError."""
    handler = _Stderr(sys.stderr, path)
    handler.setFormatter(OneLine(with_priority=is_journal(environ)))
    handler.addFilter(Sparing())
    logging.basicConfig(handlers=[handler])
    set_level(level)
    faulthandler.register(signal.SIGUSR1)  # `kill -USR1` shows where every thread is


def set_level(level: str) -> None:
    """From now on. Raises RunwiseError for what is no level."""
    if level not in LEVELS:
        raise RunwiseError(Kind.USAGE, f"no log level {level!r}; {', '.join(LEVELS)}", "runwised --log-level info")
    logging.getLogger().setLevel(LEVELS[level])


def end() -> None:
    """Say what was left out, and write everything."""
    for handler in logging.getLogger().handlers:
        for sparing in (each for each in handler.filters if isinstance(each, Sparing)):
            for cause, count in sparing.left_out():
                logging.getLogger(__name__).info("%d more like it were left out: %s", count, cause)
    logging.shutdown()


def place(path: str, environ: Mapping[str, str]) -> str:
    """Where the log is to be found: ``journal``, the file at `path`, or ``stderr`` for anything else."""
    if is_journal(environ):
        return "journal"
    try:
        return path if os.path.samestat(os.fstat(_STDERR), os.stat(path)) else "stderr"
    except OSError:
        return "stderr"


def is_journal(environ: Mapping[str, str]) -> bool:
    """Whether stderr is the journal's: ``$JOURNAL_STREAM`` names its device and inode."""
    try:
        found = os.fstat(_STDERR)
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


class OneLine(logging.Formatter):
    """An event as one line: names from logs may hold anything, and an error is shown with its way through the code."""

    def __init__(self, *, with_priority: bool) -> None:
        super().__init__("%(message)s" if with_priority else "%(asctime)s %(process)d %(levelname)s %(message)s")
        self._with_priority = with_priority

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line = super().format(record)
        if count := getattr(record, "left_out", 0):
            line += f" ({count} more like it were left out)"
        return f"<{_priority(record.levelno)}>{clean(line)}" if self._with_priority else clean(line)

    def formatException(self, ei: object) -> str:  # noqa: N802 - the standard library's name
        """The error, and from where to where it went."""
        error = ei[1] if isinstance(ei, tuple) else None
        if not isinstance(error, BaseException):
            return ""
        steps = traceback.extract_tb(error.__traceback__)
        way = " > ".join(f"{os.path.basename(step.filename)}:{step.lineno} {step.name}" for step in steps)
        cause = error.__cause__ or error.__context__
        return f"{error!r} at {way}" + (f" after {cause!r}" if cause else "")


class Sparing(logging.Filter):
    """Lets one line a minute through for each cause (the text of a message before its values are filled in).

    The next one says how many were left out meanwhile. What is for debugging is never left out.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, tuple[float, int]] = {}
        """When a cause was let through, and how many were not since."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to let it through."""
        if record.levelno <= logging.DEBUG:
            return True
        cause = f"{record.msg}{record.exc_info[0] if record.exc_info else ''}"
        now = time.monotonic()
        last, left_out = self._last.pop(cause, (-QUIET_SECONDS, 0))
        if now - last < QUIET_SECONDS:
            self._last[cause] = (last, left_out + 1)
            return False
        self._last[cause] = (now, 0)
        if len(self._last) > MOST_CAUSES:
            del self._last[next(iter(self._last))]
        record.left_out = left_out
        return True

    def left_out(self) -> list[tuple[str, int]]:
        """Causes, and how many lines of each were left out that no later line has told of."""
        return [(cause, count) for cause, (_, count) in self._last.items() if count]


class _Stderr(logging.StreamHandler[TextIO]):
    """Where stderr is the log file, it is set aside when it has become too long; the older one is given up."""

    def __init__(self, stream: TextIO, path: str) -> None:
        super().__init__(stream)
        self._path = path

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        try:
            found = os.fstat(_STDERR)
            if found.st_size > LOG_CAP and os.path.samestat(found, os.lstat(self._path)):
                self._begin_anew()
        except FileNotFoundError:
            pass  # stderr is another file, or this one was removed
        except OSError:
            self.handleError(record)

    def _begin_anew(self) -> None:
        os.replace(self._path, f"{self._path}.old")
        how = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        fresh = os.open(self._path, how, 0o600)
        os.dup2(fresh, _STDERR)  # all that writes there goes on with the new one
        os.close(fresh)


def _priority(level: int) -> int:
    return next((priority for least, priority in _PRIORITIES if level >= least), 7)
