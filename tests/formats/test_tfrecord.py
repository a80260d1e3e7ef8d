"""Framing of TFRecords: both sums of every record, damage, torn tails, and what is too long."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runwised.formats import tfrecord
from runwised.formats.record import Damage
from runwised.formats.tfrecord import LONGEST_RECORD, Framed, RecordLog, read_record, record_size
from tests.formats.tfevents_logs import masked_sum, record

NO_RECORD, WRONG_SUM = "no record begins here", "the record's checksum is wrong"


def head(length: int) -> bytes:
    packed = struct.pack("<Q", length)
    return packed + masked_sum(packed)


def opened(found: Iterable[Any]) -> list[Any]:
    """(offset, data) of each record, and damage."""
    told: list[Any] = []
    for each in found:
        if isinstance(each, Framed):
            told += [(each.place(number), each.payload(number)) for number in range(len(each.starts))]
        else:
            told.append(each)
    return told


def read(data: bytes, piece: int = 1 << 30, log: RecordLog | None = None) -> list[Any]:
    log = log or RecordLog()
    return [each for at in range(0, len(data), piece) for each in opened(log.feed(data[at : at + piece]))]


def wanted(payloads: list[bytes]) -> list[Any]:
    offset, told = 0, []
    for payload in payloads:
        told.append((offset, payload))
        offset += len(payload) + 16
    return told


sizes = st.one_of(st.integers(0, 80), st.integers(200, 300), st.integers(0, 3000))
payload_lists = st.lists(st.tuples(sizes, st.binary(min_size=1, max_size=9)), max_size=60).map(
    lambda parts: [(fill * (size // len(fill) + 1))[:size] for size, fill in parts]
)


@settings(deadline=None)
@given(payload_lists, st.integers(1, 5000))
def test_records_of_any_sizes_are_framed_however_they_come(payloads: list[bytes], piece: int) -> None:
    data = b"".join(map(record, payloads))
    assert read(data) == read(data, piece) == wanted(payloads)


@settings(deadline=None)
@given(payload_lists, st.data())
def test_one_wrong_byte_costs_one_record(payloads: list[bytes], draw: st.DataObject) -> None:
    payloads = [*payloads, b"behind", b"last"]
    data = bytearray(b"".join(map(record, payloads)))
    at = draw.draw(st.integers(0, len(data) - len(record(b"last")) - 1))
    data[at] ^= 1 << draw.draw(st.integers(0, 7))
    left, lost = wanted(payloads), 0
    while left[lost + 1][0] <= at:
        lost += 1
    offset, payload = left[lost]
    reason = NO_RECORD if at < offset + 12 else WRONG_SUM
    left[lost] = Damage(offset, len(payload) + 16, reason)
    assert read(bytes(data)) == read(bytes(data), draw.draw(st.integers(1, 5000))) == left


def test_records_within_a_record_are_its_data() -> None:
    inner = b"".join(record(bytes([n]) * n) for n in range(100))
    data = record(b"first") + record(inner) + b"".join(record(b"%d" % n) for n in range(100))
    payloads = [b"first", inner, *(b"%d" % n for n in range(100))]
    assert read(data) == read(data, 1000) == wanted(payloads)


@pytest.mark.parametrize("tail", [bytes(5000), bytes(600_000), b"stray text\n" * 400])
def test_a_tail_that_is_no_record_is_not_told_until_one_follows(tail: bytes) -> None:
    log = RecordLog()
    whole = record(b"one") + record(b"two")
    assert read(whole + tail, 100_000, log) == wanted([b"one", b"two"])
    assert log.offset == len(whole)
    assert len(log._buffer) < 12
    again = record(b"three")
    end = len(whole) + len(tail)
    assert read(again, 7, log) == [Damage(len(whole), len(tail), NO_RECORD), (end, b"three")]
    assert log.offset == end + len(again)


def test_what_looks_like_a_head_among_lost_bytes_is_no_record_unless_its_data_fits() -> None:
    stray = b"\1" * 20
    pretender = head(5) + b"12345678"
    data = stray + pretender + record(b"sound")
    assert (
        read(data)
        == read(data, 3)
        == [
            Damage(0, len(stray) + len(pretender), NO_RECORD),
            (len(stray) + len(pretender), b"sound"),
        ]
    )


def test_a_lost_log_waits_for_a_record_that_is_not_whole() -> None:
    stray, long = b"\1" * 20, record(b"x" * 1000)
    log = RecordLog()
    assert read(stray + long[:500], 50, log) == []
    assert (log.offset, len(log._buffer)) == (0, 500)
    assert read(long[500:], 50, log) == [Damage(0, 20, NO_RECORD), (20, b"x" * 1000)]


def test_a_log_entered_anywhere_begins_with_the_next_record() -> None:
    data = record(b"one") + record(b"two")
    assert read(data[5:], log=RecordLog(5, lost=True)) == [Damage(5, 14, NO_RECORD), (19, b"two")]
    assert read(data, log=RecordLog(lost=True)) == wanted([b"one", b"two"])


def test_a_record_too_long_is_passed_over_without_being_held() -> None:
    size = LONGEST_RECORD + 1
    log = RecordLog()
    assert read(record(b"one") + head(size), log=log) == wanted([b"one"])
    piece = bytes(1 << 20)
    for _ in range(size >> 20):
        assert log.feed(piece) == []
        assert (log.offset, len(log._buffer)) == (19, 0)
    rest = bytes(size % (1 << 20) + 4)
    assert read(rest + record(b"two"), log=log) == [
        Damage(19, size + 16, "record longer than 64 MiB"),
        (19 + size + 16, b"two"),
    ]
    with pytest.raises(ValueError, match="no record"):
        read_record(head(size) + piece)


def test_a_length_beyond_all_files_waits() -> None:
    log = RecordLog()
    assert read(head(2**63) + bytes(100_000), 1000, log) == []
    assert (log.offset, len(log._buffer)) == (0, 0)


def test_a_record_is_read_alone() -> None:
    data = record(b"payload")
    assert (read_record(data + b"more"), record_size(data)) == (b"payload", len(data))
    assert [read_record(data[:cut]) for cut in range(len(data))] == [None] * len(data)
    with pytest.raises(ValueError, match="checksum is wrong"):
        read_record(data[:-1] + b"?")
    with pytest.raises(ValueError, match="no record begins"):
        read_record(b"?" + data[1:])


def test_chunks_bound_what_is_framed_at_once() -> None:
    payloads = [b"%06d" % number for number in range(40_000)]
    data = b"".join(map(record, payloads))
    found = RecordLog().feed(data)
    assert len(found) > 1
    assert max(len(each.data) for each in found if isinstance(each, Framed)) <= tfrecord._CHUNK_BYTES
    assert opened(found) == wanted(payloads)
