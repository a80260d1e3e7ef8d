"""The index as a file: opened through an injected read, asked in place, or thawed to be folded on (``FORMAT.md``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from runwised.formats.record import Console, Ints
from runwised.index.arrays import Vector
from runwised.index.column import GrowingColumn
from runwised.index.encoding import encode
from runwised.index.growing_table import GrowingOther, GrowingTable
from runwised.index.header import (
    PROLOGUE,
    ConsoleHead,
    Header,
    SidecarVersion,
    decode_header,
    decode_json,
    header_length,
)
from runwised.index.metadata import Metadata
from runwised.index.parts import Parts, SidecarDamaged
from runwised.index.pieces import Pieces
from runwised.index.presence import GrowingPresence, Presence
from runwised.index.rows import GrowingRows
from runwised.index.run_index import ConsoleTable, IndexedRun, RunIndex
from runwised.index.stored_array import StoredArray
from runwised.index.stored_table import StoredTable
from runwised.index.view import Rewind

__all__ = ["Sidecar", "SidecarDamaged", "SidecarVersion", "encode"]

FIRST_READ = 64 * 1024
"""Bytes asked for at first: the whole header of most runs."""


class Sidecar(IndexedRun):
    """An index read from its file, part by part when asked for.

    `read_at(offset, length)` gives the file's bytes (fewer only at its end); `size` is the file's length, bytes.
    Opening reads the header alone. Opening and every later access raises SidecarDamaged when what was read is not what
    was written; opening raises SidecarVersion for an unharmed file of another version.
    """

    history: StoredTable
    system: StoredTable

    def __init__(self, read_at: Callable[[int, int], bytes], size: int) -> None:
        header, begin = _header(read_at, size)
        self._header = header
        self._place = read_at, begin, size - begin
        self._parts = Parts(*self._place)
        self.stamp = header.stamp
        """What `encode` was given."""
        self.metadata: Metadata = decode_json(header.metadata, Metadata)
        self.history = StoredTable(self._parts, header.history)
        self.system = StoredTable(self._parts, header.system)
        starts = (table.rows.source_starts for table in (self.history, self.system))
        counts = {len(each) for each in (self.sources, header.consoles, *starts)}
        if len(counts) != 1:
            raise SidecarDamaged(f"sources: {sorted(counts)} of them")

    @property
    def rewinds(self) -> Sequence[Rewind]:
        """As `IndexedRun`."""
        return self.history.rewinds

    @property
    def nbytes(self) -> int:
        """Memory held, about: the header and the parts that were kept."""
        return self._place[1] + self._parts.nbytes

    def console(self, source: int) -> Console:
        """As `IndexedRun`."""
        return _console(self._parts, self._header.consoles[source])

    def thaw(self) -> RunIndex:
        """The whole index in memory, to be folded on; it answers as the one that was encoded.

        May run on a thread of its own while another answers from the sidecar: it shares no part with it.
        """
        parts, header = Parts(*self._place), self._header
        index = RunIndex()
        index.metadata = decode_json(header.metadata, Metadata)
        index.history = _thawed(StoredTable(parts, header.history))
        index.system = _thawed(StoredTable(parts, header.system))
        index.consoles = [ConsoleTable(_console(parts, console)) for console in header.consoles]
        return index


def _header(read_at: Callable[[int, int], bytes], size: int) -> tuple[Header, int]:
    """The header, and where the parts begin."""
    start = read_at(0, min(size, FIRST_READ))
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
    rows, total = stored.rows, stored.total_rows
    pieces = Pieces([*rows.pieces.starts], [*rows.pieces.positions], rows.pieces.served)
    growing = GrowingRows(
        Vector(rows.offsets.slice(0, total)),
        Vector(rows.steps.slice(0, total)),
        Vector(rows.times.slice(0, total)),
        pieces,
        [*rows.source_starts],
        [*stored.rewinds],
    )
    columns = {}
    for key in stored.numeric_keys():
        column = stored.column(key)
        values = Vector(column.values.slice(0, column.count))
        columns[key] = GrowingColumn(growing, _growing(column.presence, pieces), values)
    others = {}
    for key in stored.other_keys():
        head = stored.other_head(key)
        presence = _growing(stored.presence(head.presence), pieces)
        others[key] = GrowingOther(presence, head.kind, stored.texts[key], head.last_row)
    return GrowingTable(growing, columns, others)


def _growing(stored: Presence, pieces: Pieces) -> GrowingPresence:
    rows = None if stored.rows is None else Vector(stored.rows.slice(0, stored.count))
    return GrowingPresence(pieces, stored.start, stored.count, rows)
