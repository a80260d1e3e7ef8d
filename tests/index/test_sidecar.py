"""A sidecar answers as the index it was made from, or says that it is damaged."""

from __future__ import annotations

import math
import struct
import zlib
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runwised.formats.record import Alert, Column, Damage, Definition, Facts, Identity, Other, Patch, Resume, Rows
from runwised.index.header import MAGIC, PROLOGUE, VERSION
from runwised.index.run_index import RunIndex
from runwised.index.sidecar import Sidecar, SidecarDamaged, SidecarVersion, encode

SIZES = st.lists(st.integers(1, 700), max_size=10)


def written(index: RunIndex) -> bytes:
    return b"".join(encode(index, b"stamp"))


def opened(data: bytes, size: int | None = None) -> Sidecar:
    return Sidecar(lambda offset, length: data[offset : offset + length], len(data) if size is None else size)


def flipped(data: bytes, at: int, bits: int) -> bytes:
    return data[:at] + bytes([data[at] ^ bits]) + data[at + 1 :]


def numbers(sidecar: Sidecar) -> list[Any]:
    """What needs every part of a sidecar without bucket levels."""
    found: list[Any] = [sidecar.stamp, sidecar.thaw().nbytes, repr(sidecar.metadata), list(sidecar.rewinds)]
    for table in (sidecar.history, sidecar.system):
        rows = table.row_count
        found += [repr(table.others), [table.rows.locate(row) for row in range(table.total_rows)]]
        found += [each.tobytes() for each in (table.steps(0, rows), table.times(0, rows), table.numbers(0, rows))]
        for key in table.numeric_keys():
            if table.count(key):
                found += [
                    repr(table.stats_of(key)),
                    *(field.tobytes() for field in table.column(key).series(0, table.count(key))),
                ]
    for source in range(len(sidecar.sources)):
        found += [field.tobytes() for field in sidecar.console(source)]
    return found


def long_index(count: int = 70_000) -> RunIndex:
    """An index whose columns have bucket levels in the file: dense, sparse, and after a rewind."""
    rng = np.random.default_rng(4)
    index = RunIndex()
    index.start_source("a")
    for first in (0, count // 2):
        rows = np.arange(count)
        sparse = np.flatnonzero(rng.random(count) < 0.6)
        values = rng.normal(size=count)
        values[rng.integers(0, count, 30)] = math.nan
        clumps = np.flatnonzero((rows % 7000 < 6000) | (rows % 97 == 0))
        columns = (
            Column("dense", None, values),
            Column("sparse", sparse, rng.normal(size=len(sparse))),
            Column("clumps", clumps, rng.normal(size=len(clumps))),
        )
        index.fold(Rows("history", rows * 99, rows + first, rows + 0.5, columns))
    return index


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_sidecar_answers_as_its_index_and_so_does_what_is_thawed(runs: SimpleNamespace, data: st.DataObject) -> None:
    log = data.draw(runs.LOGS)
    index = runs.fold(RunIndex(), log, data.draw(SIZES))
    expected = runs.answers(index)
    sidecar = runs.opened(index)
    assert runs.answers(sidecar) == expected
    assert runs.answers(sidecar.thaw()) == expected


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_thawed_index_goes_on_as_if_it_had_never_been_away(runs: SimpleNamespace, data: st.DataObject) -> None:
    log = data.draw(runs.LOGS)
    cut = data.draw(st.integers(0, len(log)))
    sidecar = runs.opened(runs.fold(RunIndex(), log[:cut], data.draw(SIZES)))
    before = runs.answers(sidecar)
    index = runs.fold(sidecar.thaw(), log[cut:], data.draw(SIZES))
    whole = runs.fold(RunIndex(), log)
    assert runs.answers(index) == runs.answers(whole)
    assert runs.answers(sidecar) == before
    assert runs.answers(runs.opened(index)) == runs.answers(whole)


def test_long_columns_are_sampled_alike_from_memory_and_from_the_file(runs: SimpleNamespace) -> None:
    index = long_index()
    sidecar = runs.opened(index)
    rows = index.history.row_count
    for name in index.history.names:
        for most in (1, 2, 7, 16, 33, 90, 200):
            for start, stop in ((0, rows), (1, rows), (rows // 3, rows - 5000), (34_000, 36_100)):
                ours, theirs = (each.history.sample(name, most, start, stop) for each in (sidecar, index))
                assert [field.tobytes() for field in ours] == [field.tobytes() for field in theirs]
        assert sidecar.history.position(12_345) == index.history.position(12_345)
    assert runs.answers(sidecar.thaw()) == runs.answers(index)


def test_metadata_keeps_nan_big_integers_and_lone_surrogates() -> None:
    index = RunIndex()
    index.start_source("wandb/\udcff/run.wandb")
    odd = {"nan": math.nan, "big": 2**80, "half": "\ud800", "none": None, "list": [1, -math.inf, {"a": True}]}
    index.fold(Patch("config", [(("odd",), odd)]))
    index.fold(Patch("summary", [(("\udc00",), 1e308)]))
    index.fold(Identity(run_id="r", tags=("\ud83d", "b"), start_time=1.5))
    index.fold(Facts({"program": "\udc80.py"}))
    index.fold(Definition(key="\ud800*", glob=True, summary=("min",)))
    index.fold(Alert(1, "t", "x", "WARN"))
    index.fold(Damage(1, 2, "r"))
    rows = Rows(
        "history",
        np.array([7]),
        np.array([0]),
        np.array([0.5]),
        (Column("\ud800", None, np.array([1.0])),),
        (Other("\udc01", np.array([0]), "string", b'"\xff"'),),
    )
    index.fold(rows)
    index.set_resume(0, Resume(70, bytes(range(256))), 99)
    sidecar = opened(written(index))
    for run in (sidecar, sidecar.thaw()):
        assert repr(run.metadata) == repr(index.metadata)
        assert run.config["odd"]["big"] == 2**80
        assert run.sources[0].resume == Resume(70, bytes(range(256)))
        assert run.sources[0].key == "wandb/\udcff/run.wandb"
        assert list(run.history.names) == ["\ud800"]
        assert run.history.others["\udc01"].last == '"\ufffd"'
    assert sidecar.stamp == b"stamp"


def test_opening_and_statistics_read_the_header_alone() -> None:
    data = written(long_index())
    reads: list[tuple[int, int]] = []

    def read_at(offset: int, length: int) -> bytes:
        reads.append((offset, length))
        return data[offset : offset + length]

    sidecar = Sidecar(read_at, len(data))
    assert sidecar.history.names == ["dense", "sparse", "clumps"]
    assert sidecar.history.stats("sparse").count > 0
    assert sidecar.history.row_count == 105_000
    assert reads == [(0, 65_536)]
    sidecar.history.sample("dense", 15)
    assert sum(length for _, length in reads[1:]) < 30_000


def test_encoding_changes_nothing_that_an_answer_may_be_made_from_meanwhile() -> None:
    index, other = long_index(), long_index()
    before = index.nbytes
    data = written(index)
    assert index.nbytes == before
    for name in other.history.names:
        other.history.sample(name, 3)
    assert written(other) == data


def test_a_header_longer_than_the_first_read_is_read_whole() -> None:
    index = RunIndex()
    index.start_source("a")
    columns = tuple(Column(f"key/{key}", None, np.array([key + 0.5])) for key in range(3000))
    index.fold(Rows("history", np.array([0]), np.array([0]), np.array([0.0]), columns))
    data = written(index)
    assert PROLOGUE.unpack_from(data)[2] > 65_536
    sidecar = opened(data)
    assert len(sidecar.history.names) == 3000
    assert sidecar.history.stats("key/2999").first == 2999.5


def test_any_flipped_byte_is_found_out(runs: SimpleNamespace) -> None:
    data = written(runs.small_index())
    expected = numbers(opened(data))
    for at in range(len(data)):
        with pytest.raises(SidecarDamaged):
            numbers(opened(flipped(data, at, 1 << at % 8)))
    assert numbers(opened(data)) == expected


def test_any_flipped_byte_of_a_bucket_level_is_found_out() -> None:
    data = written(long_index(5000))
    places = range(PROLOGUE.size + PROLOGUE.unpack_from(data)[2], len(data), 997)
    expected = [field.tobytes() for name in ("dense", "sparse") for field in opened(data).history.sample(name, 9)]
    found = 0
    for at in places:
        sidecar = opened(flipped(data, at, 0x10))
        try:
            got = [field.tobytes() for name in ("dense", "sparse") for field in sidecar.history.sample(name, 9)]
        except SidecarDamaged:
            found += 1
        else:
            assert got == expected
    assert found


def test_a_file_cut_at_any_length_is_found_out(runs: SimpleNamespace) -> None:
    data = written(runs.small_index())
    for size in range(len(data)):
        with pytest.raises(SidecarDamaged):
            opened(data[:size])
        with pytest.raises(SidecarDamaged):
            numbers(opened(data[:size], len(data)))
    with pytest.raises(SidecarDamaged, match="bytes where"):
        opened(data + b"\0")


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_a_header_of_nonsense_under_a_right_checksum_is_damage_or_an_answer(
    runs: SimpleNamespace, data: st.DataObject
) -> None:
    whole = written(runs.small_index())
    begin, length = PROLOGUE.size, PROLOGUE.unpack_from(whole)[2]
    body = bytearray(whole[begin : begin + length])
    for at, byte in data.draw(st.lists(st.tuples(st.integers(0, length - 1), st.integers(0, 255)), max_size=4)):
        body[at] = byte
    start = PROLOGUE.pack(MAGIC, VERSION, length, zlib.crc32(body), 0)[:-4]
    sidecar_bytes = start + struct.pack("<I", zlib.crc32(start)) + bytes(body) + whole[begin + length :]
    try:
        found = numbers(opened(sidecar_bytes))
    except SidecarDamaged:
        found = []
    assert found == [] or len(found) > 10


@pytest.mark.parametrize(("version", "newer"), [(VERSION + 1, True), (VERSION - 1, False)])
def test_another_version_is_told_from_damage(version: int, newer: bool) -> None:
    start = PROLOGUE.pack(MAGIC, version, 3, 0, 0)[:-4]
    with pytest.raises(SidecarVersion) as caught:
        opened(start + struct.pack("<I", zlib.crc32(start)) + b"abc")
    assert (caught.value.version, caught.value.newer) == (version, newer)


def test_something_else_altogether_is_damage() -> None:
    for data in (b"", b"PK\x03\x04" + bytes(100), bytes(4096)):
        with pytest.raises(SidecarDamaged):
            opened(data)


def test_numbers_take_no_more_room_in_the_file_than_in_memory() -> None:
    index = long_index()
    values = sum(column.count for column in index.history.columns.values())
    assert len(written(index)) < 1.3 * 8 * (values + index.history.total_rows) + 10_000
