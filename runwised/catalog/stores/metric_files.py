"""The metric files of an MLflow run, read side by side and merged by time, however much longer one is than another."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple
from zlib import crc32

import msgspec
import numpy as np
from numpy.typing import NDArray

from runwised.catalog.stores.contract import StoreChangedError
from runwised.formats.mlflow_points import Lines, Points, decode_lines
from runwised.formats.record import Damage, Floats, Ints

LINE_BYTES = 64 << 10
"""More than this without a line's end is no metric line."""
_PROOF_BYTES = 64


class MetricFile(msgspec.Struct, array_like=True):
    """How far one metric file has been read."""

    name: bytes
    """Below ``metrics``, as the file system has it."""
    offset: int = 0
    proof: int = 0
    """Checksum of the bytes just before `offset`."""


class Span(NamedTuple):
    """Whole lines of one metric file, from where it was read up to."""

    number: int
    file: MetricFile
    before: bytes
    """The bytes just before."""
    data: bytes
    has_more: bool
    """Whether there are further lines behind these."""

    def file_at(self, end: int) -> MetricFile:
        """The file when `end` bytes of `data` are done with."""
        if not end:
            return self.file
        last = (self.before + self.data[max(end - _PROOF_BYTES, 0) : end])[-_PROOF_BYTES:]
        return MetricFile(self.file.name, self.file.offset + end, crc32(last))


class Merged(NamedTuple):
    """Points of several files in the order of their times."""

    points: Points
    """Keys are the files' numbers, offsets those in the files."""
    ends: list[int]
    """How much of each span is done with."""
    damage: list[tuple[int, Damage]]
    """File number and damage, whose offset is that in the file."""


class _Decoded(NamedTuple):
    lines: Lines
    times: Floats
    """The latest time so far, so that no order by it changes that of the lines; -inf before the first."""
    steps: Ints
    """The same of the steps."""


def read_span(path: str, number: int, file: MetricFile, most_bytes: int) -> Span:
    """Up to about so many bytes from where a file was read up to. Raises OSError, StoreChangedError."""
    start = max(file.offset - _PROOF_BYTES, 0)
    length = file.offset - start
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        read = os.pread(descriptor, length + most_bytes, start)
        if read.rfind(b"\n", length) < 0 and len(read) == length + most_bytes < length + LINE_BYTES:
            read = os.pread(descriptor, length + LINE_BYTES, start)
        size = os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)
    before, data = read[:length], read[length:]
    if length and crc32(before) != file.proof:
        raise StoreChangedError(f"{path}: is another than the one read up to byte {file.offset}")
    is_endless = len(data) >= LINE_BYTES and b"\n" not in data
    whole = data if is_endless else data[: data.rfind(b"\n") + 1]
    return Span(number, file, before, whole, file.offset + len(data) < size and bool(whole))


def merge(spans: Sequence[Span], most: int) -> Merged:
    """The first points of all spans, at most `most`.

    A span that has more behind it tells how far the others may go: what stands there may be older than their rest.
    """
    decoded = [_decode(span) for span in spans]
    limits = [
        each.times.item(-1) for each, span in zip(decoded, spans, strict=True) if span.has_more and len(each.times)
    ]
    horizon = min(limits, default=np.inf)
    counts = [int(np.searchsorted(each.times, horizon, side="right")) for each in decoded]
    numbers = np.repeat(np.arange(len(spans), dtype=np.int64), counts)
    times = _joined([each.times[:count] for each, count in zip(decoded, counts, strict=True)], np.float64)
    steps = _joined([each.steps[:count] for each, count in zip(decoded, counts, strict=True)], np.int64)
    order = np.lexsort((steps, times))[:most]
    taken = np.bincount(numbers[order], minlength=len(spans)).tolist()
    ends, damage = [], []
    for span, each, count in zip(spans, decoded, taken, strict=True):
        lines = each.lines
        end = lines.offsets.item(count) if count < len(lines.offsets) else len(span.data)
        ends.append(end)
        base = span.file.offset
        damage += [
            (span.number, found._replace(offset=base + found.offset)) for found in lines.damage if found.offset < end
        ]
    return Merged(_points(spans, decoded, counts, numbers, order), ends, damage)


def _points(
    spans: Sequence[Span], decoded: Sequence[_Decoded], counts: Sequence[int], numbers: Ints, order: Ints
) -> Points:
    ids = np.array([span.number for span in spans], np.int64)
    bases = np.array([span.file.offset for span in spans], np.int64)
    lines = [each.lines for each in decoded]
    cut = list(zip(lines, counts, strict=True))
    which = numbers[order]
    return Points(
        bases[which] + _joined([each.offsets[:count] for each, count in cut], np.int64)[order],
        ids[which],
        _joined([each.steps[:count] for each, count in cut], np.int64)[order],
        _joined([each.times[:count] for each, count in cut], np.float64)[order],
        _joined([each.values[:count] for each, count in cut], np.float64)[order],
    )


def _decode(span: Span) -> _Decoded:
    if span.data and not span.data.endswith(b"\n"):
        nothing = decode_lines(b"")
        damage = [Damage(0, len(span.data), "line longer than 64 KiB")]
        return _Decoded(nothing._replace(damage=damage), nothing.times, nothing.steps)
    lines = decode_lines(span.data)
    times = np.where(np.isnan(lines.times), -np.inf, lines.times)
    return _Decoded(lines, np.maximum.accumulate(times), np.maximum.accumulate(lines.steps))


def _joined(arrays: Sequence[NDArray[Any]], kind: type) -> NDArray[Any]:
    return np.concatenate(arrays) if arrays else np.empty(0, kind)
