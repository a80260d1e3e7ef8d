"""CRC-32C, of one string and of many."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwised.formats.crc32c import WIDEST, crc32c, mask, masked, masked_bytes, sums_of
from tests.formats.tfevents_logs import masked_sum


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_it_is_the_sum_of_rfc_3720(data: bytes, expected: int) -> None:
    assert crc32c(data) == expected


@pytest.mark.parametrize("size", [0, 1, 3, 95, 96, 97, 255, 256, 257, 511, 4096, 65535, 65536, 65537, 65539, 140000])
def test_strings_of_any_length_have_the_sum_that_is_computed_bit_by_bit(size: int) -> None:
    data = np.random.default_rng(size).bytes(size)
    assert masked_bytes(data) == masked_sum(data)
    assert crc32c(memoryview(data)) == crc32c(bytearray(data)) == crc32c(data)


@given(st.lists(st.binary(max_size=WIDEST), min_size=1, max_size=9), st.integers(1, 9))
def test_many_have_the_sums_they_have_alone(strings: list[bytes], more: int) -> None:
    width = min(max(map(len, strings)) + more, WIDEST)
    rows = np.frombuffer(b"".join(string.rjust(width, b"\0") for string in strings), np.uint8).reshape(-1, width)
    sums = sums_of(rows, np.array([len(string) for string in strings]))
    assert sums.tolist() == [crc32c(string) for string in strings]
    assert masked(sums).tolist() == [struct.unpack("<I", masked_sum(string))[0] for string in strings]


@given(st.integers(0, 2**32 - 1))
def test_one_sum_is_masked_as_many_are(register: int) -> None:
    assert mask(register) == int(masked(np.array([register], np.uint32))[0])
