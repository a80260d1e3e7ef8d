"""What a store is: a place where a tracking library keeps many runs together, read piece by piece from a cursor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from runwised.catalog.identity import Seen
from runwised.formats.record import Batch, Row


class StoreChangedError(Exception):
    """What a cursor stands on is gone or another: the run must be read from its start."""


class StoredRun(NamedTuple):
    """One run of a store."""

    key: str
    """Which of the store's runs; empty where the store holds one only."""
    run_id: str
    """What the user calls it."""
    name: str | None
    experiment: str | None
    started: float | None
    """Epoch seconds."""


class Piece(NamedTuple):
    """What one read gave."""

    batches: list[Batch]
    cursor: bytes
    """Where to go on; opaque to everyone else."""
    count: int  # type: ignore[assignment]
    """Points or rows read; 0: there is nothing more for now (facts may have changed all the same)."""


class Store(Protocol):
    """One kind of store. Methods may be called from several threads at once; none ever writes where the store is."""

    name: str
    """Shown as the source's format."""
    tells_end: bool
    """As of a format: whether its runs say when they end."""

    def matches(self, path: str) -> bool:
        """Whether this is such a store, by its name and a short look; never waits, never raises."""

    def list_runs(self, path: str) -> list[StoredRun]:
        """Its runs but for deleted ones. Raises OSError."""

    def look(self, path: str, key: str) -> Seen | None:
        """A few stats: sizes added up and newest times of what holds the run; None when it is not there."""

    def read(self, path: str, key: str, cursor: bytes, most: int) -> Piece:
        """At most `most` points from where `cursor` (empty: the start) stands. Raises OSError, StoreChangedError."""

    def rows(self, path: str, key: str, cursor: bytes, offsets: Sequence[int]) -> Iterator[Row]:
        """Exact rows by the offsets `read` gave up to `cursor`, each with step `NO_STEP`: the index knows it.

        Raises OSError, and StoreChangedError when a row is not there any more.
        """

    def close(self) -> None:
        """Let go of all that is held open; it is opened again when it is needed."""
