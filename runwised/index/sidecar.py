"""The index as a file: opened through an injected read, asked in place, or thawed to be folded on (``FORMAT.md``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from runwised.formats.record import Console, Ints
from runwised.index.arrays import Vector
from runwised.index.column import GrowingColumn
from runwised.index.encoding import encode, encode_into
from runwised.index.growing_table import GrowingOther, GrowingTable
from runwised.index.header import (
    PROLOGUE,
    ConsoleHead,
    Header,
    PresenceHead,
    SidecarVersion,
    TableHead,
    decode_head,
    decode_header,
    decode_json,
    header_length,
)
from runwised.index.metadata import Metadata
from runwised.index.parts import Parts, SidecarDamaged
from runwised.index.pieces import Pieces
from runwised.index.presence import GrowingPresence
from runwised.index.rows import GrowingRows, Stretches
from runwised.index.run_index import ConsoleTable, IndexedRun, RunIndex
from runwised.index.step_rows import GrowingStepRows, StepRows
from runwised.index.stored_array import StoredArray
from runwised.index.stored_table import StoredTable
from runwised.index.view import Rewind

__all__ = ["Sidecar", "SidecarDamaged", "SidecarVersion", "encode", "encode_into"]

FIRST_READ = 64 * 1024
"""Bytes asked for at first: the whole header of most runs."""


class Sidecar(IndexedRun):
    """An index read from its file, part by part when asked for.

    `read_at(offset, length)` gives the file's bytes (fewer only at its end); `size` is the file's length, bytes; `head`
    is what it begins with, where that is at hand: prologue and header.
    Opening reads the header alone, and what it says is worked out when it is asked for: of ten thousand runs most are
    asked for little. Opening and every later access raises SidecarDamaged when what was read is not what was written;
    opening raises SidecarVersion for an unharmed file of another version.
    """

    __slots__ = ("_header", "_history", "_metadata", "_parts", "_place", "_system", "stamp")

    def __init__(self, read_at: Callable[[int, int], bytes], size: int, head: bytes = b"") -> None:
        header, begin = _header(head or read_at(0, min(size, FIRST_READ)), read_at, size)
        self._header = header
        self._place = read_at, begin, size - begin
        self._parts = Parts(*self._place)
        self.stamp = header.stamp
        """What `encode` was given."""
        self._metadata: Metadata | None = None
        self._history: StoredTable | None = None
        self._system: StoredTable | None = None

    @property
    def metadata(self) -> Metadata:
        """As `IndexedRun`."""
        if self._metadata is None:
            self._metadata = decode_json(self._header.metadata, Metadata)
            if len(self._metadata.sources) != len(self._header.consoles):
                raise SidecarDamaged(f"{len(self._metadata.sources)} sources, {len(self._header.consoles)} consoles")
        return self._metadata

    @property
    def history(self) -> StoredTable:
        """As `IndexedRun`."""
        if self._history is None:
            self._history = self._table(self._parts, self._header.history)
        return self._history

    @property
    def system(self) -> StoredTable:
        """As `IndexedRun`."""
        if self._system is None:
            self._system = self._table(self._parts, decode_head(self._header.system, TableHead))
        return self._system

    def _table(self, parts: Parts, head: TableHead) -> StoredTable:
        consoles = len(self._header.consoles)
        if not set(head.stretch_sources) <= set(range(consoles)):
            raise SidecarDamaged(f"{consoles} consoles, rows of {head.stretch_sources}")
        return StoredTable(parts, head)

    @property
    def rewinds(self) -> Sequence[Rewind]:
        """As `IndexedRun`."""
        return self.history.rewinds

    @property
    def begin(self) -> int:
        """Where its parts begin, bytes: what is before is its head."""
        return self._place[1]

    @property
    def nbytes(self) -> int:
        """Memory held, about: the header and the parts that were kept."""
        return self._place[1] + self._parts.nbytes

    def console(self, source: int) -> Console:
        """As `IndexedRun`."""
        return _console(self._parts, decode_head(self._header.consoles[source], ConsoleHead))

    def thaw(self) -> RunIndex:
        """The whole index in memory, to be folded on; it answers as the one that was encoded.

        May run on a thread of its own while another answers from the sidecar: it shares no part with it.
        """
        parts, header = Parts(*self._place), self._header
        index = RunIndex()
        index.metadata = decode_json(header.metadata, Metadata)
        index.history = _thawed(self._table(parts, header.history))
        index.system = _thawed(self._table(parts, decode_head(header.system, TableHead)))
        consoles = (decode_head(console, ConsoleHead) for console in header.consoles)
        index.consoles = [ConsoleTable(_console(parts, console)) for console in consoles]
        return index


def head_of(start: bytes) -> bytes:
    """The head of a sidecar that begins so; empty where that is longer. Raises SidecarDamaged and SidecarVersion."""
    end = PROLOGUE.size + header_length(start)[0]
    return start[:end] if end <= len(start) else b""


def _header(start: bytes, read_at: Callable[[int, int], bytes], size: int) -> tuple[Header, int]:
    """The header, and where the parts begin."""
    length, check = header_length(start)
    begin = PROLOGUE.size + length
    if begin > size:
        raise SidecarDamaged(f"header of {length} bytes in a file of {size}")
    body = start[PROLOGUE.size : begin]
    if len(body) < length:
        body += read_at(PROLOGUE.size + len(body), length - len(body))
    header = decode_header(body, check)
    if begin + header.parts_size != size:
        raise SidecarDamaged(f"{size} bytes where {begin + header.parts_size} were written")
    return header, begin


def _console(parts: Parts, head: ConsoleHead) -> Console:
    offsets, sizes, stderr = (_ints(StoredArray.ints(parts, each)) for each in (head.offsets, head.sizes, head.stderr))
    times = StoredArray.floats(parts, head.times)
    if not len(offsets) == len(times) == len(stderr) == len(sizes):
        raise SidecarDamaged(f"{len(offsets)} console chunks, {len(times)} times")
    return Console(offsets, times.slice(0, len(times)), stderr != 0, sizes)


def _ints(array: StoredArray[np.int64]) -> Ints:
    return array.slice(0, len(array))


def _thawed(stored: StoredTable) -> GrowingTable:
    growing = _thawed_rows(stored)
    columns = {}
    for key in stored.numeric_keys():
        column = stored.column(key)
        values = Vector.copy_of(column.values, np.float64)
        presence = _growing(stored, column.head.presence, growing)
        thawed = columns[key] = GrowingColumn(growing, presence, values)
        thawed.rank = column.head.rank
    others = {}
    for key in stored.other_keys():
        head = stored.other_head(key)
        presence = _growing(stored, head.presence, growing)
        others[key] = GrowingOther(presence, head.kind, stored.texts[key], head.last_row, head.rank)
    if isinstance(growing, GrowingStepRows):
        presences = [column.presence for column in columns.values()] + [other.presence for other in others.values()]
        growing.settle(0, [each.numbers(0, each.count) for each in presences], [])
    return GrowingTable(growing, columns, others)


def _thawed_rows(stored: StoredTable) -> GrowingRows | GrowingStepRows:
    rows = stored.rows
    stretches = Stretches([*rows.stretches.starts], [*rows.stretches.sources])
    rewinds = [*stored.rewinds]
    offsets = Vector.copy_of(rows.offsets, np.int64)
    if isinstance(rows, StepRows):
        steps, times = Vector.copy_of(rows.log_steps, np.int64), Vector.copy_of(rows.log_times, np.float64)
        return GrowingStepRows(offsets, steps, times, stretches, rewinds)
    steps, times = Vector.copy_of(rows.steps, np.int64), Vector.copy_of(rows.times, np.float64)
    assert isinstance(rows.pieces, Pieces)
    pieces = Pieces([*rows.pieces.starts], [*rows.pieces.positions], rows.pieces.served)
    return GrowingRows(offsets, steps, times, pieces, stretches, rewinds)


def _growing(stored: StoredTable, head: PresenceHead, table: GrowingRows | GrowingStepRows) -> GrowingPresence:
    presence = stored.presence(head)
    rows = None if presence.rows is None else Vector.copy_of(presence.rows, np.int64)
    owners = None if presence.owners is None else Vector.copy_of(presence.owners, np.int64)
    return GrowingPresence(table.pieces, presence.start, presence.count, rows, presence.owner, owners)
