"""Checksums verified in groups say of every chunk what its own checksum says."""

from __future__ import annotations

import struct
from zlib import crc32

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from runwised.formats.wandb_fast_sums import sums_agree

chunks = st.tuples(st.integers(0, 700), st.sampled_from([1, 1, 1, 2, 3, 4]), st.booleans())


@given(
    blocks=st.lists(st.tuples(st.lists(chunks, min_size=1, max_size=40), st.integers(0, 6)), min_size=1, max_size=3),
    wrong=st.lists(st.tuples(st.integers(0), st.integers(0, 7)), max_size=6),
    seed=st.integers(0, 255),
)
def test_exactly_the_chunks_whose_own_checksum_is_wrong_are_told(
    blocks: list[tuple[list[tuple[int, int, bool]], int]], wrong: list[tuple[int, int]], seed: int
) -> None:
    data = bytearray()
    heads, ends, of_block = [], [], []
    for number, (lengths, padding) in enumerate(blocks):
        for size, kind, zeros in lengths:
            payload = bytes(size) if zeros else bytes((seed + 7 * at) % 256 for at in range(size))
            heads.append(len(data))
            data += struct.pack("<IHB", crc32(bytes([kind]) + payload), size, kind) + payload
            ends.append(len(data))
            of_block.append(number)
        data += bytes(padding)
    for place, bit in wrong:
        head, end = heads[place % len(heads)], ends[place % len(heads)]
        at = head + place % (end - head)
        if at - head not in (4, 5):  # another length would make another chunk
            data[at] ^= 1 << bit
    stored = [struct.unpack_from("<I", data, head)[0] for head in heads]
    expected = [crc32(data[head + 6 : end]) == sum_ for head, end, sum_ in zip(heads, ends, stored, strict=True)]
    found = sums_agree(
        memoryview(data), np.array(heads), np.array(ends), np.array(of_block), np.array(stored, np.uint32)
    )
    assert found.tolist() == expected


def test_chunks_as_long_as_a_block_are_verified() -> None:
    payload = bytes(range(256)) * 127 + bytes(249)
    chunk = struct.pack("<IHB", crc32(b"\3" + payload), len(payload), 3) + payload
    assert len(chunk) == 32768
    data = bytearray(chunk * 3)
    data[40000] ^= 16
    heads = np.arange(3) * 32768
    stored = np.full(3, crc32(b"\3" + payload), np.uint32)
    assert sums_agree(memoryview(data), heads, heads + 32768, np.arange(3), stored).tolist() == [True, False, True]
