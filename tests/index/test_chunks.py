"""Packed chunks give back what was packed, bit for bit, or say that they are damaged."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwised.index.bucket_chunks import BUCKET, DECODERS, FIELDS, encode_buckets
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


@given(st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=200), st.integers(0, 12))
def test_decimals_come_back_bit_for_bit(numbers: list[int], digits: int) -> None:
    values = np.array([float(f"{number}e-{digits}") for number in numbers])
    assert decode_floats(encode_floats(values), len(values)).tobytes() == values.tobytes()


@given(st.lists(st.floats(width=32), min_size=1, max_size=200), st.integers(0, 7))
def test_bytes_of_any_width_come_back(numbers: list[float], width: int) -> None:
    values = np.array(numbers)
    assert decode_floats(encode_floats(values), len(values)).tobytes() == values.tobytes()
    whole = np.arange(200) % 7 * 256**width + np.arange(200) % 3
    assert decode_ints(encode_ints(whole), 200).tolist() == whole.tolist()
    assert encode_ints(whole)[1] == width + 1


def test_a_regular_step_costs_nothing() -> None:
    assert len(encode_ints(np.arange(0, 80_000, 10))) == 24
    assert len(encode_floats(np.arange(8000.0))) == 24
    assert len(encode_floats(np.full(8000, 3.0))) == 16


def test_floats_take_no_more_bytes_than_they_have_bits_to_tell() -> None:
    chance = np.random.default_rng(1)
    curve = np.exp(chance.standard_normal(8000) / 10)
    signed = chance.standard_normal(8000)
    times = 1.75e9 + np.arange(8000) / 2 + chance.random(8000) / 4
    taken = [
        (curve.round(4), 2),
        (times.round(3), 2),
        (times, 3),
        (curve.astype(np.float32).astype(np.float64), 3),
        (signed.astype(np.float32).astype(np.float64), 4),
        (curve, 7),
        (signed, 8),
    ]
    for values, width in taken:
        data = encode_floats(values)
        assert decode_floats(data, len(values)).tobytes() == values.tobytes()
        assert len(data) <= 24 + width * len(values)


def test_odd_floats_are_stored_as_they_are() -> None:
    values = np.array([math.nan, math.inf, -0.0, 1e300, 0.5])
    assert len(encode_floats(values)) == 8 + 8 * 5


@pytest.mark.parametrize("cut", [0, 5, 8, 18, 19])
def test_a_chunk_cut_short_is_damaged(cut: int) -> None:
    data = encode_ints(np.array([1, 5, 7, 8]))
    assert len(data) == 20
    with pytest.raises(ChunkDamaged):
        decode_ints(data[:cut], 4)


def test_buckets_come_back_field_by_field() -> None:
    chance = np.random.default_rng(2)
    buckets = np.empty(300, BUCKET)
    for name in FIELDS:
        number = chance.standard_normal(300) * 100
        buckets[name] = number if BUCKET[name].kind == "f" else np.sort(number)
    data = encode_buckets(buckets)
    assert len(data) < buckets.nbytes
    for name in FIELDS:
        assert DECODERS[name](data, 300).tobytes() == buckets[name].tobytes()
        for cut in (0, 20, 48, 100, len(data) - 1):
            with pytest.raises(ChunkDamaged):
                DECODERS[name](data[:cut], 300)
        with pytest.raises(ChunkDamaged):
            DECODERS[name](data, 299)


def test_a_chunk_of_another_length_or_kind_is_damaged() -> None:
    data = encode_ints(np.array([1, 5, 7]))
    with pytest.raises(ChunkDamaged, match="3 elements where 4 were expected"):
        decode_ints(data, 4)
    with pytest.raises(ChunkDamaged):
        decode_floats(data, 3)
    with pytest.raises(ChunkDamaged, match="floats where whole numbers"):
        decode_ints(encode_floats(np.array([0.5])), 1)
    for at, byte in ((1, 3), (1, 9), (2, 2), (3, 1)):
        with pytest.raises(ChunkDamaged):
            decode_ints(data[:at] + bytes([byte]) + data[at + 1 :], 3)
    floats = encode_floats(np.array([0.25, 0.5]))
    for at, byte in ((0, 6), (0, 1), (3, 64)):
        with pytest.raises(ChunkDamaged):
            decode_floats(floats[:at] + bytes([byte]) + floats[at + 1 :], 2)
