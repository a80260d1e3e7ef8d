"""A place that a question names itself: one log, a database or a folder, in a project or anywhere else."""

from __future__ import annotations

import os
import stat
from itertools import islice

from runwised.catalog.passed import reason_by_mode
from runwised.catalog.place import CONFIG_NAME, MOST_NAMES, Place, Settings, Settled

_NO_LOGS = ("/dev", "/proc", "/sys")
"""What lies there is no file on a disk: to read it may wait for ever, or do something."""
_SHARED_MEMORY = "/dev/shm"
_CUTOFF = 0.5


class NoLog(Exception):  # noqa: N818 - a finding, worded as one
    """Nothing that can be looked at is at `path` (as it was asked for); `reason` says why."""

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: {reason}")


class NotThere(NoLog):
    """Nothing is at `path`; `nearest` are names in its folder that are alike."""

    def __init__(self, path: str, nearest: list[str]) -> None:
        super().__init__(path, "no such file or folder")
        self.nearest = nearest


def locate_named(path: str, cwd: str, settings: Settings) -> Settled:
    """The place that is just this file or folder: absolute, below `cwd`, or below the user's home (``~``).

    A link is followed, for it was named. The settings are those of the nearest folder upwards that has some; no path
    in them counts. Raises NoLog, also for what stands where a file could: nothing of that kind is ever opened.
    """
    at = os.path.normpath(os.path.join(cwd, os.path.expanduser(path)))
    try:
        at = os.path.realpath(at) if os.path.islink(at) else at
        mode = os.stat(at).st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise NotThere(path, _nearest(at)) from None
    except OSError as error:
        raise NoLog(path, str(error.strerror).lower()) from None
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise NoLog(path, f"not a log but {reason_by_mode(mode)}")
    if _is_no_disk(os.path.realpath(at)):
        raise NoLog(path, "no place for logs")
    root = at if stat.S_ISDIR(mode) else os.path.dirname(at)
    config, note = settings.read(_with_settings(root))
    return Settled(Place(root, (), (at,), nested=False, only=True), config, (note,) if note else ())


def _is_no_disk(path: str) -> bool:
    if _is_within(path, _SHARED_MEMORY):
        return False
    return path == "/" or any(_is_within(path, tree) for tree in _NO_LOGS)


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _with_settings(folder: str) -> str:
    """The nearest folder upwards that has settings; `folder` where none has."""
    above = folder
    while True:
        if os.path.isfile(os.path.join(above, CONFIG_NAME)):
            return above
        parent = os.path.dirname(above)
        if parent == above:
            return folder
        above = parent


def _nearest(path: str) -> list[str]:
    """Names in the folder where `path` would be that are much like its own."""
    folder, name = os.path.split(path)
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in islice(entries, MOST_NAMES)]
    except (OSError, ValueError):
        return []
    import difflib

    return difflib.get_close_matches(name[:255], sorted(names), n=3, cutoff=_CUTOFF)
