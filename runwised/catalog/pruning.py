"""Keeps the cache folder small: what stands for logs that are gone for good, and what is too much, is removed."""

from __future__ import annotations

import contextlib
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


class _Kept(NamedTuple):
    used_at: float
    size: int
    path: str


def prune(folder: str, limits: Limits) -> int:
    """Remove from the cache folder what `limits` do not allow, what was not used for longest first; bytes removed."""
    since = time.time() - limits.grace_seconds
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
