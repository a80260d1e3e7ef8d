"""Packed chunks give back what was packed, bit for bit, or say that they are damaged."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwised.index.chunks import ChunkDamaged, decode_floats, decode_ints, encode_floats, encode_ints

INTS = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(st.one_of(INTS, st.integers(0, 300)), min_size=1, max_size=200))
def test_whole_numbers_come_back(numbers: list[int]) -> None:
    values = np.array(numbers, np.int64)
    assert decode_ints(encode_ints(values), len(values)).tolist() == numbers


@given(st.lists(st.one_of(st.floats(), st.integers(-9, 9).map(float), st.just(-0.0)), min_size=1, max_size=200))
def test_floats_come_back_bit_for_bit(numbers: list[float]) -> None:
    values = np.array(numbers, np.float64)
    assert decode_floats(encode_floats(values), len(values)).tobytes() == values.tobytes()


def test_a_regular_step_costs_nothing() -> None:
    assert len(encode_ints(np.arange(0, 80_000, 10))) == 24
    assert len(encode_floats(np.arange(8000.0))) == 24
    assert len(encode_floats(np.full(8000, 3.0))) == 24


def test_odd_floats_are_stored_as_they_are() -> None:
    values = np.array([math.nan, math.inf, -0.0, 1e300, 0.5])
    assert len(encode_floats(values)) == 8 + 8 * 5


@pytest.mark.parametrize("cut", [0, 5, 8, 20, 26])
def test_a_chunk_cut_short_is_damaged(cut: int) -> None:
    data = encode_ints(np.array([1, 5, 7, 8]))
    assert len(data) == 27
    with pytest.raises(ChunkDamaged):
        decode_ints(data[:cut], 4)


def test_a_chunk_of_another_length_or_kind_is_damaged() -> None:
    data = encode_ints(np.array([1, 5, 7]))
    with pytest.raises(ChunkDamaged, match="3 elements where 4 were expected"):
        decode_ints(data, 4)
    with pytest.raises(ChunkDamaged):
        decode_floats(data, 3)
    with pytest.raises(ChunkDamaged, match="floats where whole numbers"):
        decode_ints(encode_floats(np.array([0.5])), 1)
    with pytest.raises(ChunkDamaged, match="width 3"):
        decode_ints(data[:1] + b"\x03" + data[2:], 3)
