"""An array in the sidecar, read a chunk at a time."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import Any, Generic

import numpy as np
from numpy.typing import NDArray

from runwised.formats.record import Ints
from runwised.index.arrays import Scalar
from runwised.index.bucket_chunks import BUCKET, BUCKETS_A_CHUNK, DECODERS
from runwised.index.chunks import CHUNK, ChunkDamaged, decode_floats, decode_ints
from runwised.index.parts import ENTRY, ArrayHead, Parts, Place, SidecarDamaged


class StoredArray(Generic[Scalar]):
    """An array in the file: `arrays.Array`, a chunk at a time."""

    __slots__ = ("_chunk", "_decode", "_entries", "_length", "_offset", "_offsets", "_parts", "kind")

    def __init__(
        self,
        parts: Parts,
        head: ArrayHead,
        chunk: int,
        kind: np.dtype[Scalar],
        decode: Callable[[bytes, int], NDArray[Scalar]],
    ) -> None:
        count = -(-head.count // chunk)
        if head.count < 0 or head.offset < 0 or len(head.chunks) != count * ENTRY.size:
            raise SidecarDamaged(f"{len(head.chunks)} bytes of chunk table for {head.count} elements")
        self._offset = head.offset
        self._entries = np.frombuffer(head.chunks, "<u4").reshape(-1, 2)
        self._offsets: Ints | None = None
        self._parts = parts
        self._length = head.count
        self._chunk = chunk
        self._decode = decode
        self.kind = kind

    @classmethod
    def ints(cls, parts: Parts, head: ArrayHead) -> StoredArray[np.int64]:
        """An int64 array."""
        return StoredArray(parts, head, CHUNK, np.dtype(np.int64), decode_ints)

    @classmethod
    def row_numbers(cls, parts: Parts, head: ArrayHead, total: int) -> StoredArray[np.int64]:
        """An array of increasing numbers of rows, of which there are `total`."""

        def decode(data: bytes, count: int) -> Ints:
            rows = decode_ints(data, count)
            if rows[0] < 0 or rows[-1] >= total or (rows[1:] <= rows[:-1]).any():
                raise ChunkDamaged(f"numbers that are not those of {total} rows")
            return rows

        return StoredArray(parts, head, CHUNK, np.dtype(np.int64), decode)

    @classmethod
    def floats(cls, parts: Parts, head: ArrayHead) -> StoredArray[np.float64]:
        """A float64 array."""
        return StoredArray(parts, head, CHUNK, np.dtype(np.float64), decode_floats)

    @classmethod
    def buckets(cls, parts: Parts, head: ArrayHead) -> StoredArray[np.void]:
        """An array of `BUCKET` records."""
        return StoredArray(parts, head, BUCKETS_A_CHUNK, BUCKET, _by_field)

    def __len__(self) -> int:
        return self._length

    def item(self, index: int) -> Any:
        """As `Array.item`."""
        chunk, within = divmod(index, self._chunk)
        return self._at(chunk).item(within)

    def slice(self, start: int, stop: int, field: str | None = None) -> NDArray[Any]:
        """As `Array.slice`; of records with a `field` that field alone."""
        if start >= stop:
            return np.empty(0, self._kind(field))
        first, last = start // self._chunk, (stop - 1) // self._chunk
        if first == last:
            return self._at(first, field)[start - first * self._chunk : stop - first * self._chunk]
        whole = np.empty(stop - start, self._kind(field))
        for chunk in range(first, last + 1):
            begin = chunk * self._chunk
            low, high = max(start, begin), min(stop, begin + self._chunk)
            whole[low - start : high - start] = self._at(chunk, field)[low - begin : high - begin]
        return whole

    def take(self, indices: Ints, field: str | None = None) -> NDArray[Any]:
        """As `Array.take`; of records with a `field` that field alone."""
        taken = np.empty(len(indices), self._kind(field))
        if not len(indices):
            return taken
        chunks = range(int(indices[0]) // self._chunk, int(indices[-1]) // self._chunk + 1)
        ends = np.searchsorted(indices, np.arange(chunks.start + 1, chunks.stop + 1) * self._chunk).tolist()
        start = 0
        for chunk, end in zip(chunks, ends, strict=True):
            if start < end:
                taken[start:end] = self._at(chunk, field)[indices[start:end] - chunk * self._chunk]
            start = end
        return taken

    def find(self, value: int, start: int, stop: int) -> int:
        """As `Array.find`; reads as many chunks as halving takes."""
        if start >= stop:
            return stop
        first, last = start // self._chunk, (stop - 1) // self._chunk
        chunk = bisect_left(range(first + 1, last + 1), value, key=lambda at: self.item(at * self._chunk)) + first
        begin = chunk * self._chunk
        low, high = max(start, begin), min(stop, begin + self._chunk)
        return low + int(np.searchsorted(self._at(chunk)[low - begin : high - begin], value))

    def _kind(self, field: str | None) -> np.dtype[Any]:
        return self.kind if field is None else BUCKET[field]

    def _at(self, chunk: int, field: str | None = None) -> NDArray[Any]:
        if self._offsets is None:
            lengths = self._entries[:, 0].astype(np.int64)
            self._offsets = self._offset + np.cumsum(lengths) - lengths
        length, check = self._entries[chunk].tolist()
        count = min(self._chunk, self._length - chunk * self._chunk)
        place = Place(self._offsets.item(chunk), length, check, count)
        if field is None:
            return self._parts.decoded(place, self._decode)
        return self._parts.decoded(place, DECODERS[field], by_part=True)


def _by_field(data: bytes, count: int) -> NDArray[np.void]:
    """Whole records, which nobody asks for: they are unpacked field by field."""
    buckets = np.empty(count, BUCKET)
    for name, decode in DECODERS.items():
        buckets[name] = decode(data, count)
    return buckets
