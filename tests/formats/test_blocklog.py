"""Framing: records come out whole, damage is measured, torn tails wait."""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import pairwise
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwised.formats.blocklog import (
    BLOCK,
    FILE_HEADER,
    SHIFTED,
    UNSETTLED,
    BlockLog,
    Framed,
    guess_origin,
    read_record,
)
from runwised.formats.record import Damage


def read(data: bytes, **start: Any) -> tuple[list[Framed], list[Damage], BlockLog]:
    log = BlockLog(**start)
    log.feed(data)
    found = [*log.take(len(data)), *log.close()]
    records = [one for one in found if isinstance(one, Framed)]
    return records, [one for one in found if isinstance(one, Damage)], log


def filled(writer: Any, sizes: list[int]) -> list[bytes]:
    """Write a record of each size; their payloads."""
    payloads = [bytes((at + size) % 251 + 1 for at in range(size)) for size in sizes]
    for payload in payloads:
        writer.raw(payload)
    return payloads


@pytest.mark.parametrize("origin", [0, SHIFTED])
@pytest.mark.parametrize("left", range(15))
def test_records_around_an_edge_come_out_on_either_grid(log_writer: Any, origin: int, left: int) -> None:
    writer = log_writer(origin)
    first = BLOCK + origin - len(FILE_HEADER) - 7 - left
    payloads = filled(writer, [first, 3, 100, 70000, 5])
    records, damage, log = read(bytes(writer.data))
    assert [record.payload for record in records] == payloads
    assert [record.offset for record in records] == [start for start, _ in writer.spans]
    assert not damage
    assert log.origin == origin
    assert log.offset == len(writer.data)
    assert guess_origin(bytes(writer.data)) == origin


def test_the_grid_is_unsettled_before_the_first_edge(log_writer: Any) -> None:
    writer = log_writer()
    filled(writer, [10, 20])
    assert read(bytes(writer.data))[2].origin == UNSETTLED


@pytest.mark.parametrize("origin", [0, SHIFTED])
def test_the_grid_is_found_at_a_later_edge_when_the_first_is_damaged(log_writer: Any, origin: int) -> None:
    writer = log_writer(origin)
    payloads = filled(writer, [1000] * 120)
    data = bytearray(writer.data)
    data[BLOCK - 20 : BLOCK + 30] = b"\xaa" * 50
    records, damage, log = read(bytes(data))
    assert log.origin == origin
    after = next(n for n, (start, _) in enumerate(writer.spans) if start >= 2 * BLOCK + origin)
    assert [record.payload for record in records] == payloads[:32] + payloads[after:]
    (lost,) = damage
    assert (lost.offset, lost.offset + lost.length) == (writer.spans[31][1], writer.spans[after][0])


def test_a_flip_costs_the_rest_of_its_block_and_the_record_that_leaves_it(log_writer: Any) -> None:
    writer = log_writer()
    payloads = filled(writer, [1000] * 150)
    data = bytearray(writer.data)
    data[BLOCK + 5000] ^= 4
    records, damage, _ = read(bytes(data))
    kept = [
        payload
        for (start, end), payload in zip(writer.spans, payloads, strict=True)
        if end <= BLOCK + 5000 or start >= 2 * BLOCK
    ]
    lost_until = min(start for start, _ in writer.spans if start >= 2 * BLOCK)
    (lost,) = damage
    assert len(kept) > 115
    assert [record.payload for record in records] == kept
    assert lost.offset <= BLOCK + 5000 < lost.offset + lost.length == lost_until
    assert lost.reason == "bad checksum"


def test_zeros_at_the_end_wait_and_with_data_behind_them_are_damage(log_writer: Any) -> None:
    writer = log_writer()
    payloads = filled(writer, [500, 600])
    end = len(writer.data)
    log = BlockLog()
    log.feed(bytes(writer.data) + bytes(100_000))
    assert len(log.take(1 << 20)) == 2
    assert log.close() == []
    assert log.offset == end
    writer.data += bytes(4 * BLOCK - end)
    log.feed(bytes(4 * BLOCK - end - 100_000))
    assert log.take(1 << 20) == []
    payloads += filled(writer, [700])
    log.feed(writer.data[4 * BLOCK :])
    damage, record = log.take(1 << 20)
    assert damage == Damage(end, 4 * BLOCK - end, "zeros")
    assert record == Framed(4 * BLOCK, payloads[-1])


def test_a_payload_that_ends_in_zeros_to_the_end_of_the_file_is_torn(log_writer: Any) -> None:
    writer = log_writer()
    filled(writer, [500, 6000])
    data = bytes(writer.data[:4096]).ljust(9000, b"\0")
    records, damage, log = read(data)
    assert len(records) == 1
    assert not damage
    assert log.offset == writer.spans[0][1]


def test_damage_with_nothing_behind_it_is_told_when_the_source_ends(log_writer: Any) -> None:
    writer = log_writer()
    filled(writer, [500, 600])
    data = bytearray(writer.data)
    data[-1] ^= 1
    log = BlockLog()
    log.feed(data)
    assert len(log.take(1 << 20)) == 1
    start, end = writer.spans[1]
    assert log.offset == start
    assert log.close() == [Damage(start, end - start, "bad checksum")]
    assert (log.offset, log.edge) == (end, BLOCK)
    assert log.close() == []


def test_after_a_close_reading_goes_on_at_the_next_block(log_writer: Any) -> None:
    writer = log_writer()
    payloads = filled(writer, [500, 600, 40000, 300])
    data = bytearray(writer.data)
    data[writer.spans[1][0] + 50] ^= 1
    for cut in (1200, 20000, BLOCK - 1, BLOCK, BLOCK + 10):
        log = BlockLog()
        log.feed(data[:cut])
        first = [*log.take(1 << 20), *log.close()]
        again = BlockLog(log.offset, log.origin, log.edge)
        again.feed(data[log.offset :])
        log.feed(data[cut:])
        for rest in (log.take(1 << 20), again.take(1 << 20)):
            found = first + rest
            assert [one.payload for one in found if isinstance(one, Framed)] == [payloads[0], payloads[3]]
            lost = [one for one in found if isinstance(one, Damage)]
            assert lost[0].offset == writer.spans[1][0]
            assert sum(one.length for one in lost) == writer.spans[3][0] - writer.spans[1][0]


def chunk(kind: int, part: bytes) -> Callable[[Any], None]:
    return lambda writer: writer.chunk(kind, part)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (chunk(3, b"middle"), "fragment without a start"),
        (chunk(4, b"last"), "fragment without a start"),
        (chunk(2, b"first"), "record without an end"),
    ],
)
def test_chunks_out_of_sequence_cost_only_themselves(log_writer: Any, bad: Any, reason: str) -> None:
    writer = log_writer()
    payloads = filled(writer, [50])
    start = len(writer.data)
    bad(writer)
    end = len(writer.data)
    payloads += filled(writer, [60, 70])
    records, damage, _ = read(bytes(writer.data))
    assert [record.payload for record in records] == payloads
    assert damage == [Damage(start, end - start, reason)]


def test_an_impossible_header_is_damage_at_once(log_writer: Any) -> None:
    writer = log_writer()
    filled(writer, [50])
    start = len(writer.data)
    writer.data += struct.pack("<IHB", 1, 40000, 1) + b"x" * 50
    records, damage, _ = read(bytes(writer.data))
    assert len(records) == 1
    assert damage == [Damage(start, len(writer.data) - start, "bad chunk header")]


def test_another_file_header_is_named_and_what_follows_still_read(log_writer: Any) -> None:
    writer = log_writer(header=b":W&B\xe1\xbe\x01")
    payloads = filled(writer, [50])
    records, damage, _ = read(bytes(writer.data))
    assert [record.payload for record in records] == payloads
    assert damage == [Damage(0, 7, "file header 3a572642e1be01, expected 3a572642e1be00")]


def test_a_record_too_long_to_hold_is_passed_over(log_writer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runwised.formats.blocklog.LONGEST_RECORD", 3 * BLOCK)
    writer = log_writer()
    payloads = filled(writer, [50, 200_000, 60])
    records, damage, _ = read(bytes(writer.data))
    assert [record.payload for record in records] == [payloads[0], payloads[2]]
    assert [lost.reason for lost in damage] == ["record longer than 256 MiB"]


def test_a_record_is_read_back_from_its_place(log_writer: Any) -> None:
    writer = log_writer(SHIFTED)
    payloads = filled(writer, [100, 40000, 3])
    for (start, end), payload in zip(writer.spans, payloads, strict=True):
        assert read_record(bytes(writer.data[start:end]), start, SHIFTED) == payload
        assert read_record(bytes(writer.data[start : end - 1]), start, SHIFTED) is None
    with pytest.raises(ValueError, match="no record at byte"):
        read_record(bytes(writer.data[50:]), 50, SHIFTED)
    with pytest.raises(ValueError, match="no record at byte"):
        read_record(bytes(100), 107, 0)


pieces = st.one_of(
    st.binary(max_size=40),
    st.integers(0, 40000).map(bytes),
    st.tuples(st.integers(1, 4), st.binary(max_size=10), st.integers(0, 8000)).map(
        lambda part: good_chunk(part[0], part[1] * (1 + part[2] // 10))
    ),
)


def good_chunk(kind: int, part: bytes) -> bytes:
    return struct.pack("<IHB", crc32(bytes([kind]) + part), len(part), kind) + part


@given(st.lists(pieces, max_size=12).map(b"".join), st.lists(st.integers(0, 99), max_size=4))
def test_no_bytes_raise_and_no_cut_changes_what_is_found(data: bytes, cuts: list[int]) -> None:
    data = FILE_HEADER + data
    log = BlockLog()
    found: list[Any] = []
    for start, end in pairwise([0, *sorted(len(data) * cut // 99 for cut in cuts), len(data)]):
        log.feed(data[start:end])
        found += log.take(1 << 20)
    end_of_whole = BlockLog()
    end_of_whole.feed(data)
    whole = end_of_whole.take(1 << 20)
    assert found == whole
    assert (log.offset, log.origin, log.close()) == (end_of_whole.offset, end_of_whole.origin, end_of_whole.close())
    assert (log.offset, log.edge) == (end_of_whole.offset, end_of_whole.edge)
