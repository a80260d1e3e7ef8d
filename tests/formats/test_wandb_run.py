"""The transaction log as batches: what each record says, what damage is told, where reading goes on."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runwised.formats import WANDB, choose
from runwised.formats.record import NO_STEP, Alert, Damage, Definition, Exit, Facts, Identity, Mark, Patch, Resume, Rows

FIXTURES = Path(__file__).parents[1] / "fixtures" / "wandb"


def read(data: bytes) -> list[Any]:
    reader = WANDB.reader()
    return [*reader.feed(data), *reader.close()]


def one(log: Any) -> Any:
    (batch,) = read(bytes(log.data))
    return batch


def test_columns_are_sparse_float64_with_all_that_is_no_number_beside(log_writer: Any) -> None:
    log = log_writer()
    offsets = [
        log.history({"_step": 0, "_timestamp": 5, "a": 1, "b": True}),
        log.history({"_step": 1, "a": b"NaN", "c": 2**70, "b": "x", "big": 10**400}),
        log.history({"_step": 2, "a": 3.5, "b": [1, b"NaN" == None], "m": {"_type": "image-file", "path": "é"}}),
    ]
    rows = one(log)
    assert rows.table == "history"
    assert rows.offsets.tolist() == offsets
    assert rows.steps.tolist() == [0, 1, 2]
    assert rows.times[0] == 5
    assert np.isnan(rows.times[1:]).all()
    columns = {column.key: column for column in rows.columns}
    assert list(columns) == ["a", "c", "big"]
    assert columns["a"].rows is None
    assert repr(columns["a"].values.tolist()) == "[1.0, nan, 3.5]"
    assert columns["c"].rows is not None
    assert columns["c"].rows.tolist() == [1]
    assert columns["c"].values.tolist() == [2.0**70]
    assert columns["big"].values.tolist() == [math.inf]
    assert [array.dtype for array in (rows.offsets, rows.times, columns["c"].rows)] == [np.int64, np.float64, np.int64]
    others = {other.key: other for other in rows.others}
    assert others["b"].rows.tolist() == [0, 1, 2]
    assert (others["b"].kind, others["b"].last) == ("list", b"[1,false]")
    assert (others["m"].kind, others["m"].last) == ("image-file", '{"_type":"image-file","path":"é"}'.encode())


def test_a_value_longer_than_64_kib_is_counted_but_not_kept(log_writer: Any) -> None:
    log = log_writer()
    log.history({"_step": 0, "short": "x" * 65534, "long": "x" * 65535})
    assert [len(other.last) for other in one(log).others] == [65536, 4]


def test_all_rows_come_in_order_whatever_the_pieces(log_writer: Any) -> None:
    log = log_writer()
    for step in range(20_000):
        log.history({"_step": step})
    data = bytes(log.data)
    for size in (50_000, 200_000, len(data)):
        reader = WANDB.reader()
        batches = [batch for at in range(0, len(data), size) for batch in reader.feed(data[at : at + size])]
        assert np.concatenate([batch.steps for batch in batches]).tolist() == list(range(20_000))


def test_system_samples_keep_their_keys_as_they_are(log_writer: Any) -> None:
    log = log_writer()
    item = log.field(3, log.field(1, b"disk./.used") + log.field(16, b"12.5"))
    offset = log.record(7, log.field(2, log.varint_field(1, 100) + log.varint_field(2, 500_000_000)) + item)
    rows = one(log)
    assert isinstance(rows, Rows)
    assert (rows.table, rows.offsets.tolist(), rows.steps.tolist()) == ("system", [offset], [NO_STEP])
    assert rows.times.tolist() == [100.5]
    assert [(column.key, column.values.tolist()) for column in rows.columns] == [("disk./.used", [12.5])]


def test_a_run_record_tells_identity_config_summary_and_facts(log_writer: Any) -> None:
    log = log_writer()
    config = b"".join(log.field(1, log.item(key, value)) for key, value in (("lr", 0.1), ("_wandb", {"x": 1})))
    body = {1: b"id", 3: b"proj", 8: b"name", 10: b"tag", 4: config, 5: log.field(1, log.item("best", 2)), 9: b""}
    git = log.field(21, log.field(1, b"git@x") + log.field(2, b"abc"))
    run = b"".join(log.field(number, value) for number, value in body.items())
    branch = log.field(23, log.field(1, b"parent"))
    log.record(17, run + log.varint_field(14, 5) + log.varint_field(18, 1) + git + branch)
    assert read(bytes(log.data)) == [
        Identity(
            run_id="id",
            name="name",
            project="proj",
            tags=("tag",),
            starting_step=5,
            resumed=True,
            forked_from="parent",
        ),
        Facts({"git": {"remote": "git@x", "commit": "abc"}}),
        Patch("config", [(("lr",), 0.1)], []),
        Patch("summary", [(("best",), 2)], []),
    ]


def test_an_exit_record_with_an_empty_body_is_success(log_writer: Any) -> None:
    log = log_writer()
    offset = log.record(18, b"")
    assert one(log) == Exit(offset, 0, None, False)


def test_an_exit_record_has_code_runtime_and_whether_others_go_on(log_writer: Any) -> None:
    log = log_writer()
    offset = log.record(18, log.varint_field(1, -2) + log.varint_field(2, 60) + log.varint_field(3, 1))
    assert one(log) == Exit(offset, -2, 60.0, True)


@pytest.mark.parametrize(("kind", "mark"), [(21, "header"), (20, "closed"), (22, "closed"), (23, "preempting")])
def test_marks(log_writer: Any, kind: int, mark: Any) -> None:
    log = log_writer()
    offset = log.record(kind, b"")
    assert one(log) == Mark(offset, mark)


def test_an_alert(log_writer: Any) -> None:
    log = log_writer()
    offset = log.record(10, log.field(1, b"title") + log.field(2, b"text") + log.field(3, b"WARN"))
    assert one(log) == Alert(offset, "title", "text", "WARN")


def test_definitions_name_keys_as_rows_do(log_writer: Any) -> None:
    log = log_writer()
    summary = log.field(7, log.varint_field(2, 1) + log.varint_field(1, 1) + log.varint_field(5, 0))
    hidden = log.field(6, log.varint_field(2, 1))
    log.record(12, log.field(1, rb"opt\.lr.x") + log.field(4, b"epoch") + hidden + summary + log.varint_field(8, 2))
    log.record(12, log.field(2, b"val/*"))
    assert read(bytes(log.data)) == [
        Definition(
            key="opt\\.lr.x", step_key="epoch", goal="maximize", summary=("min", "max"), hidden=True, glob=False
        ),
        Definition(key="val/*", glob=True),
    ]


def test_launch_parameters_of_016_are_no_environment(log_writer: Any) -> None:
    log = log_writer()
    log.record(26, log.field(1, log.field(1, b"model")))
    assert read(bytes(log.data)) == []


def test_records_of_kinds_unknown_here_say_nothing(log_writer: Any) -> None:
    log = log_writer()
    log.record(99, b"anything")
    log.record(6, b"\xff\xff")
    assert read(bytes(log.data)) == []


def test_summary_changes_of_one_feed_are_few_patches_with_the_same_end(log_writer: Any, told: Any) -> None:
    log = log_writer()
    log.summary({"a": 1, ("n", "x"): 1})
    log.summary({"n": {"y": 2}, "a": 2})
    log.summary({("n", "z"): 3}, removes=["a", ("n", "y")])
    log.summary({"a": 4})
    batches = read(bytes(log.data))
    assert len(batches) == 2
    assert told(batches).trees["summary"] == {"n": {"z": 3}, "a": 4}


def test_damage_says_how_many_records_it_cost(log_writer: Any) -> None:
    log = log_writer()
    for step in range(100):
        log.history({"_step": step, "note": "x" * 900})
    data = bytearray(log.data)
    data[log.spans[10][0] + 100] ^= 1
    batches = read(bytes(data))
    lost = next(batch for batch in batches if isinstance(batch, Damage))
    following = next(start for start, _ in log.spans if start >= 32768)
    count = sum(1 for start, _ in log.spans if log.spans[10][0] <= start < following)
    assert lost == Damage(log.spans[10][0], following - log.spans[10][0], f"bad checksum, {count} records lost")
    assert sum(len(batch.offsets) for batch in batches if isinstance(batch, Rows)) == 100 - count


def test_a_long_log_with_damage_reads_alike_in_large_and_small_pieces(log_writer: Any, told: Any) -> None:
    log = log_writer()
    for step in range(4000):
        values = {"_step": step, "_timestamp": 1.5e9 + step / 8, "loss": 1 / (step + 1), ("opt", "lr"): step * 1e-6}
        log.history(values if step % 7 else {**values, "note": f"step {step}", "nan": b"NaN", ("m", "_type"): "t"})
        log.summary(values)
        if step % 50 == 0:
            log.console(f"step {step}\n")
    data = bytearray(log.data)
    assert len(data) > 3 << 18
    for at in (100_000, 500_000, 700_001):
        data[at] ^= 16
    whole = told(read(bytes(data)))
    reader = WANDB.reader()
    small = [batch for at in range(0, len(data), 9_999) for batch in reader.feed(data[at : at + 9_999])]
    assert len(whole.damage) == 3
    assert whole.picture() == told(small).picture()


def test_a_record_that_is_no_message_is_damage_and_keeps_nothing(log_writer: Any) -> None:
    log = log_writer()
    log.history({"_step": 0})
    good = log.item("a", 1)
    start = log.raw(log.field(2, log.field(1, good) + b"\x0a\x7f"))
    log.history({"_step": 1})
    damage, rows = read(bytes(log.data))
    assert damage == Damage(start, log.spans[1][1] - start - 7, "unreadable record")
    assert (rows.steps.tolist(), rows.columns) == ([0, 1], ())


def test_shared_mode_rows_have_no_step(log_writer: Any) -> None:
    log = log_writer()
    log.history({"a": 1})
    assert one(log).steps.tolist() == [NO_STEP]


def test_a_resume_is_small_and_between_records(log_writer: Any) -> None:
    log = log_writer()
    for step in range(1000):
        log.history({"_step": step, "a": 0.5})
    reader = WANDB.reader()
    reader.feed(bytes(log.data[:-3]))
    assert reader.resume.offset == log.spans[-1][0]
    assert len(reader.resume.state) < 32
    (rows,) = WANDB.reader(reader.resume).feed(bytes(log.data[reader.resume.offset :]))
    assert isinstance(rows, Rows)
    assert rows.steps.tolist() == [999]


def test_a_row_or_text_asked_for_where_another_record_stands_is_refused(log_writer: Any) -> None:
    log = log_writer()
    row = log.history({"_step": 1})
    line = log.console("hi")
    assert WANDB.row(bytes(log.data[row:]), row, Resume()) == (1, pytest.approx(math.nan, nan_ok=True), {})
    assert WANDB.text(bytes(log.data[line:]), line, Resume()) == (1.5, False, "hi")
    with pytest.raises(ValueError, match="no row"):
        WANDB.row(bytes(log.data[line:]), line, Resume())
    with pytest.raises(ValueError, match="no console chunk"):
        WANDB.text(bytes(log.data[row:]), row, Resume())


def test_a_log_is_known_by_its_name_or_its_first_bytes() -> None:
    assert choose("run-x.wandb", b"") is WANDB
    assert choose("run-x.wandb", b"other") is WANDB
    assert choose("copy.bin", b":W&B\xe1\xbe\x00") is WANDB
    assert choose("copy.bin", b"") is None


def test_console_chunks_of_all_kinds(log_writer: Any, told: Any) -> None:
    log = log_writer()
    first = log.console("out\n", 1.25)
    second = log.console("err", 2, stderr=True)
    third = log.record(4, log.varint_field(1, 1) + log.field(3, b"old"), numbered=False)
    fourth = log.record(27, log.field(1, b"logger"))
    chunks = told(read(bytes(log.data))).console
    assert [(at, err, size) for at, _, err, size in chunks] == [
        (first, False, 4),
        (second, True, 3),
        (third, False, 3),
        (fourth, False, 6),
    ]


@given(st.lists(st.binary(max_size=200) | st.binary(max_size=60).map(lambda body: b"\x12" + bytes([len(body)]) + body)))
def test_no_record_raises(payloads: list[bytes]) -> None:
    data = bytearray(b":W&B\xe1\xbe\x00")
    for payload in payloads:
        data += crc32(b"\x01" + payload).to_bytes(4, "little") + len(payload).to_bytes(2, "little") + b"\x01" + payload
    read(bytes(data[:32760]))


@given(st.lists(st.integers(0, 98304), max_size=12))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_real_log_reads_alike_in_any_pieces(told: Any, cuts: list[int]) -> None:
    (path,) = FIXTURES.glob("0.31.0-killall/wandb/*run-*/*.wandb")
    data = path.read_bytes()
    reader = WANDB.reader()
    pieces = (data[start:end] for start, end in pairwise([0, *sorted(cuts), len(data)]))
    split = told([batch for piece in pieces for batch in reader.feed(piece)])
    assert split.picture() == told(read(data)).picture()
