"""CRC-32C (Castagnoli) of one byte string or of many short ones at once, and the masked form TFRecord files store.

The register is the reflected one of RFC 3720, polynomial 0x82F63B78, beginning and ending with all ones. It is linear:
what a byte adds to the sum depends on its value and on how many bytes stand behind it, so the sum is the exclusive or
of one table entry a byte, and of what the beginning and the end with all ones make of that many zero bytes.
"""

from __future__ import annotations

from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from runwised.formats.record import Ints

Words: TypeAlias = NDArray[np.uint32]
Octets: TypeAlias = NDArray[np.uint8]

WIDEST = 256
"""Bytes of the longest string that `sums_of` takes."""

_POLYNOMIAL = 0x82F63B78
_ONES = 0xFFFF_FFFF
_MASK_DELTA = 0xA282EAD8
_SHORT = 96
"""Bytes up to which a loop is faster than setting numpy up."""
_LANES = 256
_STRIP = _LANES * WIDEST


def mask(sum_: int) -> int:
    """A checksum as TFRecord files store it, so that sums of bytes that hold sums stay good sums."""
    return ((sum_ >> 15 | sum_ << 17) + _MASK_DELTA) & _ONES


def masked_bytes(data: bytes | memoryview) -> bytes:
    """The masked checksum of a byte string as it is stored: little-endian."""
    return mask(crc32c(data)).to_bytes(4, "little")


def masked(sums: Words) -> Words:
    """`mask` of many."""
    return (sums >> np.uint32(15) | sums << np.uint32(17)) + np.uint32(_MASK_DELTA)


def crc32c(data: bytes | bytearray | memoryview) -> int:
    """The checksum of a byte string."""
    octets = np.frombuffer(data, np.uint8)
    odd = len(octets) % _STRIP
    register = _loop(_ONES, data[:odd]) if odd <= _SHORT else _strip(_ONES, octets[:odd])
    for start in range(odd, len(octets), _STRIP):
        register = _strip(register, octets[start : start + _STRIP])
    return register ^ _ONES


def sums_of(strings: Octets, lengths: Ints) -> Words:
    """Checksums of many byte strings: row i of `strings` (shape (n, width)) ends with ``lengths[i]`` bytes of one.

    What stands before them in the row must be zero. Width is at most `WIDEST`. Shape of the result: (n,).
    """
    width = strings.shape[1]
    places = np.arange(width - 1, -1, -1, dtype=np.uint16) << np.uint16(8)
    added = _flat_tables().take(strings + places)
    sums: Words = np.bitwise_xor.reduce(added, axis=1) ^ _sums_of_zeros().take(lengths)
    return sums


def _loop(register: int, data: bytes | bytearray | memoryview) -> int:
    table = _octet_table()
    for octet in data:
        register = table[(register ^ octet) & 255] ^ register >> 8
    return register


def _strip(register: int, octets: Octets) -> int:
    """The register after 4 to `_STRIP` more bytes: lanes of `WIDEST` bytes, put together in pairs."""
    lanes = 1 << (-(-len(octets) // WIDEST) - 1).bit_length()
    padded = np.zeros(lanes * WIDEST, np.uint8)
    begin = len(padded) - len(octets)
    padded[begin:] = octets
    padded[begin : begin + 4] ^= np.frombuffer(register.to_bytes(4, "little"), np.uint8)
    places = np.arange(WIDEST - 1, -1, -1, dtype=np.uint16) << np.uint16(8)
    added = _flat_tables().take(padded.reshape(lanes, WIDEST) + places)
    registers: Words = np.bitwise_xor.reduce(added, axis=1)
    for step in _steps()[: lanes.bit_length() - 1]:
        registers = _apply(step, registers[::2]) ^ registers[1::2]
    return int(registers[0])


@cache
def _octet_table() -> list[int]:
    """What a byte makes of an empty register."""
    return [int(entry) for entry in tables()[0]]


@cache
def tables() -> Words:
    """What a byte of each value adds when so many bytes stand behind it, shape (`WIDEST`, 256)."""
    register = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        register = register >> np.uint32(1) ^ (register & np.uint32(1)) * np.uint32(_POLYNOMIAL)
    found = [register]
    while len(found) < WIDEST:
        found.append(found[0][found[-1] & np.uint32(255)] ^ found[-1] >> np.uint32(8))
    return np.array(found)


@cache
def _flat_tables() -> Words:
    return tables().reshape(-1)


@cache
def _sums_of_zeros() -> Words:
    """Checksums of 0 to `WIDEST` zero bytes."""
    register, sums = _ONES, [0]
    for _ in range(WIDEST):
        register = _loop(register, b"\0")
        sums.append(register ^ _ONES)
    return np.array(sums, np.uint32)


@cache
def _steps() -> list[Words]:
    """Tables (byte of the register, its value) that advance a register over `WIDEST` zero bytes, twice as many, …"""
    step = tables()[WIDEST - 4 :][::-1]
    steps = [step]
    while len(steps) < _LANES.bit_length() - 1:
        steps.append(_apply(steps[-1], steps[-1]))
    return steps


def _apply(step: Words, registers: Words) -> Words:
    """Each register after the bytes of `step`."""
    moved: Words = step[0][registers & np.uint32(255)]
    for octet in (1, 2, 3):
        moved = moved ^ step[octet][registers >> np.uint32(8 * octet) & np.uint32(255)]
    return moved
