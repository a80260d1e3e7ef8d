"""What answers keep with a run: in memory as long as its index grows, and one note on disk beside its sidecar."""

from __future__ import annotations

import os
from typing import Any

from runwised.catalog.state_files import read_whole

SUFFIX = ".rwn"


class Memory:
    """See `runwised.index.kept.Memory`. `path`: where the note is, read when it is asked for; empty without a cache."""

    __slots__ = ("_note", "folds", "is_new", "path")

    def __init__(self, path: str = "") -> None:
        self.path = path
        self.folds: dict[str, Any] = {}
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

    def forget(self) -> None:
        """The index was replaced, not gone on with."""
        self.folds = {}


def note_path(sidecar_path: str) -> str:
    """Where the note of a run is whose sidecar is there; empty where that is."""
    return sidecar_path and os.path.splitext(sidecar_path)[0] + SUFFIX
