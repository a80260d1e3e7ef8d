"""What answers keep with a run: in memory as long as its index grows, and one note on disk beside its sidecar."""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np

from runwised.catalog.state_files import read_whole

SUFFIX = ".rwn"


class Folds(dict[str, Any]):
    """What answers keep, and how much that is. What is put in is not changed any more, but for a little."""

    __slots__ = ("_sizes",)

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}

    def __setitem__(self, place: str, kept: Any) -> None:
        self._sizes[place] = size_of(kept)
        super().__setitem__(place, kept)

    @property
    def nbytes(self) -> int:
        """Memory held, about."""
        return sum(self._sizes.values())


class Memory:
    """See `runwised.index.kept.Memory`. `path`: where the note is, read when it is asked for; empty without a cache."""

    __slots__ = ("_note", "folds", "is_new", "path")

    def __init__(self, path: str = "") -> None:
        self.path = path
        self.folds = Folds()
        self.is_new = False
        """Whether the note differs from the one on disk."""
        self._note: bytes | None = None if path else b""

    @property
    def note(self) -> bytes:
        """See `runwised.index.kept.Memory`. A note that cannot be read is none: it is a cache."""
        if self._note is None:
            try:
                self._note = read_whole(self.path)
            except OSError:
                self._note = b""
        return self._note

    @note.setter
    def note(self, note: bytes) -> None:
        self._note, self.is_new = note, True

    @property
    def nbytes(self) -> int:
        """Memory held that can be had again, about."""
        return self.folds.nbytes

    def forget(self) -> None:
        """The index was replaced, not gone on with; or there is too much of it."""
        self.folds = Folds()


def size_of(kept: Any) -> int:
    """Memory that a value holds, about: arrays, and tuples and lists of them and of other things."""
    if isinstance(kept, np.ndarray):
        return sys.getsizeof(kept) if kept.base is None else sys.getsizeof(kept) + kept.nbytes
    within = sum(map(size_of, kept)) if isinstance(kept, (tuple, list)) else 0
    return sys.getsizeof(kept) + within


def note_path(sidecar_path: str) -> str:
    """Where the note of a run is whose sidecar is there; empty where that is."""
    return sidecar_path and os.path.splitext(sidecar_path)[0] + SUFFIX
