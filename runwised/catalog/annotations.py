"""What the user says of a project's runs: one readable JSON file a project, in the state folder, never in the project.

It is no cache: nothing else has what stands in it. So it is written whole, to the disk, by one process at a time that
has read it anew; and a file that makes no sense is set aside, never written over.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path

import msgspec

from runwised.catalog.state_files import locked, read_whole
from runwised.catalog.store import write_file
from runwised.index.kept import Annotation

FOLDER = "annotations"
_NOTHING = Annotation()


class NotKept(Exception):  # noqa: N818 - a finding, worded as one
    """What the user says cannot be written down; the message says why."""


class _File(msgspec.Struct, forbid_unknown_fields=True):
    """What the file holds."""

    root: str
    """The project's folder, for people: the file's name only has its hash."""
    runs: dict[str, Annotation] = {}
    """By run id."""


_decoder = msgspec.json.Decoder(_File)


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

    def of(self, run_id: str, own_id: str) -> Annotation:
        """What is said of a run; of copies of one run (which have one `own_id`) the same, unless of each its own."""
        if not self._runs:
            return _NOTHING
        return self._runs.get(_text(run_id)) or self._runs.get(_text(own_id), _NOTHING)

    def refresh(self) -> None:
        """Read the file, if it is not the one that was read."""
        if not self.path:
            return
        try:
            found = os.stat(self.path)
            signature = (found.st_ino, found.st_size, found.st_ctime_ns)
            if signature != self._signature:
                self._signature, self.trouble = signature, ""
                self._runs = self._read()
        except FileNotFoundError:
            self._signature, self.trouble, self._runs = None, "", {}
        except (OSError, ValueError) as error:
            self._runs = {}
            self.trouble = f"tags and notes of yours cannot be read, {self.path}: {_reason(error)}"

    def edit(self, run_id: str, own_id: str, change: Callable[[Annotation], Annotation]) -> str:
        """Change what is said of a run; a file that makes no sense goes out of the way, and that is what is given.

        Raises OSError, and what `change` raises; then nothing is changed.
        """
        if not self.path:
            self._runs = self._changed(self._runs, run_id, own_id, change)
            return ""
        with locked(os.path.dirname(self.path)):
            aside = ""
            try:
                runs = self._read()
            except FileNotFoundError:
                runs = {}
            except ValueError:
                runs, aside = {}, _free(self.path)
            runs = self._changed(runs, run_id, own_id, change)
            if aside:
                os.rename(self.path, aside)
            data = msgspec.json.encode(_File(root=_text(self._root), runs=runs))
            write_file(self.path, [msgspec.json.format(data, indent=2), b"\n"])
        return f"earlier tags and notes could not be read: they are kept in {aside}" if aside else ""

    def _read(self) -> dict[str, Annotation]:
        """Raises OSError and ValueError."""
        return _decoder.decode(read_whole(self.path)).runs

    def _changed(
        self, runs: dict[str, Annotation], run_id: str, own_id: str, change: Callable[[Annotation], Annotation]
    ) -> dict[str, Annotation]:
        before = runs.get(_text(run_id)) or runs.get(_text(own_id), _NOTHING)
        after = {**runs, _text(run_id): change(before)}
        # Of a copy it must be said that nothing is said, or what is said of the other would show.
        return {run: said for run, said in after.items() if said != _NOTHING or run != _text(own_id)}


NO_OVERLAY = Overlay(None, "/")


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
