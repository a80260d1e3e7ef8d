"""Log files that lie about in a project's `logs` folders: whatever a format of the registry recognises is a run."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence

DEEPEST = 3
MOST_FILES = 2000
HEAD_BYTES = 4096
"""What a format may look at to recognise a file."""


class LooseLogs:
    """The logs below some folders; a file is opened again only when it changed since it was looked into."""

    def __init__(self, folders: Sequence[str], recognise: Callable[[str, bytes], bool]) -> None:
        self.logs: dict[str, str] = {}
        """Run id (the path below its folder, without the ending) by path."""
        self.notes: list[str] = []
        self._folders = folders
        self._recognise = recognise
        self._seen: dict[str, tuple[int, bool]] = {}

    def look(self) -> None:
        """Find them all anew."""
        before, self._seen = self._seen, {}
        self.logs, self.notes = {}, []
        for folder in self._folders:
            for path in _files(folder, DEEPEST):
                if len(self._seen) >= MOST_FILES:
                    self.notes.append(f"{folder}: more than {MOST_FILES} files, the rest is not looked at")
                    return
                self._seen[path] = seen = self._look_into(path, before.get(path))
                if seen[1]:
                    self.logs[path] = os.path.splitext(os.path.relpath(path, folder))[0]

    def _look_into(self, path: str, before: tuple[int, bool] | None) -> tuple[int, bool]:
        """When the file was changed, and whether it is a log. One that was recognised stays so."""
        try:
            found = os.lstat(path)
            if before is not None and (before[1] or before[0] == found.st_mtime_ns):
                return before
            head = read_head(path, HEAD_BYTES)
        except OSError:
            return 0, False
        return found.st_mtime_ns, self._recognise(os.path.basename(path), head)


def _files(folder: str, levels: int) -> Iterator[str]:
    """Regular files below a folder, hidden ones and links left out."""
    try:
        with os.scandir(folder) as entries:
            inside = sorted(
                (entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name
            )
    except OSError:
        return
    for entry in inside:
        if entry.is_file(follow_symlinks=False):
            yield entry.path
        elif levels > 0 and entry.is_dir(follow_symlinks=False):
            yield from _files(entry.path, levels - 1)


def read_head(path: str, length: int) -> bytes:
    """The first bytes of a regular file. Raises OSError; never waits for a pipe's other end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return b""
        return os.pread(descriptor, length, 0)
    finally:
        os.close(descriptor)
