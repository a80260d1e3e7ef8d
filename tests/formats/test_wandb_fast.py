"""The bulk path reads what the general reader reads, never more than is whole and good, and never raises."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runwised.formats import WANDB
from runwised.formats.blocklog import BlockLog, Framed, guess_origin
from runwised.formats.record import NO_STEP, Batch, Patch, Rows
from runwised.formats.wandb_batches import Batches
from runwised.formats.wandb_fast import harvest
from runwised.formats.wandb_records import open_record

FIXTURES = Path(__file__).parents[1] / "fixtures" / "wandb"
LOGS = sorted(FIXTURES.glob("*/wandb/*run-*/run-*.wandb"))
GO_WRITER = [log for log in LOGS if not log.relative_to(FIXTURES).parts[0].startswith(("0.12", "0.16"))]
HEADER_BYTES = 7

share_fixtures = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def framed(data: bytes, origin: int = 0) -> list[Framed]:
    """The whole records before the first damage."""
    log = BlockLog(HEADER_BYTES, origin)
    log.feed(data[HEADER_BYTES:])
    records = []
    while found := log.take(1 << 30):
        for each in found:
            if not isinstance(each, Framed):
                return records
            records.append(each)
    return records


def decoded(records: Sequence[tuple[int, bytes]]) -> list[Batch]:
    """What the general reader makes of records."""
    batches = Batches()
    for offset, payload in records:
        batches.add(open_record(payload), offset)
    return batches.take()


def agree(told: Any, data: bytes, origin: int = 0) -> int:
    """Bytes of the log read in bulk, after making sure that they give what the general reader makes of them."""
    found = harvest(memoryview(data)[HEADER_BYTES:], HEADER_BYTES, origin)
    if found is None:
        return 0
    records = framed(data, origin)
    consumed = [record for record in records if record.offset < HEADER_BYTES + found.consumed]
    ends = [record.offset for record in records[len(consumed) :]] or [len(data)]
    assert found.consumed > 0
    assert HEADER_BYTES + found.consumed <= ends[0]
    assert found.last_num == open_record(consumed[-1].payload).num
    assert told([*found.batches, *decoded(found.rest)]).picture() == told(decoded(consumed)).picture()
    return found.consumed


def plain_rows(log: Any, count: int, first: int = 0) -> None:
    """Rows as the Go writer writes them, summary changes before each, keys in changing order."""
    for step in range(first, first + count):
        values = {"_step": step, "_timestamp": 1.7e9 + step / 7, "loss": 1 / (step + 1), "lr": 3e-4, "epoch": step // 9}
        turned = dict([*values.items()][step % 5 :] + [*values.items()][: step % 5])
        log.summary({("_wandb", "runtime"): step, "_runtime": step})
        log.summary(turned)
        log.history(turned, step)


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.relative_to(FIXTURES).parts[0])
def test_every_fixture_reads_as_by_the_general_reader(told: Any, path: Path) -> None:
    data = path.read_bytes()
    agree(told, data, guess_origin(data[: 1 << 16]))


@pytest.mark.parametrize("path", GO_WRITER, ids=lambda path: path.relative_to(FIXTURES).parts[0])
def test_what_the_go_writer_wrote_is_read_to_the_last_whole_record(told: Any, path: Path) -> None:
    data = path.read_bytes()
    origin = guess_origin(data[: 1 << 16])
    last = framed(data, origin)[-1]
    assert HEADER_BYTES + agree(told, data, origin) >= last.offset + len(last.payload)


PATHS: list[Any] = [
    "loss", "acc", "a", "", "x.y", "x", "ключ", "back\\slash", "with\nline", 'quo"te', "k" * 100, "k" * 126, "k" * 140,
    "train/layer/0/weight", "train/layer/1/weight",
    ("n", "a"), ("n", "b"), ("n", "b2", "c"), ("m", "_type"), ("m", "x"),
]  # fmt: skip
TEXTS = [
    b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400", b"-0", b"-0.0", b"0", b"1E5", b"1e-400", b"", b"01", b"1,2",
    b"[1]", b"{}", b'{"p": {"q": 1.5}, "r": 2}', b'{"_type": "image-file", "path": "x"}', b"true", b"false", b"null",
    b"nul", b"NaNs", b"-", b' 1', b"9007199254740993", b"18446744073709551617", b"123456789012345678901234567890",
    b'"1.5"', b'"\\u00e9"', b'"unended', "\"é\"".encode(), b"2.2250738585072011e-308", b"1.7976931348623157e308",
]  # fmt: skip
values = st.one_of(
    st.floats(),
    st.integers(-(2**70), 2**70),
    st.floats().map(lambda number: b"%.40f" % number),
    st.text(max_size=200),
    st.sampled_from(TEXTS),
)
times = st.one_of(st.floats(0, 2e9), st.sampled_from([b"NaN", b'"x"', 17]))
steps = st.one_of(st.integers(-3, 2**60), st.sampled_from([b"3.0", b"3.5", b"1e3", b'"4"', b"null", 2**63, 2**53]))
rows = st.fixed_dictionaries(
    {"loss": st.floats(0, 9)},
    optional={"_step": steps, "_timestamp": times, **dict.fromkeys(PATHS[1:], values)},
)


class TestRandomLogs:
    """Logs of few kinds of rows, repeated, with whatever else between them."""

    @share_fixtures
    @given(
        shapes=st.lists(st.tuples(rows, st.booleans(), st.none() | st.integers(0, 2**40)), min_size=1, max_size=4),
        order=st.lists(st.integers(0, 6), max_size=60),
        changes=st.lists(
            st.tuples(
                st.dictionaries(st.sampled_from(PATHS), values, max_size=4),
                st.lists(st.sampled_from(["loss", "n", "ключ", "m"]), max_size=1),
            ),
            min_size=1,
            max_size=4,
        ),
        regular=st.integers(0, 12),
    )
    def test_whatever_is_logged(
        self, log_writer: Any, told: Any, shapes: Any, order: list[int], changes: Any, regular: int
    ) -> None:
        log = log_writer()
        plain_rows(log, regular)
        for at, kind in enumerate(order):
            if kind < 3:
                row, nested, step = shapes[(at + kind) % len(shapes)]
                paths_as_keys = {"/".join(path) if isinstance(path, tuple) else path: row[path] for path in row}
                log.history(row if nested else paths_as_keys, step, nested=nested)
            elif kind < 5:
                log.summary(*changes[at % len(changes)])
            elif kind == 5:
                log.console("line\n")
            else:
                plain_rows(log, 1, first=at)
        agree(told, bytes(log.data))

    @share_fixtures
    @given(numbers=st.lists(st.floats() | st.integers(-(2**80), 2**80), min_size=1, max_size=50))
    def test_numbers_are_those_of_json(self, log_writer: Any, numbers: list[float]) -> None:
        log = log_writer()
        for step, number in enumerate(numbers):
            log.history({"_step": step, "x": number})
        found = harvest(memoryview(log.data)[HEADER_BYTES:], HEADER_BYTES, 0)
        assert found is not None
        (batch,) = found.batches
        assert isinstance(batch, Rows)
        (column,) = batch.columns
        expected = [float(json.loads(json.dumps(number))) for number in numbers]
        packed = struct.pack(f"<{len(expected)}d", *[math.nan if math.isnan(number) else number for number in expected])
        assert column.values.tobytes() == packed

    @share_fixtures
    @given(data=st.binary(max_size=300), origin=st.sampled_from([0, 7]), offset=st.integers(7, 70000))
    def test_any_bytes_are_read_without_an_exception(self, data: bytes, origin: int, offset: int) -> None:
        found = harvest(memoryview(data), offset, origin)
        assert found is None or 0 < found.consumed <= len(data)

    @share_fixtures
    @given(payloads=st.lists(st.binary(max_size=60) | st.binary(max_size=60).map(lambda tail: b"\x12" + tail)))
    def test_good_chunks_of_any_bytes_are_read_without_an_exception(
        self, log_writer: Any, payloads: list[bytes]
    ) -> None:
        log = log_writer()
        plain_rows(log, 2)
        good = len(log.data) - HEADER_BYTES
        for payload in payloads:
            log.num += 1
            log.raw(log_writer.varint_field(1, log.num) + payload)
        found = harvest(memoryview(log.data)[HEADER_BYTES:], HEADER_BYTES, 0)
        assert found is not None
        assert found.consumed >= good


def test_a_cut_anywhere_leaves_the_whole_records_before_it(log_writer: Any, told: Any) -> None:
    log = log_writer()
    plain_rows(log, 2)
    log.record(6, bytes(range(1, 256)) * 122)
    plain_rows(log, 8)
    log.console("é" * 300)
    data = bytes(log.data)
    assert any(start < 32768 < end for start, end in log.spans[7:])
    for cut in range(32768 - 700, len(data), 3):
        whole = max(end for _, end in log.spans if end <= cut)
        found = harvest(memoryview(data)[HEADER_BYTES:cut], HEADER_BYTES, 0)
        assert found is not None
        assert found.consumed == whole - HEADER_BYTES
    agree(told, data)


def test_every_flipped_bit_ends_the_piece_before_its_record(log_writer: Any) -> None:
    log = log_writer()
    plain_rows(log, 2)
    log.record(6, bytes(range(1, 256)) * 123)
    plain_rows(log, 5)
    data = bytearray(log.data)
    assert len(data) > 32768 + 300
    for offset in range(32768 - 700, len(data)):
        data[offset] ^= 1 << offset % 8
        found = harvest(memoryview(data)[HEADER_BYTES:], HEADER_BYTES, 0)
        data[offset] ^= 1 << offset % 8
        assert found is not None
        touched = [start for start, end in log.spans if start <= offset < end]
        good = [end for _, end in log.spans if not touched or end <= touched[0]]
        assert HEADER_BYTES + found.consumed == good[-1]


def test_two_chunks_whose_checksums_are_exchanged_are_both_refused(log_writer: Any) -> None:
    log = log_writer()
    plain_rows(log, 4)
    (first, _), (second, _) = log.spans[3], log.spans[6]
    data = bytearray(log.data)
    data[first : first + 4], data[second : second + 4] = data[second : second + 4], data[first : first + 4]
    found = harvest(memoryview(data)[HEADER_BYTES:], HEADER_BYTES, 0)
    assert found is not None
    assert found.consumed == first - HEADER_BYTES


@pytest.mark.parametrize("origin", [0, 7])
def test_a_piece_may_begin_at_any_record(log_writer: Any, told: Any, origin: int) -> None:
    log = log_writer(origin=origin)
    plain_rows(log, 150)
    data = bytes(log.data)
    assert len(data) > 32768
    records = framed(data, origin)
    for at in range(0, len(records), 13):
        start = records[at].offset
        for offset in (start, log.spans[at - 1][1] if at else start):
            found = harvest(memoryview(data)[offset:], offset, origin)
            assert found is not None
            assert offset + found.consumed == len(data)
            assert told([*found.batches, *decoded(found.rest)]).picture() == told(decoded(records[at:])).picture()


def test_columns_are_whole_sparse_or_mixed_as_they_were_logged(log_writer: Any, told: Any) -> None:
    log = log_writer()
    for step in range(3000):
        row: dict[Any, Any] = {"_step": step, "_timestamp": step + 0.5, "loss": step / 8}
        if step % 10 == 3:
            row |= {"eval/loss": step, "phase": "eval"}
        if step % 700 == 5:
            row |= {("img", "_type"): "image-file", ("img", "path"): f"{step}.png", "late": 1}
        if step % 100 == 50:
            row["loss"] = b"NaN"
        if step % 1000 == 999:
            row["loss"] = "broken"
        log.history(row, step)
    assert agree(told, bytes(log.data)) == len(log.data) - HEADER_BYTES
    found = harvest(memoryview(log.data)[HEADER_BYTES:], HEADER_BYTES, 0)
    assert found is not None
    (batch,) = found.batches
    assert isinstance(batch, Rows)
    columns = {column.key: column for column in batch.columns}
    assert columns["loss"].rows is not None
    assert len(columns["loss"].values) == 2997
    assert columns["eval/loss"].values.tolist() == [float(step) for step in range(3000) if step % 10 == 3]
    others = {other.key: other for other in batch.others}
    assert others["img"].rows.tolist() == [5, 705, 1405, 2105, 2805]
    assert (others["loss"].kind, others["loss"].last) == ("string", b'"broken"')


def test_a_table_of_many_hundred_keys_is_read(log_writer: Any, told: Any) -> None:
    log = log_writer()
    for step in range(12):
        log.history(
            {"_step": step} | {f"layers.{at}.attention.weight_norm": at / (step + 1) for at in range(700)}, step
        )
    assert agree(told, bytes(log.data)) == len(log.data) - HEADER_BYTES


def test_rows_without_a_step_of_their_own_have_none(log_writer: Any, told: Any) -> None:
    log = log_writer()
    for step in range(20):
        log.history({"_timestamp": 5.0, "a": step}, 7 if step == 4 else None)
    agree(told, bytes(log.data))
    found = harvest(memoryview(log.data)[HEADER_BYTES:], HEADER_BYTES, 0)
    assert found is not None
    (batch,) = found.batches
    assert isinstance(batch, Rows)
    assert batch.steps.tolist() == [7 if step == 4 else NO_STEP for step in range(20)]


def test_what_the_user_puts_into_the_summary_stays_whatever_is_logged_after_it(log_writer: Any) -> None:
    log = log_writer()
    plain_rows(log, 500)
    log.summary({"best": 0.25, ("n", "a"): 1, "gone": 1})
    plain_rows(log, 500, first=500)
    log.summary({("n", "a"): 2}, removes=["gone"])
    plain_rows(log, 500, first=1000)
    found = harvest(memoryview(log.data)[HEADER_BYTES:], HEADER_BYTES, 0)
    assert found is not None
    first, second = (batch for batch in found.batches if isinstance(batch, Patch))
    assert dict(first.sets)[("best",)] == 0.25
    assert dict(first.sets)[("n", "a")] == 2
    assert first.removes == [("gone",)]
    assert ("best",) not in dict(second.sets)
    assert dict(second.sets)[("_step",)] == 1499


def test_many_odd_summary_records_keep_their_order(log_writer: Any, told: Any) -> None:
    log = log_writer()
    for step in range(300):
        plain_rows(log, 1, first=step)
        log.summary({"loss": "x" * 150, ("n", str(step % 3)): step}, removes=["lr"] if step % 40 == 9 else [])
    assert agree(told, bytes(log.data)) == len(log.data) - HEADER_BYTES


@pytest.mark.parametrize("broken", [b"\x12\x05\x0a\x03\x12", b"\x1a\x04\x12\x02\x0a\x09", b"\x8a\x01\x03\x2a\x01\x00"])
def test_it_stops_before_a_record_only_the_general_reader_may_judge(log_writer: Any, broken: bytes) -> None:
    log = log_writer()
    plain_rows(log, 3)
    log.num += 1
    offset = log.raw(log_writer.varint_field(1, log.num) + broken)
    plain_rows(log, 3)
    found = harvest(memoryview(log.data)[HEADER_BYTES:], HEADER_BYTES, 0)
    assert found is not None
    assert found.consumed == offset - HEADER_BYTES


def test_it_stops_where_record_numbers_jump(log_writer: Any) -> None:
    log = log_writer()
    plain_rows(log, 3)
    log.num += 1
    stop = len(log.data)
    plain_rows(log, 3)
    found = harvest(memoryview(log.data)[HEADER_BYTES:], HEADER_BYTES, 0)
    assert found is not None
    assert HEADER_BYTES + found.consumed == stop
    assert found.last_num == 9


def test_logs_it_is_not_for_are_left_alone(log_writer: Any) -> None:
    log = log_writer()
    for step in range(20):
        log.history({"_step": step, "h": {"_type": "histogram", "bins": [1] * 70}}, step)
    assert harvest(memoryview(log.data)[HEADER_BYTES:], HEADER_BYTES, 0) is None
    unnumbered = log_writer()
    unnumbered.record(2, log_writer.field(1, log_writer.item("a", 1)), numbered=False)
    assert harvest(memoryview(unnumbered.data)[HEADER_BYTES:], HEADER_BYTES, 0) is None


@pytest.mark.parametrize("size", [1 << 30, 300_000, 1_000_001])
def test_a_reader_tells_of_a_large_log_what_the_records_say_whatever_the_pieces(
    log_writer: Any, told: Any, size: int
) -> None:
    log = log_writer()
    log.record(21, b"")
    plain_rows(log, 1500)
    log.console("half way\n")
    log.history({"_step": 1500, ("m", "_type"): "table-file", ("m", "nrows"): 2, "text": "y" * 300})
    plain_rows(log, 1500, first=1501)
    log.record(18, b"")
    data = bytes(log.data)
    reader = WANDB.reader()
    batches = [batch for start in range(0, len(data), size) for batch in reader.feed(data[start : start + size])]
    assert told([*batches, *reader.close()]).picture() == told(decoded(framed(data))).picture()
