"""The few settings of the daemon itself: from its command line, the file `environment`, and the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.paths import config_folder

from runwised.server.logs import LEVELS

LOG_LEVEL, IDLE_SECONDS = "RUNWISE_LOG_LEVEL", "RUNWISE_IDLE_SECONDS"
FILE_NAME = "environment"
_MOST_BYTES = 1 << 16


class Options(msgspec.Struct, frozen=True):
    """What holds until it is read again."""

    log_level: str
    idle_seconds: float
    """0: the daemon never ends by itself."""


def options(given: Mapping[str, str], environ: Mapping[str, str]) -> Options:
    """What holds now: `given` comes first, then the file, then the environment. Raises RunwiseError."""
    found = {**environ, **_file(), **given}
    level = found.get(LOG_LEVEL) or "info"
    idle = found.get(IDLE_SECONDS) or "0"
    if level not in LEVELS:
        raise _refused(LOG_LEVEL, level, f"one of {', '.join(LEVELS)}")
    try:
        seconds = float(idle)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < float("inf"):
        raise _refused(IDLE_SECONDS, idle, "a number of seconds")
    return Options(level, seconds)


def file_path() -> str:
    """The file with one ``NAME=value`` a line; ``#`` begins a comment."""
    return f"{config_folder()}/{FILE_NAME}"


def _file() -> dict[str, str]:
    path = file_path()
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read(_MOST_BYTES).splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise RunwiseError(Kind.USAGE, f"{path} cannot be read: {error}", f"rm {path}") from error
    found = {}
    for number, line in enumerate(lines, 1):
        name, _, value = (part.strip() for part in line.partition("="))
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if name not in (LOG_LEVEL, IDLE_SECONDS):
            raise RunwiseError(
                Kind.USAGE, f"{path}:{number}: {name!r}, expected {LOG_LEVEL} or {IDLE_SECONDS}", f"edit {path}"
            )
        found[name] = value.strip("\"'")
    return found


def _refused(name: str, value: str, expected: str) -> RunwiseError:
    hint = f"edit {file_path()}" if os.path.exists(file_path()) else f"unset {name}"
    return RunwiseError(Kind.USAGE, f"{name} is {value!r}, expected {expected}", hint)
