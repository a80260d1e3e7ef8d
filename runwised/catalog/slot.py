"""Where a run's index is (in memory, in its sidecar, or nowhere yet), and how it outlives a damaged sidecar."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import anyio

from runwised.catalog.feeds import Log, SourceChangedError, Stamped
from runwised.catalog.identity import Fingerprint
from runwised.catalog.memory import Memory
from runwised.catalog.store import MemoryFile, SidecarFile
from runwised.catalog.warm import Warm, stamp_of
from runwised.formats.record import Floats, Ints
from runwised.index.run_index import IndexedRun, RunIndex
from runwised.index.sidecar import Sidecar, SidecarDamaged
from runwised.index.view import Buckets, Other, Series, Stats, Table

T = TypeVar("T")

MOST_HEALED_BYTES = 64 << 20
"""Logs longer than this are not read again in the middle of a question: all others would wait."""
NOTHING = RunIndex()


class IndexLostError(Exception):
    """A sidecar turned out damaged in the middle of a question. The run is being indexed anew: ask again then."""


class IndexSlot:
    """One run's index. `logs` are the sources it is, or would be, made from."""

    def __init__(self) -> None:
        self.logs: list[Log] = []
        self.lock = anyio.Lock()
        """Held while the index in memory is folded on, or encoded on another thread."""
        self.warm: Warm | None = None
        self.is_saved = False
        """Whether the sidecar holds all that is in memory."""
        self.saved_at = time.monotonic()
        self.saved_bytes = 0
        self.asked_at = 0.0
        self.memory = Memory()
        """What answers keep with the run."""
        self.stamped: Sequence[Stamped] = ()
        """The sources the sidecar was made from."""
        self._file: SidecarFile | MemoryFile | None = None
        self._sidecar: Sidecar | None = None

    @property
    def filled(self) -> bool:
        """Whether there is an index."""
        return self.warm is not None or self._sidecar is not None

    @property
    def kept(self) -> MemoryFile | None:
        """The sidecar, when it is one that could not be saved."""
        return self._file if isinstance(self._file, MemoryFile) else None

    @property
    def fingerprints(self) -> list[Fingerprint]:
        """The sources it stands on, as they were where it ends."""
        if self.warm is not None:
            return self.warm.read_to
        return [source.file for source in self.stamped]

    @property
    def offsets(self) -> list[int]:
        """Bytes of each source the index stands on."""
        if self.warm is not None:
            return self.warm.offsets
        return [source.size for source in self._sidecar.sources] if self._sidecar is not None else []

    def put_warm(self, warm: Warm) -> None:
        """The index is in memory from now on, and differs from the sidecar."""
        if warm is not self.warm and not warm.is_thawed:
            self.memory.forget()
        self.warm, self._sidecar, self._file, self.is_saved = warm, None, None, False

    def put_file(self, file: SidecarFile | MemoryFile, *, is_same: bool = False) -> None:
        """The index is what this file holds, read when it is asked; `is_same`: as it is in memory.

        Raises SidecarDamaged and SidecarVersion.
        """
        sidecar = Sidecar(file.read_at, file.size)
        stamp = stamp_of(sidecar)
        if stamp.hints != [log.hints for log in self.logs[: len(stamp.hints)]]:
            raise SidecarDamaged("made by other settings")
        self._file = file
        self.stamped = stamp.sources
        self.warm, self._sidecar, self.is_saved = None, sidecar, True
        if not is_same:
            self.memory.forget()

    def take_over(self, other: IndexSlot) -> None:
        """Have what the other one has."""
        self.logs, self.warm, self.is_saved, self.memory = other.logs, other.warm, other.is_saved, other.memory
        self.stamped, self._sidecar, self._file = other.stamped, other._sidecar, other._file

    def clear(self) -> None:
        """There is no index any more."""
        self.warm, self._sidecar, self._file, self.stamped = None, None, None, ()
        self.memory.forget()

    def thaw(self) -> Warm:
        """An index of its own, to be read on: what the sidecar holds, or an empty one.

        Raises SourceChangedError when the logs are not those it was made from.
        """
        if self._sidecar is None or self._file is None:
            return Warm(self.logs)
        try:
            return Warm.thaw(Sidecar(self._file.read_at, self._file.size), self.logs)
        except (SidecarDamaged, OSError):
            return Warm(self.logs)

    def ask(self, question: Callable[[IndexedRun], T]) -> T:
        """Put a question to the index; an empty one where there is none.

        A sidecar that turns out damaged is replaced by reading the logs again, and the question is put again.
        Raises IndexLostError where that would take long, or the logs are not what they were.
        """
        self.asked_at = time.monotonic()
        if self.warm is not None:
            return question(self.warm.index)
        if self._sidecar is None:
            return question(NOTHING)
        try:
            return question(self._sidecar)
        except (SidecarDamaged, OSError) as error:
            self.put_warm(self._read_again(error))
            return self.ask(question)

    def _read_again(self, cause: Exception) -> Warm:
        to_read = sum(self.offsets)
        self.clear()
        if to_read > MOST_HEALED_BYTES:
            raise IndexLostError(str(cause)) from cause
        warm = Warm(self.logs)
        try:
            while warm.is_behind(to_read) and warm.step():
                pass
        except (OSError, SourceChangedError) as error:
            raise IndexLostError(str(error)) from cause
        return warm


class HealedTable:
    """A table of whatever index is in the slot when it is asked; see `runwised.index.view.Table`."""

    def __init__(self, slot: IndexSlot, choose: Callable[[IndexedRun], Table]) -> None:
        self._slot = slot
        self._choose = choose

    def _ask(self, question: Callable[[Table], T]) -> T:
        return self._slot.ask(lambda index: question(self._choose(index)))

    @property
    def row_count(self) -> int:
        """See `Table`."""
        return self._ask(lambda table: table.row_count)

    @property
    def total_rows(self) -> int:
        """See `Table`."""
        return self._ask(lambda table: table.total_rows)

    @property
    def names(self) -> Sequence[str]:
        """See `Table`."""
        return self._ask(lambda table: table.names)

    @property
    def others(self) -> Mapping[str, Other]:
        """See `Table`."""
        return self._ask(lambda table: table.others)

    def stats(self, name: str) -> Stats:
        """See `Table`."""
        return self._ask(lambda table: table.stats(name))

    def altered(self, name: str) -> int:
        """See `Table`."""
        return self._ask(lambda table: table.altered(name))

    def position(self, step: int) -> int:
        """See `Table`."""
        return self._ask(lambda table: table.position(step))

    def steps(self, start: int, stop: int) -> Ints:
        """See `Table`."""
        return self._ask(lambda table: table.steps(start, stop))

    def times(self, start: int, stop: int) -> Floats:
        """See `Table`."""
        return self._ask(lambda table: table.times(start, stop))

    def numbers(self, start: int, stop: int) -> Ints:
        """See `Table`."""
        return self._ask(lambda table: table.numbers(start, stop))

    def records(self, numbers: Ints) -> Ints:
        """See `Table`."""
        return self._ask(lambda table: table.records(numbers))

    def records_of(self, start: int, stop: int) -> Ints:
        """See `Table`."""
        return self._ask(lambda table: table.records_of(start, stop))

    def record_step(self, record: int) -> int:
        """See `Table`."""
        return self._ask(lambda table: table.record_step(record))

    @property
    def by_step(self) -> bool:
        """See `Table`."""
        return self._ask(lambda table: table.by_step)

    def series(self, name: str, start: int = 0, stop: int | None = None) -> Series:
        """See `Table`."""
        return self._ask(lambda table: table.series(name, start, stop))

    def sample(self, name: str, most: int, start: int = 0, stop: int | None = None) -> Buckets:
        """See `Table`."""
        return self._ask(lambda table: table.sample(name, most, start, stop))
