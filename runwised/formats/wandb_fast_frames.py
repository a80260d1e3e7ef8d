"""Finds the whole good records in a piece of a W&B transaction log: all its blocks are walked at the same time.

Framing as in `runwised.formats.blocklog`; here every block of 32 KiB is a lane, and one step reads one chunk header in
each lane. Whatever is not plain ends the piece before it: the general reader tells what is wrong there.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from runwised.formats.blocklog import BLOCK, CHUNK_HEADER
from runwised.formats.record import Ints
from runwised.formats.wandb_fast_sums import sums_agree
from runwised.formats.wandb_fast_words import Flags, Octets

_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_STEPS_BETWEEN_LOOKS = 16
_MOST_STEPS = 2048
"""Chunks walked over in one block; more are left to the general reader (a block of zeros would give 4681)."""
_CRC_BYTES = 4


class Chunks(NamedTuple):
    """Good chunks in file order, making up whole records. All arrays have shape (c,)."""

    heads: Ints
    """Where the chunk's header begins in the piece."""
    ends: Ints
    """Where its payload ends."""
    kinds: Octets

    def records(self) -> tuple[Ints, Ints]:
        """The first and the last chunk of each record."""
        return np.flatnonzero(self.kinds <= _FIRST), np.flatnonzero((self.kinds == _FULL) | (self.kinds == _LAST))


def find_chunks(data: memoryview, offset: int, origin: int) -> Chunks:
    """Chunks of the whole good records at the beginning of a piece that stands at `offset`, where a chunk begins.

    `origin` is that of the block grid, 0 or 7.
    """
    heads, limits = _walk(data, offset, origin)
    if not len(heads):
        return Chunks(heads, heads, np.empty(0, np.uint8))
    ends = heads + _sizes(data)[heads] + CHUNK_HEADER
    kinds = np.frombuffer(data, np.uint8).take(heads + CHUNK_HEADER - 1)
    opens = (kinds == _FIRST) | (kinds == _MIDDLE)
    good = (kinds >= _FULL) & (kinds <= _LAST) & (ends <= limits)
    good[1:] &= opens[:-1] == (kinds[1:] >= _MIDDLE)
    good[0] &= kinds[0] < _MIDDLE
    count = _leading(good)
    heads, ends = heads[:count], ends[:count]
    stored = np.ndarray((len(data) - _CRC_BYTES + 1,), "<u4", data, 0, (1,))[heads]
    count = _leading(sums_agree(data, heads, ends, limits[:count], stored))
    closed = np.flatnonzero(~opens[:count])
    count = int(closed[-1]) + 1 if len(closed) else 0
    return Chunks(heads[:count], ends[:count], kinds[:count])


def _walk(data: memoryview, offset: int, origin: int) -> tuple[Ints, Ints]:
    """Where chunks begin by the lengths alone, and how far each may reach: the end of its block or of the piece."""
    first = BLOCK - (offset - origin) % BLOCK
    edges = np.arange(first, first + len(data) + BLOCK, BLOCK)
    starts = edges - BLOCK
    starts[0] = 0
    ends = np.minimum(edges, len(data))
    limits = ends - (CHUNK_HEADER - 1)
    lanes = np.flatnonzero(starts < limits)
    at, ends, limits = starts[lanes], ends[lanes], limits[lanes]
    if not len(at):
        return at, at
    sizes = _sizes(data)
    header = np.full(len(at), CHUNK_HEADER)
    steps = [at]
    while len(steps) < _MOST_STEPS and (at < limits).any():
        for _ in range(_STEPS_BETWEEN_LOOKS):
            at = at + sizes[at]
            at += header
            np.minimum(at, limits, out=at)
            steps.append(at)
    unfinished = np.flatnonzero(at < limits)
    count = int(unfinished[0]) + 1 if len(unfinished) else len(at)
    heads = np.array(steps)[:, :count].T
    there = heads < limits[:count, None]
    return heads[there], np.repeat(ends[:count], there.sum(axis=1))


def _sizes(data: memoryview) -> NDArray[np.uint16]:
    """Length of the chunk at every byte of the piece, as if one began there."""
    return np.ndarray((len(data) - _CRC_BYTES - 1,), "<u2", data, _CRC_BYTES, (1,))


def _leading(good: Flags) -> int:
    """How many are true before the first false."""
    return len(good) if good.all() else int(good.argmin())
