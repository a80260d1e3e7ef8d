"""Keeps the cache folder small: what stands for logs that are gone for good, and what is too much, is removed."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Iterator
from typing import NamedTuple

from runwised.catalog.manifest import Manifest
from runwised.catalog.memory import SUFFIX as NOTE_SUFFIX
from runwised.catalog.store import MANIFEST_SUFFIX, SUFFIX, SidecarFile
from runwised.catalog.warm import stamp_of
from runwised.index.sidecar import Sidecar, SidecarDamaged, SidecarVersion


class Limits(NamedTuple):
    """What the cache may keep."""

    most_bytes: int = 10 << 30
    """All of it together."""
    grace_seconds: float = 30 * 86_400.0
    """What stands for logs that are not there is kept this long: a disk may only be away."""


LIMITS = Limits()
MARKER = "pruned"
"""A file beside what is kept, as old as the last time it was gone through."""


class _Kept(NamedTuple):
    used_at: float
    size: int
    path: str


def prune(folder: str, limits: Limits) -> int:
    """Remove from the cache folder what `limits` do not allow, what was not used for longest first; bytes removed.

    Where the grace time is said to have gone by since the last time, nothing counts as old: a clock that was set
    forward must not empty the cache, and after a long absence it only takes a day more.
    """
    now = time.time()
    passed = now - _went_through(folder, now)
    since = now - limits.grace_seconds if passed <= limits.grace_seconds else -math.inf
    kept: list[_Kept] = []
    removed = 0
    # Sidecars first: notes stand for them.
    for each in sorted(_kept_in(folder), key=lambda each: not each.path.endswith(SUFFIX)):
        if each.used_at < since and _is_orphan(each.path):
            removed += _remove(each)
        else:
            kept.append(each)
    left = sum(each.size for each in kept)
    for each in sorted(kept):
        if left <= limits.most_bytes:
            break
        removed += _remove(each)
        left -= each.size
    return removed


def _went_through(folder: str, now: float) -> float:
    """When it was last gone through, on the wall clock, which is now noted; now where that is not known."""
    path = os.path.join(folder, MARKER)
    try:
        before = os.stat(path, follow_symlinks=False).st_mtime
    except OSError:
        before = now
    with contextlib.suppress(OSError):  # a cache that may not be written is not pruned either
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.utime(descriptor, (now, now))
        finally:
            os.close(descriptor)
    return before


def _remove(each: _Kept) -> int:
    try:
        os.unlink(each.path)
    except OSError:  # gone already, or not ours to remove
        return 0
    return each.size


def _kept_in(folder: str) -> Iterator[_Kept]:
    for parent, _, names in os.walk(folder):
        for name in names:
            if name.endswith((SUFFIX, NOTE_SUFFIX, MANIFEST_SUFFIX)):
                path = os.path.join(parent, name)
                with contextlib.suppress(OSError):
                    found = os.stat(path, follow_symlinks=False)
                    yield _Kept(max(found.st_atime, found.st_mtime), found.st_size, path)


def _is_orphan(path: str) -> bool:
    """Whether nothing is there any more that it stands for."""
    if path.endswith(MANIFEST_SUFFIX):
        return not any(_is_there(source.file.path) for known, _ in Manifest(path).load() for source in known.sources)
    if path.endswith(NOTE_SUFFIX):
        return not os.path.lexists(os.path.splitext(path)[0] + SUFFIX)
    try:
        file = SidecarFile(path)
        sources = [source.file.path for source in stamp_of(Sidecar(file.read_at, file.size)).sources]
    except SidecarVersion as error:
        return not error.newer
    except SidecarDamaged:
        return True
    except OSError:
        return False
    return not any(map(_is_there, sources))


def _is_there(source: str) -> bool:
    """Whether a log, or a run's store, is there: behind that a ``#`` and its key follow; names may hold it too."""
    ends = [at for at, letter in enumerate(source) if letter == "#"]
    return any(os.path.lexists(source[:end]) for end in [len(source), *ends])
