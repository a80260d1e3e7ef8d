"""Decodes many events at once that log one number each as torch, tensorboardX and TensorFlow 1 write it.

Such an event is ``09 wall_time(8) [10 step] 2a L 0a L-2 0a T tag(T) 15 value(4)``: wall time a double, step a varint,
L and T single bytes, value a float. What differs by a bit is left to `runwised.formats.tfevents_values`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from runwised.formats.record import Floats, Ints
from runwised.formats.tfrecord import Framed
from runwised.formats.tfrecord_bulk import HEAD_BYTES, windows

_U64 = np.uint64
_TIME, _STEP, _SIMPLE = 0x09, 0x10, 0x15
_SHORTEST, _LONGEST = 21, 146
"""Bytes of an event: with a tag of one byte and no step; with the longest tag and step."""
_MOST_STEP_BYTES = 7
_FRAME = 0x00_0A_00_0A_00_2A
_FRAME_BYTES = 6
_VALUE_BYTES = 5
_LONGEST_PART = 127
_MOST_COMPARED = 12
"""Tags of one size that are told apart by comparing all to one; with more, looking each up is faster."""


class Scalars(NamedTuple):
    """One number an event. All arrays have shape (n,)."""

    records: Ints
    """Which records they are, increasing."""
    steps: Ints
    times: Floats
    values: Floats
    tags: dict[bytes, Ints]
    """Which of them each tag has."""


def scalars(framed: Framed) -> Scalars:
    """The events among the records that are of that pattern."""
    octets = np.frombuffer(framed.data, np.uint8)
    records = np.flatnonzero((framed.lengths >= _SHORTEST) & (framed.lengths <= _LONGEST))
    begins = framed.starts[records] + HEAD_BYTES
    ends = begins + framed.lengths[records]
    fit = (octets.take(begins) == _TIME) & (octets.take(ends - _VALUE_BYTES) == _SIMPLE)
    words = windows(framed.data, "<u8")
    has_step = octets.take(begins + 9) == _STEP
    steps, step_bytes = _varints(words[begins + 10])
    frames = begins + 9 + has_step * (1 + step_bytes)
    fit &= ~has_step | (step_bytes > 0)
    outer = ends - frames - 2
    fit &= (outer >= _FRAME_BYTES - 2 + _VALUE_BYTES + 1) & (outer <= _LONGEST_PART)
    expected = _FRAME | outer << 8 | outer - 2 << 24 | outer - 4 - _VALUE_BYTES << 40
    fit &= (words[np.minimum(frames, len(words) - 1)].astype(np.int64) & 0xFFFF_FFFF_FFFF) == expected
    if not fit.all():
        records, begins, ends, outer = records[fit], begins[fit], ends[fit], outer[fit]
        steps, has_step = steps[fit], has_step[fit]
    with np.errstate(invalid="ignore"):  # a signalling NaN is a NaN
        values = windows(framed.data, "<u4")[ends - 4].view(np.float32).astype(np.float64)
    return Scalars(
        records,
        steps * has_step,
        words[begins + 1].view(np.float64),
        values,
        _by_tag(framed.data, ends - _VALUE_BYTES, outer - 4 - _VALUE_BYTES),
    )


def _varints(words: NDArray[np.uint64]) -> tuple[Ints, Ints]:
    """The number that begins in the lowest byte of each word, and its bytes; 0 bytes: it is longer than seven."""
    numbers = words & _U64(127)
    more = words >> _U64(7) & _U64(1)
    size = np.ones(len(words), np.int64)
    for place in range(1, _MOST_STEP_BYTES):
        if not more.any():
            break
        octets = words >> _U64(8 * place)
        numbers |= (octets & _U64(127)) * more << _U64(7 * place)
        size += more.view(np.int64)
        more &= octets >> _U64(7)
    size[more > 0] = 0
    return numbers.view(np.int64), size


def _by_tag(data: bytes, ends: Ints, sizes: Ints) -> dict[bytes, Ints]:
    """Events by tag: which of the tags, given by their ends and sizes, are alike."""
    order = sizes.astype(np.uint8).argsort(kind="stable")
    counts = np.bincount(sizes)
    found: dict[bytes, Ints] = {}
    stop = 0
    for size in np.flatnonzero(counts).tolist():
        start, stop = stop, stop + int(counts[size])
        members = order[start:stop]
        tags = windows(data, f"V{size}")[ends[members] - size]
        for _ in range(_MOST_COMPARED):
            same = tags == tags[0]
            found[tags[0].tobytes()] = members[same]
            members, tags = members[~same], tags[~same]
            if not len(members):
                break
        else:
            found |= _split(tags.tolist(), members)
    return found


def _split(tags: list[bytes], members: Ints) -> dict[bytes, Ints]:
    """The same where very many tags are of one size."""
    numbers = {tag: number for number, tag in enumerate(dict.fromkeys(tags))}
    which = np.fromiter(map(numbers.__getitem__, tags), np.int64, len(tags))
    order = which.argsort(kind="stable")
    parts = np.split(members[order], np.cumsum(np.bincount(which))[:-1])
    return dict(zip(numbers, parts, strict=True))
