"""What the user says of a project's runs: one readable JSON file a project, in the state folder, never in the project.

It is no cache: nothing else has what stands in it. So it is written whole, to the disk, by one process at a time that
has read it anew; and a file that makes no sense is set aside, never written over.

A project that was moved is known by its runs: where nothing is said of a project, what was said of one that is gone
holds, if that one alone had one of its runs. The file of the one that is gone stays as it is.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TypeAlias

import msgspec

from runwised.catalog.state_files import locked, read_whole
from runwised.catalog.store import write_file
from runwised.index.kept import Annotation

FOLDER = "annotations"
NEWS_SECONDS = 60.0
"""For so long it is told that a project was moved."""
_NOTHING = Annotation()


class NotKept(Exception):  # noqa: N818 - a finding, worded as one
    """What the user says cannot be written down; the message says why."""


class _File(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What the file holds."""

    root: str
    """The project's folder, for people: the file's name only has its hash."""
    runs: dict[str, Annotation] = {}
    """By run id."""
    origins: dict[str, str] = {}
    """By run id, what the run is known by where the project is moved to; see `Origins`."""
    moved_from: str = ""
    """The root at which what is said was said first."""


_decoder = msgspec.json.Decoder(_File)

Origins: TypeAlias = Callable[[Collection[str]], Mapping[str, str]]
"""Of those of these runs that there are, by run id: where its log lies below the root, and what tells it from another
one of that name. Empty: it cannot be known again."""


def _no_origins(ids: Collection[str]) -> Mapping[str, str]:  # noqa: ARG001
    return {}


class Overlay:
    """The annotations of one project's runs, as they were when last looked at."""

    def __init__(self, state: Path | None, root: str) -> None:
        """`state`: the state folder; None keeps everything in memory. A project is known by its real path."""
        self._root = os.path.realpath(root)
        self.path = os.path.join(state, FOLDER, _name(self._root)) if state is not None else ""
        self.trouble = ""
        """Why the file cannot be read."""
        self._runs: dict[str, Annotation] = {}
        self._signature: tuple[int, ...] | None = None
        self._former: _File | None = None
        """The file of the project that this one was, before it was moved; none is its own then."""
        self._searched: object = None
        """What was known when others like it were looked for,"""
        self._alike: list[_File] = []
        """and those that had one of its runs."""
        self._moved_at = -math.inf

    @property
    def news(self) -> str:
        """What is to be told in the first answers after it was found where a project came from."""
        if self._former is None or time.monotonic() - self._moved_at > NEWS_SECONDS:
            return ""
        return f"your tags and notes are those of {self._former.root}, which is gone"

    def of(self, run_id: str, own_id: str) -> Annotation:
        """What is said of a run; of copies of one run (which have one `own_id`) the same, unless of each its own."""
        if not self._runs:
            return _NOTHING
        return self._runs.get(_text(run_id)) or self._runs.get(_text(own_id), _NOTHING)

    def refresh(self, count: int = 0, origins: Origins = _no_origins) -> None:
        """Read the file, if it is not the one that was read; `count`: how many runs the project has."""
        if not self.path:
            return
        try:
            found = os.stat(self.path)
            signature = (found.st_ino, found.st_size, found.st_ctime_ns)
            if signature != self._signature:
                self._signature, self.trouble = signature, ""
                self._former = None
                self._runs = self._read().runs
        except FileNotFoundError:
            self._signature = None
            self._look_for_former(count, origins)
        except (OSError, ValueError) as error:
            self._runs = {}
            self.trouble = f"tags and notes of yours cannot be read, {self.path}: {_reason(error)}"

    def edit(
        self, run_id: str, own_id: str, change: Callable[[Annotation], Annotation], origins: Origins = _no_origins
    ) -> str:
        """Change what is said of a run; a file that makes no sense goes out of the way, and that is what is given.

        Raises OSError, and what `change` raises; then nothing is changed.
        """
        if not self.path:
            self._runs = _changed(self._runs, run_id, own_id, change)
            return ""
        with locked(os.path.dirname(self.path)):
            aside = ""
            before = _File(root="")
            try:
                before = self._read()
            except FileNotFoundError:
                before = self._former or before
            except ValueError:
                aside = _free(self.path)
            runs = _changed(before.runs, run_id, own_id, change)
            if aside:
                os.rename(self.path, aside)
            known = {**before.origins, **{_text(run): origin for run, origin in origins((run_id, own_id)).items()}}
            known = {run: origin for run, origin in known.items() if run in runs and origin}
            moved_from = before.moved_from if before is not self._former else before.root
            data = msgspec.json.encode(_File(_text(self._root), runs, known, moved_from))
            write_file(self.path, [msgspec.json.format(data, indent=2), b"\n"])
        return f"earlier tags and notes could not be read: they are kept in {aside}" if aside else ""

    def _read(self) -> _File:
        """Raises OSError and ValueError."""
        return _decoder.decode(read_whole(self.path))

    def _look_for_former(self, count: int, origins: Origins) -> None:
        """Take what was said of a project that is gone, and had one of these runs."""
        every, stamp = _files_in(os.path.dirname(self.path))
        if self._searched != (stamp, count):
            self._searched = stamp, count
            self._alike = [file for file in every if self._is_alike(file, origins)]
        gone = [file for file in self._alike if not os.path.isdir(file.root)]
        # Who was moved twice was gone twice: the later one says more.
        gone = [file for file in gone if file.root not in [other.moved_from for other in gone]]
        former = gone[0] if len(gone) == 1 else None
        if former and (self._former is None or self._former.root != former.root):
            self._moved_at = time.monotonic()
        self._former, self._runs, self.trouble = former, dict(former.runs) if former else {}, ""
        if gone and former is None:
            roots = ", ".join(file.root for file in gone)
            self.trouble = f"tags and notes of several projects that are gone would fit, none is shown: {roots}"

    def _is_alike(self, file: _File, origins: Origins) -> bool:
        """Whether it was said of runs that are here now."""
        if file.root == _text(self._root) or not file.origins:
            return False
        here = {_text(run): origin for run, origin in origins(file.origins).items()}
        return any(here.get(run) == origin for run, origin in file.origins.items())


NO_OVERLAY = Overlay(None, "/")


def _changed(
    runs: dict[str, Annotation], run_id: str, own_id: str, change: Callable[[Annotation], Annotation]
) -> dict[str, Annotation]:
    before = runs.get(_text(run_id)) or runs.get(_text(own_id), _NOTHING)
    after = {**runs, _text(run_id): change(before)}
    # Of a copy it must be said that nothing is said, or what is said of the other would show.
    return {run: said for run, said in after.items() if said != _NOTHING or run != _text(own_id)}


_known_files: dict[str, tuple[int, list[_File]]] = {}
"""By folder: when it was changed last, and what is in it."""


def _files_in(folder: str) -> tuple[list[_File], int]:
    """What is said of all projects, and the stamp of the folder: another one where any of it is said anew."""
    try:
        stamp = os.stat(folder).st_mtime_ns
        if folder not in _known_files or _known_files[folder][0] != stamp:
            paths = [entry.path for entry in os.scandir(folder) if entry.name.endswith(".json")]
            _known_files[folder] = stamp, [file for path in paths if (file := _file(path))]
    except OSError:
        # A folder that is not there, or closed to us, says nothing: that it cannot be written is told when it is.
        return [], 0
    stamp, files = _known_files[folder]
    return files, stamp


def _file(path: str) -> _File | None:
    """None: it makes no sense, which is told where its own project is asked about."""
    try:
        return _decoder.decode(read_whole(path))
    except (OSError, ValueError):
        return None


def _name(root: str) -> str:
    readable = re.sub(r"[^A-Za-z0-9_-]", "_", os.path.basename(root))[:40]
    digest = hashlib.blake2b(os.fsencode(root), digest_size=8).hexdigest()
    return f"{readable}-{digest}.json"


def _text(name: str) -> str:
    """A name of any bytes as text that JSON can hold."""
    return name.encode(errors="backslashreplace").decode()


def _free(path: str) -> str:
    """A name beside it that nothing has."""
    return next(name for number in range(1, 10_000) if not os.path.lexists(name := f"{path}.damaged-{number}"))


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
