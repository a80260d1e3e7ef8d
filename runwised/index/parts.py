"""The sidecar's parts: checksummed chunks of arrays, written one after the other and read back one by one."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from runwised.formats.record import Floats, Ints
from runwised.index.arrays import Scalar
from runwised.index.bucket_chunks import BUCKETS_A_CHUNK, encode_buckets
from runwised.index.chunks import CHUNK, ChunkDamaged, encode_floats, encode_ints

ROOM = 8 * 2**20
"""Bytes of decoded chunks kept for the next question."""

ENTRY = struct.Struct("<II")
"""What a chunk table holds of each chunk: length and CRC-32."""


class SidecarDamaged(Exception):  # noqa: N818
    """The bytes are not a whole, unharmed sidecar; the argument says what was found."""


class ArrayHead(msgspec.Struct, array_like=True, frozen=True):
    """Where an array lies: its chunks follow one another from `offset`."""

    offset: int
    """From the end of the header, bytes."""
    count: int
    """Elements."""
    chunks: bytes
    """For each chunk u32 length and u32 CRC-32."""


class Place(NamedTuple):
    """Where one chunk lies, and what it must be."""

    offset: int
    length: int
    check: int
    elements: int


class PartWriter:
    """Makes parts and hands them to `keep` in the order they are to be written."""

    def __init__(self, keep: Callable[[bytes], Any]) -> None:
        self.size = 0
        self._keep = keep

    def ints(self, values: Ints) -> ArrayHead:
        """Add an int64 array."""
        return self._chunks(values, CHUNK, encode_ints)

    def floats(self, values: Floats) -> ArrayHead:
        """Add a float64 array."""
        return self._chunks(values, CHUNK, encode_floats)

    def buckets(self, count: int, records: Callable[[int, int], NDArray[np.void]]) -> ArrayHead:
        """Add `count` `BUCKET` records, made a chunk [start, stop) at a time."""
        offset = self.size
        starts = range(0, count, BUCKETS_A_CHUNK)
        entries = [self._add(encode_buckets(records(at, min(at + BUCKETS_A_CHUNK, count)))) for at in starts]
        return ArrayHead(offset, count, b"".join(entries))

    def text(self, data: bytes) -> ArrayHead:
        """Add bytes as one chunk; `count` is their length."""
        return ArrayHead(self.size, len(data), self._add(data))

    def _chunks(self, values: NDArray[Any], length: int, encode: Callable[[NDArray[Any]], bytes]) -> ArrayHead:
        offset = self.size
        entries = [self._add(encode(values[at : at + length])) for at in range(0, len(values), length)]
        return ArrayHead(offset, len(values), b"".join(entries))

    def _add(self, data: bytes) -> bytes:
        self._keep(data)
        self.size += len(data)
        return ENTRY.pack(len(data), zlib.crc32(data))


class Parts:
    """Reads parts back, each checked against its checksum; keeps the last used ones decoded."""

    __slots__ = ("_begin", "_kept", "_read_at", "_size", "nbytes")

    def __init__(self, read_at: Callable[[int, int], bytes], begin: int, size: int) -> None:
        self._read_at = read_at
        self._begin = begin
        self._size = size
        self._kept: dict[tuple[Place, Callable[..., Any]], NDArray[Any]] = {}
        self.nbytes = 0
        """Memory held by decoded chunks."""

    def read(self, offset: int, length: int, check: int) -> bytes:
        """The bytes at `offset` from the end of the header; raises SidecarDamaged unless they are those written."""
        if not 0 <= offset <= offset + length <= self._size:
            raise SidecarDamaged(f"part at {offset}+{length} of {self._size} bytes")
        data = self._read_at(self._begin + offset, length)
        if len(data) != length:
            raise SidecarDamaged(f"{len(data)} of {length} bytes at {self._begin + offset}")
        if zlib.crc32(data) != check:
            raise SidecarDamaged(f"checksum of the {length} bytes at {self._begin + offset}")
        return data

    def text(self, head: ArrayHead) -> bytes:
        """What `PartWriter.text` added."""
        if len(head.chunks) != ENTRY.size:
            raise SidecarDamaged(f"{len(head.chunks)} bytes of chunk table for a text")
        return self.read(head.offset, *ENTRY.unpack(head.chunks))

    def checked(self, place: Place) -> NDArray[np.uint8]:
        """A chunk as it is stored, kept like decoded ones: it is decoded part by part; raises SidecarDamaged."""
        return self.decoded(place, _as_stored)

    def decoded(
        self, place: Place, decode: Callable[[bytes, int], NDArray[Scalar]], *, by_part: bool = False
    ) -> NDArray[Scalar]:
        """A chunk, decoded, or that part of it that `decode` takes; raises SidecarDamaged."""
        key = place, decode
        found: NDArray[Scalar] | None = self._kept.pop(key, None)
        if found is None:
            try:
                data = self.checked(place).tobytes() if by_part else self.read(place.offset, place.length, place.check)
                found = decode(data, place.elements)
            except ChunkDamaged as error:
                raise SidecarDamaged(str(error)) from error
            found.flags.writeable = False
            self.nbytes += found.nbytes
        self._kept[key] = found
        while self.nbytes > ROOM and len(self._kept) > 1:
            self.nbytes -= self._kept.pop(next(iter(self._kept))).nbytes
        return found


def _as_stored(data: bytes, count: int) -> NDArray[np.uint8]:  # noqa: ARG001 - as all that decode
    return np.frombuffer(data, np.uint8)
