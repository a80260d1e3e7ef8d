"""Decodes many events at once that differ from each other in their time, step and numbers only.

So are those of one tag by one writer, whatever they look like: tensors with their metadata, as TensorFlow 2 and Keras
write them, several values in one event, as TensorFlow 1 does. Of events of one length the first is taken apart; those
that are equal to it in every other bit are read at the same places. What is odd is left to
`runwised.formats.tfevents_values`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from runwised.formats.protowire import I32, I64, LEN, VARINT, text
from runwised.formats.record import Floats, Ints
from runwised.formats.tfevents_tensors import content_types
from runwised.formats.tfrecord import Framed
from runwised.formats.tfrecord_bulk import HEAD_BYTES, windows

_FEW = 8
_MOST_FORMS = 64
"""Events of one length taken apart within a stretch."""
_SHORTEST, _LONGEST = 16, 512
"""Bytes of an event."""
_SCALARS = b"scalars"
_HPARAMS_PREFIX = "_hparams_/"
_SIZES = {I64: 8, I32: 4}


class Alike(NamedTuple):
    """Events of one form; arrays have shape (n,)."""

    records: Ints
    """Which records they are, increasing."""
    steps: Ints
    times: Floats
    numbers: dict[str, Floats]
    """By tag."""


class _Form(NamedTuple):
    """Where in an event of this form what may differ stands."""

    time: int
    step: tuple[int, int]
    numbers: dict[str, tuple[int, str]]
    """Place and numpy's type, by tag."""


class _OddError(Exception):
    """The event is of no form that can be read at fixed places."""


def alike(framed: Framed, records: Ints) -> list[Alike]:
    """What can be decoded at once of these records (numbers, increasing)."""
    lengths = framed.lengths[records]
    found: list[Alike] = []
    for length, count in zip(*np.unique(lengths, return_counts=True), strict=True):
        if count >= _FEW and _SHORTEST <= length <= _LONGEST:
            found += _of_length(framed, records[lengths == length], int(length))
    return found


def _of_length(framed: Framed, records: Ints, length: int) -> Iterator[Alike]:
    begins = framed.starts[records] + HEAD_BYTES
    events = windows(framed.data, f"V{length}")[begins].view(np.uint8).reshape(-1, length)
    for _ in range(_MOST_FORMS):
        if len(records) < _FEW:
            return
        try:
            form = _take_apart(events[0].tobytes())
        except _OddError:
            records, events = records[1:], events[1:]
            continue
        same = ~((events ^ events[0]) & _fixed_bits(form, length)).any(axis=1)
        if int(same.sum()) >= _FEW:
            yield _read(form, records[same], events[same])
        records, events = records[~same], events[~same]


def _fixed_bits(form: _Form, length: int) -> NDArray[np.uint8]:
    """The bits that all events of a form share; of a varint's bytes the highest, which tells its length."""
    bits = np.full(length, 0xFF, np.uint8)
    bits[form.time : form.time + 8] = 0
    bits[slice(*form.step)] = 0x80
    for at, kind in form.numbers.values():
        bits[at : at + np.dtype(kind).itemsize] = 0
    return bits


def _read(form: _Form, records: Ints, events: NDArray[np.uint8]) -> Alike:
    steps = np.zeros(len(records), np.uint64)
    begin, end = form.step
    for place in range(begin, end):
        steps |= (events[:, place] & np.uint8(127)).astype(np.uint64) << np.uint64(7 * (place - begin))
    with np.errstate(invalid="ignore"):  # a signalling NaN is a NaN
        numbers = {tag: _column(events, at, kind).astype(np.float64) for tag, (at, kind) in form.numbers.items()}
    return Alike(records, steps.view(np.int64), _column(events, form.time, "<f8"), numbers)


def _column(events: NDArray[np.uint8], at: int, kind: str) -> NDArray[Any]:
    return np.ascontiguousarray(events[:, at : at + np.dtype(kind).itemsize]).view(kind).reshape(-1)


def _take_apart(event: bytes) -> _Form:
    """The form of an event. Raises _OddError."""
    parts = _only(event, 0, len(event), {(1, I64), (2, VARINT), (5, LEN)})
    if 1 not in parts or 5 not in parts:
        raise _OddError
    numbers: dict[str, tuple[int, str]] = {}
    for number, wire, begin, end in _spans(event, *parts[5]):
        if (number, wire) != (1, LEN):
            raise _OddError
        value = _only(event, begin, end, {(1, LEN), (2, I32), (8, LEN), (9, LEN)})
        tag = text(event[slice(*value.get(1, (0, 0)))])
        if tag in numbers or tag.startswith(_HPARAMS_PREFIX) or (2 in value) == (8 in value):
            raise _OddError
        if 9 in value:
            _check_plugin(event, *value[9])
        numbers[tag] = (value[2][0], "<f4") if 2 in value else _number_of_tensor(event, *value[8])
    return _Form(parts[1][0], parts.get(2, (0, 0)), numbers)


def _check_plugin(event: bytes, begin: int, end: int) -> None:
    """Metadata of a plugin that is not TensorBoard's for scalars makes an event odd."""
    for number, wire, inner, stop in _spans(event, begin, end):
        if (number, wire) == (1, LEN):
            name = [event[a:b] for key, kind, a, b in _spans(event, inner, stop) if (key, kind) == (1, LEN)]
            if name not in ([], [b""], [_SCALARS]):
                raise _OddError


def _number_of_tensor(event: bytes, begin: int, end: int) -> tuple[int, str]:
    """Place and type of the one number of a tensor."""
    parts = _only(event, begin, end, {(1, VARINT), (2, LEN), (4, LEN), (5, LEN), (5, I32), (6, LEN), (6, I64)})
    first, stop = parts.get(1, (0, 0))
    dtype = event[first] if stop - first == 1 else 0
    dimensions = [
        event[a:b] for number, wire, a, b in _spans(event, *parts.get(2, (0, 0))) if (number, wire) == (2, LEN)
    ]
    if dimensions not in ([], [b"\x08\x01"]):
        raise _OddError
    held = {number: span for number, span in parts.items() if number > 2}
    kinds = {4: content_types().get(dtype, ""), 5: "<f4" if dtype == 1 else "", 6: "<f8" if dtype == 2 else ""}
    if len(held) != 1:
        raise _OddError
    ((number, (at, behind)),) = held.items()
    if not kinds[number] or behind - at != np.dtype(kinds[number]).itemsize:
        raise _OddError
    return at, kinds[number]


def _only(data: bytes, begin: int, end: int, known: set[tuple[int, int]]) -> dict[int, tuple[int, int]]:
    """Where the fields of a message stand that has each of `known` (number, wire type) once at most, and no other."""
    found: dict[int, tuple[int, int]] = {}
    for number, wire, start, stop in _spans(data, begin, end):
        if (number, wire) not in known or number in found:
            raise _OddError
        found[number] = start, stop
    return found


def _spans(data: bytes, begin: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, wire type and place of every field of the message in ``data[begin:end]``. Raises _OddError."""
    at = begin
    while at < end:
        key, at = _varint(data, at, end)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            stop = _varint(data, at, end)[1]
        elif wire == LEN:
            size, at = _varint(data, at, end)
            stop = at + size
        elif wire in _SIZES:
            stop = at + _SIZES[wire]
        else:
            raise _OddError
        if stop > end:
            raise _OddError
        yield number, wire, at, stop
        at = stop


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """The number at `at` and where it ends."""
    value = shift = 0
    while at < end and shift < 70:
        value |= (data[at] & 127) << shift
        at += 1
        shift += 7
        if data[at - 1] < 128:
            return value, at
    raise _OddError
