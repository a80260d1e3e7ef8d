"""A table read from a sidecar, part by part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from runwised.formats.record import Ints
from runwised.index.aggregates import Aggregates
from runwised.index.arrays import Array
from runwised.index.buckets import Buckets, GrowingBuckets, bucket_count, level_count, width
from runwised.index.chunks import CHUNK
from runwised.index.column import Column
from runwised.index.header import ColumnHead, OrderHead, OtherHead, PresenceHead, TableHead, decode_head, decode_json
from runwised.index.parts import Parts, SidecarDamaged
from runwised.index.pieces import Pieces
from runwised.index.presence import Presence
from runwised.index.rows import RowTable, Stretches
from runwised.index.step_rows import Order, StepRows
from runwised.index.stored_array import StoredArray
from runwised.index.table import ColumnTable
from runwised.index.view import Other, Rewind, Series, Stats

FIRSTS = "row_from", "step_from", "time_from", "first"
LASTS = "row_to", "step_to", "time_to", "last"
"""Fields of a bucket that hold its first and its last point, in the order of a `Series`."""


class StoredBuckets:
    """A column's levels in the file."""

    def __init__(self, levels: list[StoredArray[np.void]]) -> None:
        self.levels = levels

    def span(self, level: int, start: int, stop: int) -> Aggregates:
        """As `Buckets.span`."""
        stored = self.levels[level]
        return Aggregates(*(stored.slice(start, stop, field) for field in Aggregates._fields))

    def aggregates(self, level: int, indices: Ints) -> Aggregates:
        """As `Buckets.aggregates`."""
        stored = self.levels[level]
        return Aggregates(*(stored.take(indices, field) for field in Aggregates._fields))


class StoredColumn(Column):
    """A metric in the file. Levels of a column of one chunk are not stored but made from its values."""

    __slots__ = ("_levels", "head")

    def __init__(self, table: RowTable, presence: Presence, parts: Parts, head: ColumnHead) -> None:
        values = StoredArray.floats(parts, head.values)
        self._levels = [StoredArray.buckets(parts, level) for level in head.levels]
        super().__init__(table, presence, values, StoredBuckets(self._levels))
        self.head = head
        count = presence.count
        expected = [bucket_count(count, level) for level in range(level_count(count))] if count > CHUNK else []
        if len(values) != count or [len(level) for level in self._levels] != expected:
            raise SidecarDamaged(f"column of {count} points with {len(values)} values, {len(self._levels)} levels")

    @property
    def buckets(self) -> Buckets:
        """As `Column`."""
        if not self._levels and isinstance(self._buckets, StoredBuckets):
            made = GrowingBuckets()
            made.cover(self.values.slice(0, self.count))
            self._buckets = made
        return self._buckets

    def opening(self, points: Ints, level: int | None) -> Series:
        """As `Column`, from the level's buckets where a point is the first of one."""
        if level is None or not self._levels:
            return self.points(points)
        aligned = points % width(level) == 0
        return self._ends(points, level, aligned, FIRSTS)

    def closing(self, points: Ints, level: int | None) -> Series:
        """As `Column`, from the level's buckets where a point is the last of one."""
        if level is None or not self._levels:
            return self.points(points - 1)
        aligned = (points % width(level) == 0) | (points == self.count)
        return self._ends(points - 1, level, aligned, LASTS)

    def first_rows(self, level: int, indices: Ints) -> Ints:
        """As `Column`."""
        return self._levels[level].take(indices, FIRSTS[0]) if self._levels else super().first_rows(level, indices)

    def last_rows(self, level: int, indices: Ints) -> Ints:
        """As `Column`."""
        return self._levels[level].take(indices, LASTS[0]) if self._levels else super().last_rows(level, indices)

    def _ends(self, points: Ints, level: int, aligned: NDArray[np.bool_], fields: tuple[str, ...]) -> Series:
        stored = self._levels[level]
        buckets = points[aligned] // width(level)
        found = [stored.take(buckets, field) for field in fields]
        if aligned.all():
            return Series(*found)
        rest = self.points(points[~aligned])
        return Series(*(_woven(aligned, end, single) for end, single in zip(found, rest, strict=True)))


class StoredTable(ColumnTable):
    """Rows and columns in the file."""

    __slots__ = ("_columns", "_heads", "_numeric", "_others", "_rows", "_served", "_texts", "head", "parts")

    def __init__(self, parts: Parts, head: TableHead) -> None:
        super().__init__()
        self.parts = parts
        self.head = head
        self._rows: RowTable | None = None
        self._numeric, self._others = self._decoded_keys()
        self._served: dict[str, int] | None = None
        self._heads: dict[str, ColumnHead] = {}
        self._columns: dict[str, StoredColumn] | None = None
        self._texts: Mapping[str, bytes] | None = None

    @property
    def rows(self) -> RowTable:
        """As `ColumnTable`."""
        if self._rows is None:
            self._rows = self._opened_rows()
        return self._rows

    def _opened_rows(self) -> RowTable:
        parts, head = self.parts, self.head
        offsets = StoredArray.ints(parts, head.offsets)
        steps, times = StoredArray.ints(parts, head.steps), StoredArray.floats(parts, head.times)
        stretches = _stretches(head, len(offsets))
        total = len(offsets)
        if head.order is not None:
            rows: RowTable = StepRows(offsets, steps, times, stretches, _order(parts, head.order, head.served))
        else:
            pieces = _pieces(head)
            total = _total(pieces)
            rows = RowTable(offsets, steps, times, pieces, stretches)
        if not len(offsets) == len(steps) == len(times) == total:
            raise SidecarDamaged(f"{len(offsets)} offsets, {len(steps)} steps, {len(times)} times")
        return rows

    @property
    def row_count(self) -> int:
        """As `view.Table`."""
        return self.head.served

    @property
    def total_rows(self) -> int:
        """As `view.Table`."""
        return self.head.offsets.count

    @property
    def rewinds(self) -> Sequence[Rewind]:
        """Where the step went back."""
        return [Rewind(*numbers) for numbers in _numbers(self.head.rewinds, 4).tolist()]

    def numeric_keys(self) -> Iterable[str]:
        """As `ColumnTable`."""
        return self._numeric

    def other_keys(self) -> Iterable[str]:
        """As `ColumnTable`."""
        return self._others

    def presences(self, key: str) -> Iterable[tuple[Presence, int | None]]:
        """As `ColumnTable`."""
        if key in self._numeric:
            yield self.column(key).presence, self._head(key).rank
        if key in self._others:
            yield self.presence(self._others[key].presence), self._others[key].rank

    def count(self, key: str) -> int:
        """As `ColumnTable`."""
        if self._served is None:
            heads = ((name, decode_head(raw, ColumnHead)) for name, raw in self._numeric.items())
            self._served = {name: head.presence.count for name, head in heads}
        return self._served.get(key, 0)

    def _head(self, key: str) -> ColumnHead:
        head = self._heads.get(key)
        if head is None:
            head = self._heads[key] = decode_head(self._numeric[key], ColumnHead)
        return head

    def column(self, key: str) -> StoredColumn:
        """As `ColumnTable`."""
        if self._columns is None:
            self._columns = {}
        column = self._columns.get(key)
        if column is None:
            head = self._head(key)
            column = StoredColumn(self.rows, self.presence(head.presence), self.parts, head)
            self._columns[key] = column
        return column

    def stats_of(self, key: str) -> Stats:
        """As `ColumnTable`."""
        stats = self._head(key).stats
        if stats is None:
            raise SidecarDamaged(f"no statistics of {key!r}")
        return stats

    def other(self, key: str) -> Other | None:
        """As `ColumnTable`."""
        head = self._others[key]
        if not head.presence.count:
            return None
        last = self.texts[key].decode("utf-8", "replace") if head.current else "null"
        return Other(head.kind, head.presence.count, last, head.last_step)

    def other_head(self, key: str) -> OtherHead:
        """What the header says of a key of `other_keys`."""
        return self._others[key]

    @property
    def texts(self) -> Mapping[str, bytes]:
        """The last other value of each key, JSON text."""
        if self._texts is None:
            self._texts = self._read_texts()
        return self._texts

    def _read_texts(self) -> Mapping[str, bytes]:
        data = self.parts.text(self.head.texts)
        texts, at = {}, 0
        for key, other in self._others.items():
            texts[key] = data[at : at + other.last_length]
            at += other.last_length
        return texts

    def presence(self, head: PresenceHead) -> Presence:
        """Where points stand."""
        rows: Array[np.int64] | None = None
        if head.rows is not None:
            by_step = isinstance(self.rows, StepRows)
            most = None if by_step else self.total_rows
            rows = (
                StoredArray.ints(self.parts, head.rows)
                if most is None
                else StoredArray.row_numbers(self.parts, head.rows, most)
            )
            if len(rows) != head.count:
                raise SidecarDamaged(f"{len(rows)} row numbers for {head.count} points")
        elif not 0 <= head.start <= head.start + head.count <= max(self.row_count, head.start):
            raise SidecarDamaged(f"points {head.start}+{head.count} of {self.row_count} rows")
        return Presence(self.rows.pieces, head.start, head.count, rows, head.owner, self._owners(head))

    def _owners(self, head: PresenceHead) -> Array[np.int64] | None:
        if head.owners is None:
            return None
        owners = StoredArray.ints(self.parts, head.owners)
        if len(owners) != head.count:
            raise SidecarDamaged(f"{len(owners)} sources of {head.count} points")
        return owners

    def _decoded_keys(self) -> tuple[dict[str, msgspec.Raw], dict[str, OtherHead]]:
        keys = decode_json(self.head.keys, list[str])
        columns = len(self.head.columns)
        if len(keys) != columns + len(self.head.others):
            raise SidecarDamaged(f"{len(keys)} keys for {columns} columns and {len(self.head.others)} others")
        numeric = dict(zip(keys[:columns], self.head.columns, strict=True))
        return numeric, dict(zip(keys[columns:], self.head.others, strict=True))


def _woven(choice: NDArray[np.bool_], chosen: NDArray[Any], rest: NDArray[Any]) -> NDArray[Any]:
    """`chosen` where `choice` says so, `rest` elsewhere."""
    woven = np.empty(len(choice), rest.dtype)
    woven[choice] = chosen
    woven[~choice] = rest
    return woven


def _numbers(data: bytes, width: int) -> NDArray[np.int64]:
    """Whole numbers of the header, as rows of so many."""
    if len(data) % (8 * width):
        raise SidecarDamaged(f"{len(data)} bytes for rows of {width} numbers")
    return np.frombuffer(data, "<i8").reshape(-1, width)


def _pieces(head: TableHead) -> Pieces:
    """The served stretches, checked to be in order."""
    starts, positions = (_numbers(data, 1).ravel().tolist() for data in (head.starts, head.positions))
    if len(starts) != len(positions) or bool(starts) != (head.served > 0) or any(positions[:1]):
        raise SidecarDamaged(f"{len(starts)} stretches with {len(positions)} positions for {head.served} rows")
    ends = [*positions[1:], head.served][: len(positions)]
    reached = 0
    for start, position, end in zip(starts, positions, ends, strict=True):
        if start < reached or end <= position:
            raise SidecarDamaged(f"stretch of rows {start}, positions {position} to {end}")
        reached = start + end - position
    return Pieces(starts, positions, head.served)


def _stretches(head: TableHead, total: int) -> Stretches:
    """Which source each record is of, checked to be in order."""
    starts = head.stretch_starts
    if len(starts) != len(head.stretch_sources) or [*starts, total] != sorted([*starts, total]) or any(starts[:1]):
        raise SidecarDamaged(f"sources {head.stretch_sources} begin at rows {starts} of {total}")
    return Stretches(starts, head.stretch_sources)


def _order(parts: Parts, head: OrderHead, served: int) -> Order:
    """The rows by their steps."""
    order = Order(
        StoredArray.ints(parts, head.rows), StoredArray.floats(parts, head.times), StoredArray.ints(parts, head.records)
    )
    if {len(array) for array in order} != {served}:
        raise SidecarDamaged(f"{[len(array) for array in order]} of {served} rows")
    return order


def _total(pieces: Pieces) -> int:
    """All rows: the last stretch ends with the last of them."""
    return pieces.starts[-1] + pieces.served - pieces.positions[-1] if pieces.starts else 0
