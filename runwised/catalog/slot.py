"""Where a run's index is (in memory, in its sidecar, or nowhere yet), and how it outlives a damaged sidecar."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import anyio

from runwised.catalog.awake import Awake
from runwised.catalog.feeds import Log, SourceChangedError, Stamped
from runwised.catalog.identity import Fingerprint, look
from runwised.catalog.memory import Memory, note_path
from runwised.catalog.store import MemoryFile, SidecarFile
from runwised.catalog.warm import Warm, stamp_of
from runwised.formats.record import Floats, Ints
from runwised.index.run_index import IndexedRun, RunIndex
from runwised.index.sidecar import FIRST_READ, Sidecar, SidecarDamaged, SidecarVersion, head_of
from runwised.index.view import Buckets, Other, Series, Stats, Table

T = TypeVar("T")

MOST_HEALED_BYTES = 64 << 20
"""Logs longer than this are not read again in the middle of a question: all others would wait."""
DECODED = 6
"""What a sidecar's header takes in memory, in sizes of itself, about."""
LEAST_BYTES = 2048
NOTHING = RunIndex()


class IndexLostError(Exception):
    """A sidecar turned out damaged in the middle of a question. The run is being indexed anew: ask again then."""


class IndexSlot:
    """One run's index. `logs` are the sources it is, or would be, made from.

    An index in a sidecar is opened when it is asked, and at `rest` again when nobody asks: of ten thousand runs the
    most are over, and only asked for now and then.
    """

    __slots__ = (
        "_awake", "_counted", "_file", "_is_resting", "_lock", "_memo", "_memory", "_sidecar", "_stamped",
        "asked_at", "is_saved", "logs", "place", "saved_at", "saved_bytes", "warm",
    )  # fmt: skip

    def __init__(self, awake: Awake) -> None:
        self.logs: Sequence[Log] = ()
        self.warm: Warm | None = None
        self.is_saved = False
        """Whether the sidecar holds all that is in memory."""
        self.saved_at = 0.0
        self.saved_bytes = 0
        self.asked_at = 0.0
        self.place = ""
        """Where the sidecar lies or may lie; empty without a cache, or while that was not asked for."""
        self._awake = awake
        self._is_resting = False
        self._counted = 0
        """What the sidecar held when that was counted last, bytes."""
        self._file: SidecarFile | MemoryFile | None = None
        self._sidecar: Sidecar | None = None
        self._stamped: Sequence[Stamped] | None = None
        self._memory: Memory | None = None
        self._memo: dict[str, Any] | None = None
        self._lock: anyio.Lock | None = None

    @property
    def lock(self) -> anyio.Lock:
        """Held while the index in memory is folded on, or encoded on another thread."""
        if self._lock is None:
            self._lock = anyio.Lock()
        return self._lock

    @property
    def memory(self) -> Memory:
        """What answers keep with the run."""
        if self._memory is None:
            self._memory = Memory(note_path(self.place))
            self._woke()
        elif self._is_resting:
            self._woke()
        return self._memory

    @property
    def has_news(self) -> bool:
        """Whether what answers keep is to be saved."""
        return self._memory is not None and self._memory.is_new

    @property
    def memo(self) -> dict[str, Any]:
        """What was worked out of the index and of the files beside it, and is as good as these."""
        if self._memo is None:
            self._memo = {}
            self._woke()
        return self._memo

    def forget(self) -> None:
        """What was worked out is no good any more."""
        self._memo = None

    @property
    def weight(self) -> int:
        """As `Sleeper`."""
        sidecar = self._sidecar
        held = LEAST_BYTES + (self._memory.nbytes if self._memory is not None else 0)
        return held if sidecar is None else held + (DECODED - 1) * sidecar.begin + sidecar.nbytes

    def rest(self) -> None:
        """As `Sleeper`."""
        self._memo = None
        self._is_resting = True
        if self.warm is None:
            self._sidecar = self._stamped = None
            if self._lock is not None and not self._lock.locked():
                self._lock = None
            if self._memory is not None and not self._memory.is_new:
                self._memory = None
        if self._memory is not None:
            self._memory.forget()

    def _woke(self) -> None:
        self._is_resting = False
        self.asked_at = self._awake.now()
        self._counted = self._sidecar.nbytes if self._sidecar is not None else 0
        self._awake.woke(self)

    @property
    def filled(self) -> bool:
        """Whether there is an index."""
        return self.warm is not None or self._file is not None

    @property
    def file(self) -> SidecarFile | None:
        """The sidecar, when it is a file and holds all there is."""
        return self._file if isinstance(self._file, SidecarFile) and self.is_saved else None

    @property
    def kept(self) -> MemoryFile | None:
        """The sidecar, when it is one that could not be saved."""
        return self._file if isinstance(self._file, MemoryFile) else None

    @property
    def fingerprints(self) -> list[Fingerprint]:
        """The sources it stands on, as they were where it ends."""
        stamped = self.stamped
        return self.warm.read_to if self.warm is not None else [source.file for source in stamped]

    @property
    def stamped(self) -> Sequence[Stamped]:
        """The sources its sidecar was made from; none where the index is in memory."""
        if self.warm is not None or self._file is None:
            return ()
        if self._stamped is None:
            self._stamped = self.ask(lambda index: stamp_of(index).sources if isinstance(index, Sidecar) else ())
        return self._stamped

    @property
    def offsets(self) -> list[int]:
        """Bytes of each source the index stands on."""
        if self.warm is not None:
            return self.warm.offsets
        return self.ask(lambda index: [source.size for source in index.sources])

    def put_warm(self, warm: Warm) -> None:
        """The index is in memory from now on, and differs from the sidecar."""
        if warm is not self.warm and not warm.is_thawed:
            self.memory.forget()
        if self.warm is None:
            self.saved_at = time.monotonic()
        self._put(warm, None, None)
        self.is_saved = False

    def put_file(
        self, file: SidecarFile | MemoryFile, sidecar: Sidecar | None = None, *, is_same: bool = False
    ) -> None:
        """The index is what this file holds, read when it is asked; `is_same`: as it is in memory.

        `sidecar`: the file, where it was opened already. Raises SidecarDamaged and SidecarVersion.
        """
        sidecar = sidecar or Sidecar(file.read_at, file.size)
        stamp = stamp_of(sidecar)
        if stamp.hints != [log.hints for log in self.logs[: len(stamp.hints)]]:
            raise SidecarDamaged("made by other settings")
        self._put(None, file, sidecar)
        self._stamped, self.is_saved = stamp.sources, True
        self._woke()
        if not is_same:
            self.memory.forget()

    def put_away(self, file: SidecarFile | MemoryFile) -> None:
        """Have this file, which holds what is in memory, stand for it: nobody asks. Raises as `put_file`."""
        self.put_file(file, is_same=True)
        self._awake.rest(self)

    def put_rested(self, file: SidecarFile, logs: Sequence[Log]) -> None:
        """The index is what this file holds, made from these logs as they are; it is opened when it is asked."""
        self._put(None, file, None)
        self.place, self.logs, self.is_saved = file.path, logs, True

    def head(self) -> bytes:
        """What its sidecar begins with; empty where that is long. Raises OSError, SidecarDamaged and SidecarVersion."""
        file = self.file
        if file is None:
            return b""
        return file.head.read() if file.head else head_of(file.read_at(0, FIRST_READ))

    def take_over(self, other: IndexSlot) -> None:
        """Have what the other one has."""
        self._put(other.warm, other._file, other._sidecar)
        self.logs, self.is_saved, self.place, self._memory = other.logs, other.is_saved, other.place, other._memory
        self._woke()

    def clear(self) -> None:
        """There is no index any more."""
        self._put(None, None, None)
        self.memory.forget()

    def _put(self, warm: Warm | None, file: SidecarFile | MemoryFile | None, sidecar: Sidecar | None) -> None:
        self.warm, self._file, self._sidecar, self._stamped = warm, file, sidecar, None

    def thaw(self) -> Warm:
        """An index of its own, to be read on: what the sidecar holds, or an empty one.

        Raises SourceChangedError when the logs are not those it was made from.
        """
        if self._file is None:
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
        self.asked_at = self._awake.now()
        if self.warm is not None:
            return question(self.warm.index)
        if self._file is None:
            return question(NOTHING)
        try:
            if self._sidecar is None:
                self._sidecar = _open(self._file)
                self._woke()
            sidecar = self._sidecar
            found = question(sidecar)
            if sidecar.nbytes != self._counted and sidecar is self._sidecar:
                self._woke()
        except (SidecarDamaged, SidecarVersion, OSError) as error:
            self.put_warm(self._read_again(error))
            return self.ask(question)
        return found

    def _read_again(self, cause: Exception) -> Warm:
        to_read = sum(found.size for log in self.logs if (found := look(log.path)) is not None)
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


def _open(file: SidecarFile | MemoryFile) -> Sidecar:
    """Raises SidecarDamaged, SidecarVersion and OSError."""
    if isinstance(file, SidecarFile) and file.head is not None:
        try:
            return Sidecar(file.read_at, file.size, file.head.read())
        except (OSError, SidecarDamaged, SidecarVersion):
            file.head = None
    return Sidecar(file.read_at, file.size)


class HealedTable:
    """A table of whatever index is in the slot when it is asked; see `runwised.index.view.Table`."""

    __slots__ = ("__weakref__", "_choose", "_slot")

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
