"""An index to sidecar bytes: what of it goes into the header, and what into which part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runwised.formats.record import Console, Ints
from runwised.index.arrays import SLAB, Vector
from runwised.index.bucket_chunks import BUCKET
from runwised.index.buckets import GrowingBuckets, bucket_count, level_count, width
from runwised.index.chunks import CHUNK
from runwised.index.column import GrowingColumn
from runwised.index.growing_table import GrowingOther, GrowingTable
from runwised.index.header import (
    ColumnHead,
    ConsoleHead,
    Header,
    OrderHead,
    OtherHead,
    PresenceHead,
    TableHead,
    encode_head,
    encode_header,
    encode_json,
    encode_metadata,
)
from runwised.index.parts import ArrayHead, PartWriter
from runwised.index.pieces import Pieces
from runwised.index.presence import GrowingPresence
from runwised.index.rows import GrowingRows
from runwised.index.run_index import RunIndex
from runwised.index.step_rows import GrowingStepRows


def encode(index: RunIndex, stamp: bytes) -> list[bytes]:
    """The sidecar's bytes, to be written one after the other. See `encode_into`."""
    parts: list[bytes] = []
    return [encode_into(index, stamp, parts.append), *parts]


def encode_into(index: RunIndex, stamp: bytes, keep: Callable[[bytes], Any]) -> bytes:
    """What the sidecar begins with; all that follows goes to `keep`, in small pieces and in its order.

    `stamp` is the caller's own (which files the index stands on); it is given back as it is. May run on a thread of its
    own while another answers from the index, as long as nobody folds.
    """
    writer = PartWriter(keep)
    history, system = (_table(writer, table) for table in (index.history, index.system))
    consoles = [encode_head(_console(writer, index.console(source))) for source in range(len(index.sources))]
    header = Header(stamp, writer.size, encode_metadata(index.metadata), history, encode_head(system), consoles)
    return encode_header(header)


def _table(writer: PartWriter, table: GrowingTable) -> TableHead:
    rows = table.rows
    others = table.other_columns
    pieces = rows.pieces if isinstance(rows, GrowingRows) else Pieces([], [], table.row_count)
    steps, times = (rows.log_steps, rows.log_times) if isinstance(rows, GrowingStepRows) else (rows.steps, rows.times)
    return TableHead(
        served=pieces.served,
        starts=_packed(pieces.starts),
        positions=_packed(pieces.positions),
        stretch_starts=rows.stretches.starts,
        stretch_sources=rows.stretches.sources,
        rewinds=_packed([number for rewind in rows.rewinds for number in rewind]),
        offsets=writer.ints(rows.offsets.live),
        steps=writer.ints(steps.live),
        times=writer.floats(times.live),
        keys=encode_json([*table.columns, *others]),
        columns=[encode_head(_column(writer, column)) for column in table.columns.values()],
        others=[_other(writer, table, key, other) for key, other in others.items()],
        texts=writer.text(b"".join(other.last for other in others.values())),
        order=_order(writer, rows) if isinstance(rows, GrowingStepRows) else None,
    )


def _order(writer: PartWriter, rows: GrowingStepRows) -> OrderHead:
    order, count = rows.order, len(rows.order.rows)
    return OrderHead(
        rows=writer.ints(order.rows.slice(0, count)),
        times=writer.floats(order.times.slice(0, count)),
        records=writer.ints(order.records.slice(0, count)),
    )


def _column(writer: PartWriter, column: GrowingColumn) -> ColumnHead:
    count = column.count
    levels = level_count(count) if count > CHUNK else 0
    buckets = column.buckets_apart() if levels else GrowingBuckets()
    return ColumnHead(
        presence=_presence(writer, column.presence),
        values=writer.floats(column.values.live),
        levels=[_level(writer, column, buckets, level) for level in range(levels)],
        stats=column.stats() if count else None,
        rank=column.rank,
    )


def _level(writer: PartWriter, column: GrowingColumn, buckets: GrowingBuckets, level: int) -> ArrayHead:
    at_once = max(SLAB // width(level), 1)

    def records(start: int, stop: int) -> NDArray[np.void]:
        made = np.empty(stop - start, BUCKET)
        made["low"], made["high"], made["mean"], made["finite"] = buckets.span(level, start, stop)
        for begin in range(start, stop, at_once):
            end = min(begin + at_once, stop)
            _put_ends(made[begin - start : end - start], column, np.arange(begin, end) * width(level), width(level))
            Vector.rooms.trim()
        return made

    return writer.buckets(bucket_count(column.count, level), records)


def _put_ends(made: NDArray[np.void], column: GrowingColumn, starts: Ints, length: int) -> None:
    """The first and the last point of each bucket."""
    first, last = column.points(starts), column.points(np.minimum(starts + length, column.count) - 1)
    made["row_from"], made["step_from"], made["time_from"], made["first"] = first
    made["row_to"], made["step_to"], made["time_to"], made["last"] = last


def _presence(writer: PartWriter, presence: GrowingPresence) -> PresenceHead:
    rows = None if presence.rows is None else writer.ints(presence.rows.live)
    owners = None if presence.owners is None else writer.ints(presence.owners.live)
    return PresenceHead(presence.count, presence.start, rows, presence.owner, owners)


def _other(writer: PartWriter, table: GrowingTable, key: str, other: GrowingOther) -> OtherHead:
    shown = table.other(key)
    return OtherHead(
        presence=_presence(writer, other.presence),
        kind=other.kind,
        last_row=other.last_row,
        last_step=shown.last_step if shown else 0,
        current=other.current,
        last_length=len(other.last),
        rank=other.rank,
    )


def _console(writer: PartWriter, chunks: Console) -> ConsoleHead:
    return ConsoleHead(
        offsets=writer.ints(chunks.offsets),
        times=writer.floats(chunks.times),
        stderr=writer.ints(chunks.stderr.astype(np.int64)),
        sizes=writer.ints(chunks.sizes),
    )


def _packed(numbers: list[int]) -> bytes:
    return np.array(numbers, "<i8").tobytes()
