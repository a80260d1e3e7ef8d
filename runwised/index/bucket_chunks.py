"""One chunk of a level's buckets, packed field by field: a question asks for some fields only."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runwised.index.chunks import ChunkDamaged, decode_floats, decode_ints, encode_floats, encode_ints

BUCKET = np.dtype(
    [
        *((name, "<f8") for name in ("low", "high", "mean", "first", "last", "time_from", "time_to")),
        *((name, "<i8") for name in ("finite", "row_from", "row_to", "step_from", "step_to")),
    ]
)
"""One bucket of a level; rows, steps and times are those of its first and last point."""
FIELDS = tuple(BUCKET.names or ())
BUCKETS_A_CHUNK = 1024
_LENGTHS = struct.Struct(f"<{len(FIELDS)}I")

Decode = Callable[[bytes, int], NDArray[Any]]


def encode_buckets(buckets: NDArray[np.void]) -> bytes:
    """Pack `BUCKET` records, at least one and at most `BUCKETS_A_CHUNK`: the length of each field, then the fields."""
    fields = [_encoded(buckets[name]) for name in FIELDS]
    return b"".join([_LENGTHS.pack(*map(len, fields)), *fields])


def _encoded(values: NDArray[Any]) -> bytes:
    values = np.ascontiguousarray(values)
    return encode_floats(values) if values.dtype.kind == "f" else encode_ints(values)


def _decode_field(data: bytes, count: int, *, at: int) -> NDArray[Any]:
    """Unpack one field of `count` buckets; raises ChunkDamaged."""
    lengths = _LENGTHS.unpack_from(data) if len(data) >= _LENGTHS.size else ()
    if _LENGTHS.size + sum(lengths) != len(data):
        raise ChunkDamaged(f"{len(data)} bytes for buckets with fields of {lengths} bytes")
    begin = _LENGTHS.size + sum(lengths[:at])
    field = data[begin : begin + lengths[at]]
    return decode_floats(field, count) if BUCKET[at].kind == "f" else decode_ints(field, count)


DECODERS: Mapping[str, Decode] = {name: partial(_decode_field, at=at) for at, name in enumerate(FIELDS)}
"""What unpacks a field of so many buckets; raises ChunkDamaged."""
