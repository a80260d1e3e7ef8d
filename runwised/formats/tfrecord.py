"""Framing of TFRecord files, which TensorBoard's event files are: whole records with both checksums right, and damage.

A record is its length (u64, little-endian), the masked CRC-32C of those 8 bytes, the data, and the masked CRC-32C of
the data; nothing stands before the first or between two (TensorFlow, ``core/lib/io/record_writer``). Where the data's
sum is wrong the record is lost and the next begins behind it. Where the length's sum is wrong nothing tells where the
next one begins: the log is *lost* until a place is found where a record of at most `LONGEST_RECORD` bytes stands with
both sums right. Until then nothing is said: zeros at the end of a file may be a writer's to fill.
"""

from __future__ import annotations

import struct
from typing import NamedTuple, TypeAlias

import numpy as np

from runwised.formats import tfrecord_bulk
from runwised.formats.crc32c import crc32c, mask, masked_bytes
from runwised.formats.record import Damage, Ints
from runwised.formats.tfrecord_bulk import FOOT_BYTES, HEAD_BYTES

LONGEST_RECORD = 64 << 20
"""Bytes of data above which a record is passed over without being held."""

_CHUNK_BYTES = 384 << 10
"""Bytes framed at a time, a longer record apart: what bounds the memory the arrays take."""
_BULK_BYTES = 2048
_LONGEST_SIZE = LONGEST_RECORD + HEAD_BYTES + FOOT_BYTES
_HEAD = struct.Struct("<QI")


class Framed(NamedTuple):
    """Whole records, one behind the other, all sums right."""

    data: bytes
    """What they were cut from; other bytes may stand before and behind."""
    offset: int
    """Where ``data[0]`` stands in the file."""
    starts: Ints
    """Where in `data` each record begins, shape (n,)."""
    lengths: Ints
    """Bytes of each record's data, shape (n,)."""

    def payload(self, record: int) -> bytes:
        """One record's data."""
        begin = int(self.starts[record]) + HEAD_BYTES
        return self.data[begin : begin + int(self.lengths[record])]

    def place(self, record: int) -> int:
        """Where a record begins in the file."""
        return self.offset + int(self.starts[record])

    def cut(self, start: int, stop: int) -> Framed:
        """The records from number `start` to before `stop`."""
        return self._replace(starts=self.starts[start:stop], lengths=self.lengths[start:stop])


Found: TypeAlias = Framed | Damage


class RecordLog:
    """Bytes in, from `offset` on, where a record begins (or, if `lost`, may begin anywhere); records out.

    Keeps at most one record of `LONGEST_RECORD` bytes, and what was fed last.
    """

    def __init__(self, offset: int = 0, *, lost: bool = False) -> None:
        self._buffer = bytearray()
        self._mark = offset
        """Where the buffer begins in the file."""
        self._lost = offset if lost else -1
        """Where the bytes begin that belong to no record known, or -1."""
        self._skip = 0
        """Bytes still to come of a record that is passed over."""
        self._long = offset
        """Where that record begins."""

    @property
    def offset(self) -> int:
        """Start of the first record that has not been delivered."""
        if self._skip:
            return self._long
        return self._mark if self._lost < 0 else self._lost

    def feed(self, data: bytes | bytearray | memoryview) -> list[Found]:
        """Take the next bytes; give the records they complete."""
        self._buffer += data
        found: list[Found] = []
        while self._step(found):
            pass
        return found

    def _step(self, found: list[Found]) -> bool:
        """Go on by a chunk; False when more bytes are needed."""
        if self._skip:
            return self._pass_over(found)
        if self._lost >= 0:
            return self._seek(found)
        size = record_size(self._buffer)
        if size < 0:
            self._lost = self._mark
            return True
        if size > _LONGEST_SIZE:
            self._skip, self._long = size, self._mark
            return True
        if not size or size > len(self._buffer):
            return False
        with memoryview(self._buffer) as view:
            data = bytes(view[: max(size, _CHUNK_BYTES)])
        starts, lengths = _whole_records(data)
        found += _checked(Framed(data, self._mark, starts, lengths))
        self._advance(int(starts[-1] + lengths[-1]) + HEAD_BYTES + FOOT_BYTES)
        return True

    def _advance(self, size: int) -> None:
        del self._buffer[:size]
        self._mark += size

    def _pass_over(self, found: list[Found]) -> bool:
        gone = min(self._skip, len(self._buffer))
        self._advance(gone)
        self._skip -= gone
        if self._skip:
            return False
        found.append(Damage(self._long, self._mark - self._long, "record longer than 64 MiB"))
        return True

    def _seek(self, found: list[Found]) -> bool:
        """Look for the next record; what cannot begin one any more is dropped."""
        if len(self._buffer) < record_size(self._buffer) <= _LONGEST_SIZE:
            return False
        with memoryview(self._buffer) as view:
            chunk = bytes(view[:_CHUNK_BYTES])
        for at in tfrecord_bulk.find_heads(chunk).tolist():
            size = record_size(chunk[at : at + HEAD_BYTES])
            if size > _LONGEST_SIZE:
                continue
            if at + size > len(self._buffer):
                self._advance(at)
                return False
            if _is_sound(self._buffer, at, size):
                self._advance(at)
                if self._mark > self._lost:
                    found.append(Damage(self._lost, self._mark - self._lost, "no record begins here"))
                self._lost = -1
                return True
        self._advance(max(len(chunk) - HEAD_BYTES + 1, 0))
        return len(self._buffer) >= HEAD_BYTES


def record_size(data: bytes | bytearray) -> int:
    """Bytes of the record at ``data[0]``, frame included; 0: more bytes are needed; -1: its length's sum is wrong."""
    if len(data) < HEAD_BYTES:
        return 0
    length, stored = _HEAD.unpack_from(data)
    return HEAD_BYTES + length + FOOT_BYTES if mask(crc32c(bytes(data[:8]))) == stored else -1


def read_record(data: bytes) -> bytes | None:
    """The data of the record that begins at ``data[0]``; None: more bytes are needed.

    Raises ValueError when no whole record of at most `LONGEST_RECORD` bytes with both sums right stands there.
    """
    size = record_size(data)
    if size < 0 or size > _LONGEST_SIZE:
        raise ValueError("no record begins here")
    if not size or size > len(data):
        return None
    if not _is_sound(data, 0, size):
        raise ValueError("the record's checksum is wrong")
    return data[HEAD_BYTES : size - FOOT_BYTES]


def _is_sound(data: bytes | bytearray, at: int, size: int) -> bool:
    """Whether the data of the record at `at` fits its checksum."""
    end = at + size - FOOT_BYTES
    with memoryview(data) as view:
        return masked_bytes(view[at + HEAD_BYTES : end]) == bytes(view[end : end + FOOT_BYTES])


def _whole_records(data: bytes) -> tuple[Ints, Ints]:
    """Starts and lengths of the records behind each other from ``data[0]`` on, as far as whole ones with a right
    length stand there.
    """
    if len(data) < _BULK_BYTES:
        return _walk(data, 0, len(data))
    chains = tfrecord_bulk.Chains(data)
    parts: list[tuple[Ints, Ints]] = []
    at, walked = 0, 1
    while walked:
        chain = chains.take(at)
        at = chain[1]
        parts.append(chain[0])
        starts, lengths = _walk(data, at, 1)
        walked = len(starts)
        if walked:
            parts.append((starts, lengths))
            at = int(starts[0] + lengths[0]) + HEAD_BYTES + FOOT_BYTES
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _walk(data: bytes, at: int, most: int) -> tuple[Ints, Ints]:
    """The same, at most `most` of them, one by one from `at` on."""
    starts: list[int] = []
    lengths: list[int] = []
    while len(starts) < most:
        size = record_size(data[at : at + HEAD_BYTES])
        if size <= 0 or at + size > len(data):
            break
        starts.append(at)
        lengths.append(size - HEAD_BYTES - FOOT_BYTES)
        at += size
    return np.array(starts, np.int64), np.array(lengths, np.int64)


def _checked(framed: Framed) -> list[Found]:
    """Records whose data's sum is wrong made damage; the others stay together as far as they can."""
    good = tfrecord_bulk.sums_agree(framed.data, framed.starts, framed.lengths)
    if good.all():
        return [framed]
    found: list[Found] = []
    begin = 0
    for bad in [*np.flatnonzero(~good).tolist(), len(good)]:
        if bad > begin:
            found.append(framed.cut(begin, bad))
        if bad < len(good):
            size = int(framed.lengths[bad]) + HEAD_BYTES + FOOT_BYTES
            found.append(Damage(framed.offset + int(framed.starts[bad]), size, "the record's checksum is wrong"))
        begin = bad + 1
    return found
