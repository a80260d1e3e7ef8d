"""What the beginnings of files say they are; a file is opened again only when it changed since it was looked into."""

from __future__ import annotations

import os
import stat
import time
from typing import NamedTuple, TypeAlias

from runwised.catalog.listing import Recognise
from runwised.catalog.opening import read_head
from runwised.catalog.passed import reason_by_head, reason_by_mode

HEAD_BYTES = 4096
"""What a format may look at to recognise a file."""
YOUNG_NANOSECONDS = 3_600_000_000_000
"""A file that was no log yet and changed this shortly before it was looked into may soon become one."""

Signature: TypeAlias = tuple[int, int, int, int]


class Head(NamedTuple):
    """What a file was found to be."""

    format: str
    """Empty: no log."""
    reason: str
    """Why it is none."""
    data: bytes
    """Its beginning; only of a file that is asked for `anew`."""


class _Seen(NamedTuple):
    signature: Signature
    head: Head
    is_young: bool
    is_kept: bool
    """Its beginning is."""


class Heads:
    """Every file that was looked into, as it was then."""

    def __init__(self, recognise: Recognise) -> None:
        self._recognise = recognise
        self._before: dict[str, _Seen] = {}
        self._seen: dict[str, _Seen] = {}

    def begin(self) -> None:
        """A look begins: what is not asked for in it is forgotten after it."""
        self._before, self._seen = self._seen, {}

    def look(self, path: str, inode: int | None, *, anew: bool = False) -> Head:
        """What the file is. One that was recognised stays so while its inode is the same, unless `anew`."""
        known = self._seen.get(path)
        if known is None or (anew and not known.is_kept):
            known = self._before.get(path)
            if known is None or anew or not known.head.format or known.signature[0] != inode:
                known = self._look_into(path, known, keep=anew)
            self._seen[path] = known
        return known.head

    def keep(self, path: str) -> None:
        """The file's folder is as it was, and the file was recognised: it stays what it is."""
        if path in self._before:
            self._seen[path] = self._before[path]

    def stirred(self) -> bool:
        """Whether a file changed that may soon become a log."""
        return any(seen.is_young and _signature_at(path) != seen.signature for path, seen in self._seen.items())

    def _look_into(self, path: str, known: _Seen | None, *, keep: bool) -> _Seen:
        try:
            found = os.lstat(path)
            signature = _signature(found)
            if known is not None and known.signature == signature and (known.is_kept or not keep):
                return known
            if not stat.S_ISREG(found.st_mode):
                return _Seen(signature, Head("", reason_by_mode(found.st_mode), b""), is_young=False, is_kept=True)
            data = read_head(path, HEAD_BYTES)
        except OSError as error:
            reason = f"unreadable: {error.strerror}"
            return _Seen(_signature_at(path), Head("", reason, b""), is_young=False, is_kept=True)
        form = self._recognise(os.path.basename(path), data)
        is_young = not form and time.time_ns() - found.st_mtime_ns < YOUNG_NANOSECONDS
        head = Head(form, "" if form else reason_by_head(data), data if keep else b"")
        return _Seen(signature, head, is_young, keep)


def _signature(found: os.stat_result) -> Signature:
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _signature_at(path: str) -> Signature:
    try:
        return _signature(os.lstat(path))
    except OSError:
        return 0, 0, 0, 0
