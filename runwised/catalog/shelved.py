"""A run at rest: where it stands in its project's manifest, and what it takes to have it from there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from runwised.catalog.feeds import Log
from runwised.catalog.manifest import Rested, Shelf
from runwised.catalog.segment import Segment
from runwised.catalog.store import SidecarFile, Store, is_same_file, signature_at


class Taken(NamedTuple):
    """What the manifest has of a run."""

    file: SidecarFile
    """Its sidecar, not opened yet."""
    rested: Rested
    head: bytes
    """What its sidecar begins with; empty where that is long."""


class Shelved:
    """All that is held of the index of a run that is over and that nobody asks for: of ten thousand most are so."""

    __slots__ = ("_parts", "_store", "offset", "shelf")

    def __init__(self, shelf: Shelf, offset: int, parts: Sequence[Segment], store: Store) -> None:
        self.shelf, self.offset, self._parts, self._store = shelf, offset, parts, store

    @property
    def logs(self) -> list[Log]:
        """The sources its index was made from."""
        return [log for log in (part.source() for part in self._parts) if log is not None]

    @property
    def place(self) -> str:
        """Where its sidecar lies."""
        return self._store.path_of(self._parts[0].found)

    def has_sidecar(self) -> bool:
        """Whether its sidecar is there, and is the one the manifest tells of."""
        try:
            signature = self.shelf.read(self.offset)[0].signature
        except OSError:
            return False
        found = signature_at(self.place)
        return found is not None and is_same_file(found, signature)

    def take_down(self) -> Taken:
        """Have it from there. Raises OSError where something else stands there by now."""
        rested, head = self.shelf.read(self.offset)
        return Taken(self._store.known(lambda: self.place, rested.signature), rested, head)
