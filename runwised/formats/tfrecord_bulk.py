"""What is done to many TFRecords at once: find where they begin, follow them, verify the sums of their data."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runwised.formats.crc32c import WIDEST, Octets, Words, crc32c, masked, masked_bytes, sums_of, tables
from runwised.formats.record import Ints

HEAD_BYTES = 12
"""Length and its sum."""
FOOT_BYTES = 4
"""The sum of the data."""

_SMALL = 256
"""Lengths below this have seven zero bytes, among which stands a whole aligned word."""
_FEW = 4
_WIDTHS = (32, 48, 64, 96, 128, 192, WIDEST)
_LONGEST_PLAUSIBLE = 1 << 30


def windows(data: bytes | Octets, dtype: str) -> NDArray[Any]:
    """`data` read as `dtype` (a fixed number of bytes) at every offset; a view, not aligned."""
    size = np.dtype(dtype).itemsize
    return np.ndarray((max(len(data) - size + 1, 0),), dtype, data, 0, (1,))


class Chains:
    """The records of less than 256 bytes in a stretch, found all at once, and followed from one to the next."""

    def __init__(self, data: bytes) -> None:
        words = np.frombuffer(data, "<u4", len(data) // 4)
        zero = np.flatnonzero(words[1:] == 0)
        before = words[zero]
        starts = 4 * zero - 1 + sum((before >= np.uint32(1 << bits)).astype(np.int64) for bits in (0, 8, 16, 24))
        starts = starts[(before > 0) & (starts <= len(data) - HEAD_BYTES)]
        lengths = windows(data, "<u8")[starts]
        small = lengths < _SMALL
        starts, lengths = starts[small], lengths[small].astype(np.int64)
        right = windows(data, "<u4")[starts + 8] == _small_head_sums().take(lengths)
        self._starts, self._lengths = starts[right], lengths[right]
        self._ends = self._starts + (self._lengths + HEAD_BYTES + FOOT_BYTES)
        self._breaks = np.flatnonzero(self._starts[1:] != self._ends[:-1]) + 1
        self._size = len(data)

    def take(self, at: int) -> tuple[tuple[Ints, Ints], int]:
        """The records (starts, lengths) from `at` on that follow each other whole, and where the last one ends."""
        first = int(np.searchsorted(self._starts, at))
        if first == len(self._starts) or self._starts[first] != at:
            return (self._starts[:0], self._lengths[:0]), at
        cut = int(np.searchsorted(self._breaks, first, "right"))
        stop = int(self._breaks[cut]) if cut < len(self._breaks) else len(self._starts)
        stop = first + int(np.searchsorted(self._ends[first:stop], self._size, "right"))
        return (self._starts[first:stop], self._lengths[first:stop]), int(self._ends[stop - 1]) if stop > first else at


def find_heads(data: bytes) -> Ints:
    """Every offset where 12 bytes are a length below 1 GiB and its sum."""
    zero = np.frombuffer(data, np.uint8) == 0
    two = zero[:-1] & zero[1:]
    starts = np.flatnonzero(two[4:-6] & two[6:-4]) if len(two) > 10 else np.empty(0, np.int64)
    word = windows(data, "<u4")
    lengths, stored = word[starts], word[starts + 8]
    likely = ((lengths > 0) | (stored > 0)) & (lengths < _LONGEST_PLAUSIBLE)
    starts, lengths, stored = starts[likely], lengths[likely], stored[likely]
    heads: Ints = starts[_head_sums(lengths) == stored]
    return heads


def sums_agree(data: bytes, starts: Ints, lengths: Ints) -> NDArray[np.bool_]:
    """Whether the data of each record fits the sum behind it. All shapes are (n,)."""
    ends = starts + lengths + HEAD_BYTES
    good = np.zeros(len(starts), np.bool_)
    classes = np.searchsorted(_WIDTHS, lengths)
    one_by_one = np.flatnonzero(classes == len(_WIDTHS)).tolist()
    for index, width in enumerate(_WIDTHS):
        members = np.flatnonzero(classes == index)
        begun = int(np.searchsorted(ends[members], width))
        if len(members) - begun < _FEW:
            begun = len(members)
        one_by_one += members[:begun].tolist()
        if begun < len(members):
            chosen = members[begun:]
            good[chosen] = _wide_sums_agree(data, ends[chosen], lengths[chosen], width)
    for record in one_by_one:
        end = int(ends[record])
        found = masked_bytes(memoryview(data)[end - int(lengths[record]) : end])
        good[record] = found == data[end : end + FOOT_BYTES]
    return good


def _wide_sums_agree(data: bytes, ends: Ints, lengths: Ints, width: int) -> NDArray[np.bool_]:
    """The same for records of at most `width` bytes with that many before their end."""
    strings = windows(data, f"V{width}")[ends - width].view(np.uint8).reshape(-1, width)
    shortest = int(lengths.min())
    head = strings[:, : width - shortest]
    head *= np.arange(width - shortest)[None] >= (width - lengths)[:, None]
    agree: NDArray[np.bool_] = masked(sums_of(strings, lengths)) == windows(data, "<u4")[ends]
    return agree


@cache
def _small_head_sums() -> Words:
    return _head_sums(np.arange(_SMALL, dtype=np.uint32))


def _head_sums(lengths: Words) -> Words:
    """Masked sums of lengths below 2**32, as they stand in 8 bytes."""
    table = tables()
    sums = np.full(len(lengths), crc32c(bytes(8)), np.uint32)
    for octet in range(4):
        sums ^= table[7 - octet][lengths >> np.uint32(8 * octet) & np.uint32(255)]
    return masked(sums)
