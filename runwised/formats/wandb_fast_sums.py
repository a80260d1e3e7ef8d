"""Verifies the checksums of many chunks with few calls: one CRC-32 over a group of neighbours, headers included.

A CRC is linear: a byte string's remainder is the exclusive or of its parts' remainders, each advanced over the bytes
behind it. So the sum over a whole group follows from the checksums stored in it, and the two agree exactly when the
stored ones are right: damage within one chunk is found as surely as by that chunk's own checksum, and damage in several
chunks of a group hides with a chance of one in 2**32, as behind any single checksum. Groups are short, so that this is
asked of no more bytes than a long record has. Where a group does not agree, its chunks are checked one by one.

With c[i] the checksum stored with chunk i, n[i] its length, h[i] where its header begins, and e the group's end,
``crc32(group) == c[last] ^ XOR over i of advance(c[i] ^ c[i - 1] ^ length(n[i]), e - h[i])`` (no c[i - 1] for the
first). `length` makes up for what stands in front of a payload, and for CRC-32 beginning and ending with all ones.
Registers are those of the reflected CRC-32 of zlib, polynomial 0xEDB88320.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple
from zlib import crc32

import numpy as np

from runwised.formats.blocklog import BLOCK, CHUNK_HEADER
from runwised.formats.record import Ints
from runwised.formats.wandb_fast_words import Flags, Words

_POLYNOMIAL = np.uint32(0xEDB88320)
_ONE = np.uint32(1)
_ONES = 0xFFFF_FFFF
_GROUP = 16
_FINE_BITS = 8
_FINE = 1 << _FINE_BITS
"""Distances are ``coarse * _FINE + fine``; each part has its own table."""


class _Tables(NamedTuple):
    """Flat tables ``[distance, byte of the register, its value]``, and what a chunk's length adds to the sum."""

    fine: Words
    coarse: Words
    length: Words


def sums_agree(data: memoryview, heads: Ints, ends: Ints, blocks: Ints, stored: Words) -> Flags:
    """Which chunks fit their checksums `stored`; chunk i is ``data[heads[i]:ends[i]]``. All shapes are (c,).

    The chunks with the same value in `blocks` follow each other without a gap within one block.
    """
    good = np.ones(len(heads), np.bool_)
    if not len(heads):
        return good
    starts = _group_starts(blocks)
    lasts = np.append(starts[1:], len(heads)) - 1
    value = stored ^ _tables().length.take(ends - heads - CHUNK_HEADER)
    value[1:] ^= stored[:-1]
    value[starts[1:]] ^= stored[lasts[:-1]]
    distance = np.repeat(ends[lasts], lasts - starts + 1) - heads
    expected = np.bitwise_xor.reduceat(_advance(value, distance), starts) ^ stored[lasts]
    bounds = zip(heads[starts].tolist(), ends[lasts].tolist(), strict=True)
    found = np.array([crc32(data[start:end]) for start, end in bounds], np.uint32)
    for group in np.flatnonzero(expected != found):
        chunks = slice(starts[group], lasts[group] + 1)
        pairs = zip(heads[chunks].tolist(), ends[chunks].tolist(), strict=True)
        good[chunks] = np.array([crc32(data[head + 6 : end]) for head, end in pairs], np.uint32) == stored[chunks]
    return good


def _group_starts(blocks: Ints) -> Ints:
    """First chunk of each group: every `_GROUP` chunks, and the first of each block."""
    begins = np.zeros(len(blocks), np.bool_)
    begins[::_GROUP] = True
    begins[1:] |= blocks[1:] != blocks[:-1]
    return np.flatnonzero(begins)


def _advance(register: Words, distance: Ints) -> Words:
    """Each register after so many zero bytes, at most `BLOCK`."""
    tables = _tables()
    for table, index in ((tables.fine, distance & _FINE - 1), (tables.coarse, distance >> _FINE_BITS)):
        index <<= 10
        octets = register.view(np.uint8).reshape(-1, 4)
        register = table.take(index + octets[:, 0])
        for octet in (1, 2, 3):
            index += 256
            register ^= table.take(index + octets[:, octet])
    return register


@cache
def _tables() -> _Tables:
    units = _ONE << np.arange(32, dtype=np.uint32)
    fine = _powers(_forward(units, 8), _FINE + 1)
    coarse = _powers(fine[_FINE], BLOCK // _FINE + 1)
    ones = np.array([_ONES], np.uint32)
    length = _backward(ones, 8 * (CHUNK_HEADER - 1)) ^ ones
    for unit in _backward(units[:16], 8 * 4):
        length = np.concatenate((length, length ^ unit))
    return _Tables(_by_octet(fine[:_FINE]).reshape(-1), _by_octet(coarse).reshape(-1), length)


def _forward(register: Words, bits: int) -> Words:
    for _ in range(bits):
        register = register >> _ONE ^ (register & _ONE) * _POLYNOMIAL
    return register


def _backward(register: Words, bits: int) -> Words:
    """What `_forward` makes `register` of; the polynomial's highest bit tells whether it was added."""
    for _ in range(bits):
        added = register >> np.uint32(31)
        register = (register ^ added * _POLYNOMIAL) << _ONE | added
    return register


def _powers(step: Words, count: int) -> Words:
    """The linear map `step` applied 0, 1, 2 … times. A map is what the 32 single bits become."""
    powers = _ONE << np.arange(32, dtype=np.uint32)[None]
    while len(powers) < count:
        hop = _by_octet(_apply(_by_octet(step), powers[-1]))
        powers = np.concatenate((powers, _apply(hop, powers)))
    return powers[:count]


def _apply(table: Words, register: Words) -> Words:
    result: Words = table[0][register & 255]
    for octet in (1, 2, 3):
        result ^= table[octet][register >> 8 * octet & 255]
    return result


def _by_octet(linear_map: Words) -> Words:
    """Maps of shape (..., 32) as tables (..., byte of the register, its value)."""
    units = linear_map.reshape(*linear_map.shape[:-1], 4, 8)
    table = np.zeros((*units.shape[:-1], 256), np.uint32)
    for bit in range(8):
        table[..., 1 << bit : 2 << bit] = table[..., : 1 << bit] ^ units[..., bit, None]
    return table
