"""An index to sidecar bytes: what of it goes into the header, and what into which part."""

from __future__ import annotations

import msgspec
import numpy as np

from runwised.formats.record import Console
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
    StatsHead,
    TableHead,
    encode_header,
    encode_json,
    encode_metadata,
)
from runwised.index.parts import BUCKET, ArrayHead, PartWriter
from runwised.index.pieces import Pieces
from runwised.index.presence import GrowingPresence
from runwised.index.rows import GrowingRows
from runwised.index.run_index import RunIndex
from runwised.index.step_rows import GrowingStepRows


def encode(index: RunIndex, stamp: bytes) -> list[bytes]:
    """The sidecar's bytes, to be written one after the other.

    `stamp` is the caller's own (which files the index stands on); it is given back as it is. May run on a thread of its
    own while another answers from the index, as long as nobody folds.
    """
    writer = PartWriter()
    history, system = (_table(writer, table) for table in (index.history, index.system))
    consoles = [_console(writer, index.console(source)) for source in range(len(index.sources))]
    header = Header(stamp, writer.size, encode_metadata(index.metadata), history, system, consoles)
    return [encode_header(header), *writer.parts]


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
        columns=[_column(writer, column) for column in table.columns.values()],
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
        stats=StatsHead(**msgspec.structs.asdict(column.stats())) if count else None,
        rank=column.rank,
        session=column.session,
    )


def _level(writer: PartWriter, column: GrowingColumn, buckets: GrowingBuckets, level: int) -> ArrayHead:
    indices = np.arange(bucket_count(column.count, level))
    starts = indices * width(level)
    inside, first = buckets.span(level, 0, len(indices)), column.points(starts)
    last = column.points(np.append(starts[1:], column.count) - 1)
    records = np.empty(len(indices), BUCKET)
    records["low"], records["high"], records["mean"], records["finite"] = inside
    records["row_from"], records["step_from"], records["time_from"], records["first"] = first
    records["row_to"], records["step_to"], records["time_to"], records["last"] = last
    return writer.buckets(records)


def _presence(writer: PartWriter, presence: GrowingPresence) -> PresenceHead:
    rows = None if presence.rows is None else writer.ints(presence.rows.live)
    return PresenceHead(presence.count, presence.start, rows)


def _other(writer: PartWriter, table: GrowingTable, key: str, other: GrowingOther) -> OtherHead:
    shown = table.other(key)
    return OtherHead(
        presence=_presence(writer, other.presence),
        kind=other.kind,
        last_row=other.last_row,
        last_step=shown.last_step if shown else 0,
        current=other.current,
        last_length=len(other.last),
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
