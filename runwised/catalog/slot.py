"""Where a run's index is (in memory, in its sidecar, or nowhere yet), and how it outlives a damaged sidecar."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import anyio

from runwised.catalog.awake import Awake
from runwised.catalog.feeds import Log, SourceChangedError, Stamped
from runwised.catalog.identity import Fingerprint, look
from runwised.catalog.manifest import Rested, Shelf
from runwised.catalog.memory import Memory, note_path
from runwised.catalog.shelved import Shelved, Taken
from runwised.catalog.store import MemoryFile, SidecarFile
from runwised.catalog.warm import Warm, stamp_of
from runwised.index.run_index import IndexedRun, RunIndex
from runwised.index.sidecar import FIRST_READ, Sidecar, SidecarDamaged, SidecarVersion, head_of

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
    most are over, and only asked for now and then. Of those nothing is held then but where they stand on the shelf.
    """

    __slots__ = (
        "_awake", "_counted", "_file", "_is_resting", "_lock", "_logs", "_memo", "_memory", "_place", "_sidecar",
        "_stamped", "_taken", "asked_at", "is_locked", "is_saved", "saved_at", "saved_bytes", "shelved", "warm",
    )  # fmt: skip

    def __init__(self, awake: Awake) -> None:
        self._logs: Sequence[Log] | None = ()
        self.warm: Warm | None = None
        self.is_saved = False
        """Whether the sidecar holds all that is in memory."""
        self.is_locked = False
        """The sidecar belongs to a newer version of this program: it is not to be written."""
        self.saved_at = 0.0
        self.saved_bytes = 0
        self.asked_at = 0.0
        self._place = ""
        self._awake = awake
        self.shelved: Shelved | None = None
        """Where the run stands while it is over; what is had from there is `_taken`, `_logs` and `_place`."""
        self._taken: Taken | None = None
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
    def logs(self) -> Sequence[Log]:
        """The sources it is, or would be, made from."""
        if self._logs is None:
            self._logs = self.shelved.logs if self.shelved else ()
        return self._logs

    @logs.setter
    def logs(self, logs: Sequence[Log]) -> None:
        self._logs = logs

    @property
    def place(self) -> str:
        """Where the sidecar lies or may lie; empty without a cache, or while that was not asked for."""
        if not self._place and self.shelved:
            self._place = self.shelved.place
        return self._place

    @place.setter
    def place(self, place: str) -> None:
        self._place = place

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
        self._memo, self._counted = None, 0
        self._is_resting = True
        if self.warm is None:
            self._sidecar = self._stamped = None
            if self.shelved is not None:
                self._taken = self._logs = None
                self._place = ""
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
        return self.warm is not None or self._file is not None or self.shelved is not None

    @property
    def is_in_file(self) -> bool:
        """Whether the sidecar is a file and holds all there is."""
        return self.is_saved and (self.shelved is not None or isinstance(self._file, SidecarFile))

    @property
    def rested(self) -> Rested | None:
        """What the manifest says of it; None where it does not stand there. Raises OSError."""
        if self.shelved is None:
            return None
        return (self._taken or self.shelved.take_down()).rested

    @property
    def place_on_shelf(self) -> tuple[Shelf, int] | None:
        """In which manifest it stands, and where."""
        return (self.shelved.shelf, self.shelved.offset) if self.shelved is not None else None

    @property
    def file(self) -> SidecarFile | None:
        """The sidecar, where it `is_in_file`. Raises OSError."""
        file = self._at_hand() if self.is_in_file else None
        return file if isinstance(file, SidecarFile) else None

    def _at_hand(self) -> SidecarFile | MemoryFile | None:
        """The sidecar; None where there is none. Raises OSError."""
        return self._file if self.shelved is None else self.shelved.take_down().file

    def _take_down(self, shelved: Shelved) -> Taken:
        """What the manifest has of it, kept while it is asked. Raises OSError."""
        if self._taken is None:
            self._taken = shelved.take_down()
        return self._taken

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
        if self.warm is not None or not self.filled:
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

    def put_on_shelf(self, shelved: Shelved) -> None:
        """The index is what the sidecar holds of a run that stands there; it is had from there when it is asked."""
        self._put(None, None, None)
        self.shelved, self._logs, self.is_saved = shelved, None, True
        self.saved_at, self.saved_bytes = 0.0, 0
        if self.asked_at:
            self._awake.rest(self)

    def head(self) -> bytes:
        """What its sidecar begins with; empty where that is long. Raises OSError, SidecarDamaged and SidecarVersion."""
        file = self.file
        return b"" if file is None else head_of(file.read_at(0, FIRST_READ))

    def take_over(self, other: IndexSlot) -> None:
        """Have what the other one has."""
        self._put(other.warm, other._file, other._sidecar)
        self.shelved = other.shelved
        self.logs, self.is_saved, self.place, self._memory = other.logs, other.is_saved, other.place, other._memory
        self.is_locked = other.is_locked
        self._woke()

    def clear(self) -> None:
        """There is no index any more."""
        self._put(None, None, None)
        self.memory.forget()

    def _put(self, warm: Warm | None, file: SidecarFile | MemoryFile | None, sidecar: Sidecar | None) -> None:
        self.warm, self._file, self._sidecar, self._stamped = warm, file, sidecar, None
        if self.shelved is not None:
            self.logs, self.place = self.logs, self.place
            self.shelved = self._taken = None

    def thaw(self) -> Warm:
        """An index of its own, to be read on: what the sidecar holds, or an empty one.

        Raises SourceChangedError when the logs are not those it was made from.
        """
        try:
            file = self._at_hand()
            return Warm.thaw(Sidecar(file.read_at, file.size), self.logs) if file else Warm(self.logs)
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
        if not self.filled:
            return question(NOTHING)
        try:
            if self._sidecar is None:
                self._sidecar = self._open()
                self._woke()
            sidecar = self._sidecar
            found = question(sidecar)
            if sidecar.nbytes != self._counted and sidecar is self._sidecar:
                self._woke()
        except (SidecarDamaged, SidecarVersion, OSError) as error:
            self.put_warm(self._read_again(error))
            return self.ask(question)
        return found

    def _open(self) -> Sidecar:
        """Raises SidecarDamaged, SidecarVersion and OSError."""
        if self.shelved is not None:
            file, _, head = self._take_down(self.shelved)
            return Sidecar(file.read_at, file.size, head)
        assert self._file is not None
        return Sidecar(self._file.read_at, self._file.size)

    def _read_again(self, cause: Exception) -> Warm:
        self.is_locked = self.shelved is not None and _is_newer(self.place)
        to_read = sum(found.size for log in self.logs if (found := look(log.path)) is not None)
        self.clear()
        if to_read > MOST_HEALED_BYTES:
            raise IndexLostError(str(cause)) from cause
        warm = Warm(self.logs)
        try:
            for _ in warm.read_all():
                pass
        except (OSError, SourceChangedError) as error:
            raise IndexLostError(str(error)) from cause
        return warm


def _is_newer(path: str) -> bool:
    """Whether a newer version of this program has put its own sidecar there."""
    try:
        file = SidecarFile(path)
        Sidecar(file.read_at, file.size)
    except SidecarVersion as error:
        return error.newer
    except (OSError, SidecarDamaged):  # it is none of any version
        return False
    return False
