"""JSON-lines logs: every line as it is, step and time by the program's own keys, many lines at once as one by one."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runwised.formats import choose
from runwised.formats.jsonl import JSONL, JsonlReader
from runwised.formats.jsonl_axes import Axes
from runwised.formats.jsonl_bulk import decode_block
from runwised.formats.jsonl_shape import NO_SHAPE
from runwised.formats.line_blocks import LineBlock
from runwised.formats.record import NO_HINTS, NO_STEP, Damage, Hints, Resume, Rows

LOGS = Path(__file__).parent.parent / "fixtures" / "logs"


def lines(*rows: Any) -> bytes:
    return b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows)


def steps(told: Any) -> list[int]:
    return [row[1] for row in told.history]


def values(told: Any) -> list[dict[str, Any]]:
    return [
        {key: number if number in ("other", "nan") else float.fromhex(number) for key, number in row[3].items()}
        for row in told.history
    ]


@pytest.fixture
def read(told: Any) -> Any:
    def read(data: bytes, hints: Hints = NO_HINTS) -> Any:
        reader = JSONL.reader(hints=hints)
        return told([*reader.feed(data), *reader.close()])

    return read


# Truth


def points(told_points: dict[str, list[tuple[int, float]]], key: str) -> tuple[list[int], list[Any]]:
    found = told_points.get(key, [])
    return [step for step, _ in found], [shown(value) for _, value in found]


def shown(value: float) -> Any:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def runs(case: str) -> list[tuple[str, dict[str, Any]]]:
    truth = json.loads((LOGS / case / "truth.json").read_text(encoding="utf-8"))
    return [(f"{case}/{name}", run) for name, run in truth["runs"].items()]


@pytest.mark.parametrize(
    ("log", "truth"), [run for case in ("jsonl_basic", "jsonl_restart_torn", "jsonl_variants") for run in runs(case)]
)
def test_real_logs_are_read_exactly(read: Any, log: str, truth: dict[str, Any]) -> None:
    seen = read((LOGS / log).read_bytes())
    assert set(seen.served) == set(truth["series"])
    for key, series in truth["series"].items():
        assert points(seen.served, key) == (series["steps"], series["values"])
    for key, series in truth.get("raw", {}).items():
        assert points(seen.logged, key) == (series["steps"], series["values"])
    assert len(seen.damage) == truth.get("bad_lines", 0)


def test_a_growing_log_shows_exactly_its_whole_rows(told: Any) -> None:
    truth = json.loads((LOGS / "jsonl_basic" / "truth.json").read_text(encoding="utf-8"))
    data = (LOGS / "jsonl_basic" / truth["growth_file"]).read_bytes()
    reader, seen, fed = JSONL.reader(), told(), 0
    for length, rows in truth["growth"]:
        for batch in reader.feed(data[fed:length]):
            seen.add(batch)
        fed = length
        assert len(seen.history) == rows
    assert not seen.damage


def test_real_logs_are_recognised() -> None:
    for log in LOGS.glob("jsonl_*/**/*.jsonl"):
        head = log.read_bytes()[:4096]
        assert choose(log.name, head) is (JSONL if head else None)


# Lines


def test_a_row_glued_to_another_is_a_row_of_its_own(read: Any) -> None:
    data = lines(b'{"step": 1, "a": 1}{"step": 2, "a": 2} {"step": 3, "a": NaN}')
    seen = read(data)
    assert [(row[0], row[1]) for row in seen.history] == [(0, 1), (19, 2), (39, 3)]
    assert not seen.damage


def test_a_row_glued_to_a_torn_one_is_found(read: Any) -> None:
    torn = b'{"step": 120, "lo{"step": 100, "perf": {"tps": 3}}'
    seen = read(lines({"step": 119, "loss": 1}, torn, {"step": 101, "loss": 2}))
    assert steps(seen) == [119, 100, 101]
    assert values(seen)[1] == {"perf.tps": 3}
    assert [(damage.offset, damage.length) for damage in seen.damage] == [(25, 17)]


def test_a_value_of_a_torn_row_is_no_row(read: Any) -> None:
    seen = read(lines({"step": 1, "loss": 1}, b'{"step": 2, "perf": {"tps": 3}', b'{"step": 3, "x": {"step": 4}'))
    assert steps(seen) == [1, 4]


def test_rows_of_one_line_are_read_back_from_their_own_offsets() -> None:
    data = lines(b'{"step": 1, "a": 1}{"step": 7, "lo{"step": 2, "a": 2}', {"step": 3, "a": 3})
    reader = JSONL.reader()
    (rows, *_) = reader.feed(data)
    assert isinstance(rows, Rows)
    assert rows.steps.tolist() == [1, 2, 3]
    for offset, step in zip(rows.offsets.tolist(), rows.steps.tolist(), strict=True):
        row = JSONL.row(data[offset:], offset, reader.resume)
        assert row is not None
        assert (row.step, row.values) == (step, {"a": step})
    with pytest.raises(ValueError, match="no JSON object"):
        JSONL.row(data[3:], 3, reader.resume)
    with pytest.raises(ValueError, match="no console"):
        JSONL.text(data, 0, reader.resume)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (
            b'{"a": NaN, "b": -Infinity, "c": 1e400, "d": -1e400}',
            {"a": "nan", "b": -math.inf, "c": math.inf, "d": -math.inf},
        ),
        (
            b'{"a": "NaN", "b": {"c": "-Infinity", "d":"Infinity"}, "e": "nan", "f": ["NaN"]}',
            {"a": "nan", "b.c": -math.inf, "b.d": math.inf, "e": "other", "f": "other"},
        ),
        (b'{"a": 18446744073709551617, "b": 9007199254740993}', {"a": 2.0**64, "b": 2.0**53}),
        (b'{"a": 1' + b"0" * 400 + b', "b": -' + b"9" * 10_000 + b"}", {"a": math.inf, "b": -math.inf}),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b'{"a.b": 1, "a": {"b": 2, "": {"c": 3}}, "e": {}}', {"a\\.b": 1, "a.b": 2, "a..c": 3}),
        (b'{"a": null, "b": "x", "c": true, "d": [1], "e": "1.5"}', dict.fromkeys("abcde", "other")),
        (b'{"a": {"_type": "histogram", "bins": [1]}}', {"a": "other"}),
        (b'{"a": 1, "\\ud800": 2, "b": "\xff\xfe"}', {"a": 1, "\ufffd": 2, "b": "other"}),
        (b' \t{"a": 1}\t \r', {"a": 1}),
        (b'{"a": "tab\there", "b": 1}', {"a": "other", "b": 1}),
        (b"{}", {}),
    ],
)
def test_odd_values_are_read(read: Any, line: bytes, found: dict[str, Any]) -> None:
    seen = read(lines(line))
    assert values(seen) == [found]
    assert not seen.damage


@pytest.mark.parametrize(
    "line",
    [
        b"prose",
        b"[1, 2]",
        b"17",
        b"{'a': 1}",
        b'{"a": 1,}',
        b'{"a": 1',
        b"{" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"a": ' + b"[" * 65 + b"]" * 65 + b"}",
        b'{"a": ' + b"[" * 900 + b"NaN" + b"]" * 900 + b"}",
        b'{"' * 100_000,
        b"\x00" * 512,
        b"\xff\xfe{\x00}\x00",
        b"{" + b", ".join(b'"k%d": 1' % n for n in range(20_000)) + b"}",
    ],
    ids=lambda line: line[:12].decode("latin-1"),
)
def test_what_is_no_row_is_damage_of_just_that_line(read: Any, line: bytes) -> None:
    seen = read(lines({"step": 1, "a": 1}, line, {"step": 2, "a": 2}))
    assert steps(seen) == [1, 2]
    assert [(damage.offset, damage.length) for damage in seen.damage] == [(21 - 1, len(line) + 1)]


def test_a_byte_order_mark_and_blank_lines_are_nothing(read: Any) -> None:
    seen = read(b"\xef\xbb\xbf" + lines({"step": 1, "a": 1}, b"", b" \r", {"step": 2, "a": 2}))
    assert [row[0] for row in seen.history] == [3, 27]
    assert not seen.damage


def test_blank_lines_between_many_rows_are_nothing(read: Any) -> None:
    row = b'{"step": 1, "a": 1}'
    seen = read(b"".join(row + blank for blank in (b"\n", b"\n\n", b"\r\n\r\n", b"\n  \n") * 100))
    assert [row for row, *_ in seen.history[:5]] == [0, 20, 41, 64, 87]
    assert len(seen.history) == 400
    assert not seen.damage
    assert not read(lines({"step": 1, "a": 1}) * 20 + b"\n" * 5000).damage


def test_of_a_line_without_end_little_is_held() -> None:
    reader, piece = JSONL.reader(), b"x" * (1 << 20)
    batches = [batch for _ in range(50) for batch in reader.feed(piece)]
    batches += reader.feed(b'"}\n' + lines({"step": 1, "a": 1}))
    assert [type(batch).__name__ for batch in batches] == ["Damage", "Rows"]
    assert isinstance(batches[0], Damage)
    assert batches[0].length == 50 * len(piece) + 3


def test_a_long_row_is_read_and_a_longer_one_is_damage(read: Any) -> None:
    rows = [{"step": n, "note": "x" * size} for n, size in enumerate((10, 3 << 20, 5 << 20, 10))]
    seen = read(lines(*rows))
    assert steps(seen) == [0, 1, 3]
    assert [damage.reason for damage in seen.damage] == ["line longer than 4 MiB"]


# Steps and times


def test_a_step_key_is_no_metric_and_others_beside_it_are(read: Any) -> None:
    seen = read(lines({"epoch": 0, "step": 5.0, "iter": 7, "ts": 1.7e12, "time": 0.5, "loss": 1}))
    assert steps(seen) == [5]
    assert values(seen) == [{"epoch": 0, "iter": 7, "time": 0.5, "loss": 1}]
    assert float.fromhex(seen.history[0][2]) == 1.7e9


def test_a_better_step_key_of_one_of_the_first_rows_takes_over(read: Any) -> None:
    seen = read(lines({"epoch": 3, "val": 1}, *({"epoch": 3, "step": n, "loss": 1} for n in range(3))))
    assert steps(seen) == [3, 0, 1, 2]
    assert values(seen)[1] == {"epoch": 3, "loss": 1}


def test_a_hinted_key_is_the_step_whenever_it_comes(read: Any) -> None:
    rows = [{"step": n, "count": {"seen": 10 * n}} if n > 100 else {"step": n, "loss": n} for n in range(200)]
    seen = read(lines(*rows), Hints(step_key="count.seen"))
    assert steps(seen) == [*range(101), *range(1010, 2000, 10)]


def test_rows_without_a_step_are_numbered_by_the_index(read: Any) -> None:
    assert steps(read(lines(*({"loss": n} for n in range(100))))) == [NO_STEP] * 100


def test_a_step_that_stands_still_does_not_count_until_it_moves(read: Any) -> None:
    rows = [{"step": max(n - 100, 0), "loss": n} for n in range(200)]
    seen = read(lines(*rows))
    assert steps(seen) == [0, *[NO_STEP] * 100, *range(1, 100)]
    assert all(set(row) == {"loss"} for row in values(seen))


def test_an_epoch_with_many_rows_is_a_metric(read: Any) -> None:
    rows = [{"epoch": n // 10, "loss": n} for n in range(100)]
    seen = read(lines(*rows))
    assert steps(seen) == [0, *[NO_STEP] * 99]
    assert [row.get("epoch") for row in values(seen)[1:]] == [n // 10 for n in range(1, 100)]


def test_every_row_is_read_back_as_it_was_delivered_when_its_step_did_not_count(told: Any) -> None:
    for rows in (
        [{"epoch": n // 10, "loss": n} for n in range(100)],
        [{"step": max(n - 80, 0), "loss": n} for n in range(200)],
        [
            {"epoch": n, "val": n} if n < 3 else {"step": n, "epoch": n, "time": "2026-01-02T03:04:05Z"}
            for n in range(99)
        ],
    ):
        data = lines(*rows)
        reader = JSONL.reader()
        for offset, step, time, found in told(reader.feed(data)).history:
            row = JSONL.row(data[offset:], offset, reader.resume)
            assert row is not None
            assert (row.step, set(row.values)) == (step, set(found))
            assert math.isnan(row.time) == (time == "nan")


def test_steps_beyond_float64_are_exact(read: Any) -> None:
    first = 2**53 + 1
    assert steps(read(lines(*({"step": first + n, "loss": 1} for n in range(200))))) == [first + n for n in range(200)]


def test_a_value_that_is_no_step_or_time_stays_a_metric(read: Any) -> None:
    rows = [{"step": n + (0.5 if n % 7 == 6 else 0), "time": 1.7e9 if n % 5 else 3.0, "a": 1} for n in range(200)]
    seen = read(lines(*rows))
    assert steps(seen) == [NO_STEP if n % 7 == 6 else n for n in range(200)]
    assert ["step" in row for row in values(seen)] == [n % 7 == 6 for n in range(200)]
    assert ["time" in row for row in values(seen)] == [n % 5 == 0 for n in range(200)]


# Many lines at once

SCALARS: st.SearchStrategy[Any] = (
    st.floats(width=64)
    | st.integers(-(2**70), 2**70)
    | st.integers(-3, 3)
    | st.sampled_from(["NaN", "Infinity", "-Infinity", "nan"])
    | st.sampled_from([None, True, "x", "12", "2026-01-02T03:04:05", "é\ud800", [1, 2.5], [[1]], [], {}, -0.0])
)
KEYS = st.sampled_from(["step", "epoch", "time", "loss", "a.b", 'q"', "_type", "", "n", "m"])
OBJECTS = st.dictionaries(KEYS, SCALARS | st.dictionaries(KEYS, SCALARS, max_size=3), max_size=5)
ODD_LINES = OBJECTS.map(lambda row: json.dumps(row).encode()) | st.sampled_from(
    [
        b"",
        b" \r",
        b"{}",
        b"prose",
        b'{"a":1}{"step":5,"loss":2}',
        b'{"step": 120, "lo{"step": 100, "loss": 3}',
        b'{"loss":',
        b"1}",
        b'{"loss":{',
        b"{}}",
        b'{"loss": -0}',
        b'{"loss": 1e400, "step": 1e3}',
        b'{"loss": 1, "loss": "x"}',
        b'{"loss": "x", "loss": 1}\r',
        b'\t{"loss": 2}',
        b'{"loss": 01}',
        b'{"note": "\xff"}',
        b'{"note": "\x01"}',
        b'{"m": {"loss": 1}, "m": {"n": 2}}',
        b'{"n": ' + b"[" * 70 + b"]" * 70 + b"}",
        b'{"loss": 123456789012345678901234567890123456789}',
    ]
)


@st.composite
def logs(draw: st.DrawFn) -> list[bytes]:
    """Lines that mostly have one of two shapes, and some odd ones."""
    usual = draw(st.lists(OBJECTS, min_size=1, max_size=2))
    odd = draw(st.lists(ODD_LINES, max_size=6))
    count = draw(st.integers(90, 260))
    places = {place: draw(st.sampled_from(odd)) for place in draw(st.sets(st.integers(0, count), max_size=20)) if odd}
    stepped = draw(st.booleans())
    shapes = draw(st.lists(st.integers(0, len(usual) - 1), min_size=1, max_size=9))
    rows = [usual[shapes[n % len(shapes)]] | ({"step": n} if stepped else {}) for n in range(count)]
    return [places.get(n, json.dumps(row).encode()) for n, row in enumerate(rows)]


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(log=logs(), cuts=st.lists(st.floats(0, 1), max_size=3), hint=st.sampled_from(["", "n", "m.loss", "a.b"]))
def test_many_lines_at_once_give_the_same_as_line_by_line(
    told: Any, log: list[bytes], cuts: list[float], hint: str
) -> None:
    data = b"".join(line + b"\n" for line in log)
    hints = Hints(step_key=hint)
    single = JSONL.reader(hints=hints)
    one_by_one = told(batch for line in data.splitlines(keepends=True) for batch in single.feed(line))
    edges = [0, *sorted(int(cut * len(data)) for cut in cuts), len(data)]
    reader = JSONL.reader(hints=hints)
    at_once = told(batch for start, stop in pairwise(edges) for batch in reader.feed(data[start:stop]))
    assert _sorted(at_once) == _sorted(one_by_one)
    assert reader.resume == single.resume


def _sorted(told: Any) -> Any:
    rows, others, trees, identity, console, places = told.picture()
    return rows, others, trees, identity, console, sorted(places)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(log=logs(), cut=st.integers(0, 260))
def test_a_new_reader_takes_over_after_any_line(told: Any, log: list[bytes], cut: int) -> None:
    data = b"".join(line + b"\n" for line in log)
    first = JSONL.reader()
    before = first.feed(b"".join(line + b"\n" for line in log[:cut]))
    after = JSONL.reader(first.resume).feed(data[first.resume.offset :])
    assert _sorted(told([*before, *after])) == _sorted(told(JSONL.reader().feed(data)))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300) | st.text('{}[]":,0NaInfity-e \n\\').map(str.encode))
def test_no_bytes_make_a_reader_fail(told: Any, data: bytes) -> None:
    seen = told(JSONL.reader().feed(data * 40 + b"\n"))
    for offset, _, _, found in seen.history[:20]:
        row = JSONL.row((data * 40 + b"\n")[offset:], offset, Resume())
        assert row is not None
        assert set(row.values) >= set(found)


def test_plain_rows_are_decoded_without_a_look_at_each_line() -> None:
    data = lines(*({"step": n, "loss": n / 2, "perf": {"tps": n}, "note": "x"} for n in range(500)))
    shape = NO_SHAPE.learn([json.loads(line) for line in data.splitlines()[:3]])
    assert shape is not None
    block = LineBlock.of(100, memoryview(data))
    decoded = decode_block(block, shape, Axes())
    assert len(decoded.typed) == 500
    assert not decoded.odd
    assert (decoded.offsets == block.starts + 100).all()
    assert (shape.take(decoded.typed)[0][shape.place["perf.tps"]] == np.arange(500)).all()


def test_a_run_that_has_diverged_is_read_exactly(read: Any) -> None:
    rows: list[dict[str, Any]] = [
        {"step": n, "loss": math.nan if n > 900 else n, "val": None, "norm": -math.inf} for n in range(30_000)
    ]
    rows[20_000] |= {"note": "loss: NaN", "val": math.inf}
    rows[25_000]["loss"] = 1e400
    seen = read(lines(*rows))
    assert steps(seen) == list(range(30_000))
    assert [row["loss"] for row in values(seen)] == [*range(901), *["nan"] * 24_099, math.inf, *["nan"] * 4999]
    assert {row["norm"] for row in values(seen)} == {-math.inf}
    assert values(seen)[20_000]["val"] == math.inf
    assert seen.others["note"] == ("string", b'"loss: NaN"')


@pytest.mark.parametrize("spelled", ['"NaN"', '"Infinity"', '"-Infinity"'])
@pytest.mark.parametrize("every", [1, 7, 400])
def test_numbers_that_are_spelled_as_texts_are_read_however_many_there_are(spelled: str, every: int, read: Any) -> None:
    """As programs do that write strict JSON; a text that only holds such a word stays one."""
    logged = [spelled if n % every == 0 else str(n) for n in range(3000)]
    line = '{"step":%d,"loss":%s,"m": {"x": %s},"some": %s,"note":"loss: NaN"}\n'
    seen = read("".join(line % (n, x, x, x if n % 5 else "null") for n, x in enumerate(logged)).encode())
    number = float(json.loads(spelled))
    expected = [("nan" if math.isnan(number) else number) if x == spelled else int(x) for x in logged]
    assert [row["loss"] for row in values(seen)] == [row["m.x"] for row in values(seen)] == expected
    assert [row.get("some") for row in values(seen)] == [x if n % 5 else "other" for n, x in enumerate(expected)]
    assert seen.others["note"] == ("string", b'"loss: NaN"')


def test_values_of_changing_kinds_are_read(read: Any) -> None:
    rows = [{"step": n, "x": (n, None, {"y": n}, [[n]], {"_type": "t", "y": n}, "s")[n % 6]} for n in range(600)]
    rows[300]["x"] = {f"k{n}": n for n in range(20_000)}
    rows[400]["x"] = [json.loads("[" * 60 + "]" * 60)]
    deep = b'{"step": 401, "x": ' + b"[" * 64 + b"]" * 64 + b"}"
    seen = read(lines(*rows[:401], deep, *rows[402:]))
    assert steps(seen) == [n for n in range(600) if n not in (300, 401)]
    assert [row.get("x") for row in values(seen)[:4]] == [0, "other", None, "other"]
    assert values(seen)[2] == {"x.y": 2}
    assert [damage.reason for damage in seen.damage] == [
        "an object of more than 16384 values",
        "a line nested deeper than 64",
    ]


def test_rows_with_ever_new_keys_are_all_read(read: Any) -> None:
    seen = read(lines(*({"step": n, f"key{n}": n} for n in range(3000))))
    assert values(seen) == [{f"key{n}": n} for n in range(3000)]
    assert steps(seen) == list(range(3000))


# Recognition

ROW = b'{"step": 1, "loss": 2.5}\n'
TEXT = b"x" * 300


@pytest.mark.parametrize(
    ("filename", "head"),
    [
        ("metrics.jsonl", b""),
        ("metrics.ndjson", b""),
        ("run.jsonl", ROW),
        ("run.jsonl", ROW[:-1]),
        ("run.jsonl", b"\xef\xbb\xbf" + ROW),
        ("metrics.json", ROW),
        ("20260101_120000.json", ROW * 2),
        ("log_1700000000.jsonl", b'{"step": 1, "loss": "2.5"}\n'),
        ("run.jsonl", b'{"timestamp": "2026-01-02T03:04:05Z", "loss": 2.5}\n'),
        ("eval_results.jsonl", b'{"loss": 2.5, "split": "val", "acc": 0.5}\n'),
        ("run.jsonl", b'{"config": {"model": "x"}}\n' + ROW),
        ("run.jsonl", b'{"loss": NaN, "global_step": 3}\n'),
        ("result.json", b'{"training_iteration": 1, "config": "' + b"x" * 5000),
        ("run.jsonl", b'{"step": 1, "loss": 2.5, "text": "' + b"x" * 5000),
    ],
)
def test_logs_match(filename: str, head: bytes) -> None:
    assert JSONL.matches(filename, head[:4096])


@pytest.mark.parametrize(
    ("filename", "head"),
    [
        ("metrics.json", b""),
        ("train.jsonl", b""),
        ("notes.txt", b""),
        ("run.jsonl", b"{\n"),
        ("run.jsonl", b'{\n  "step": 1,\n  "loss": 2\n}\n'),
        ("run.jsonl", b"[1, 2]\n"),
        ("config.json", b'{"lr": 0.1, "epochs": 3}\n'),
        ("wandb-summary.json", b'{"_step": 3, "loss": 1, "_timestamp": 1.7e9}'),
        ("meta.json", ROW),
        ("train.jsonl", b'{"prompt": "a", "completion": "b", "label": 1}\n'),
        ("data.jsonl", b'{"id": 1, "text": "' + TEXT + b'"}\n'),
        ("train.jsonl", b'{"id": 1, "n": 2, "m": 3, "text": "' + TEXT + b'"}\n'),
        ("posts.jsonl", b'{"id": 1, "timestamp": 1700000000, "text": "a", "user": "b"}\n'),
        ("data.jsonl", b'{"id": 1, "text": "' + b"x" * 5000),
        ("main.py", b"import json\n"),
        ("catalog.json", b'{"name": "x", "size": 3}\n' * 2),
        ("train.log", b"step 1 loss 2\n"),
        ("blob.bin", b'{"\x00\x01'),
    ],
)
def test_other_files_do_not_match(filename: str, head: bytes) -> None:
    assert not JSONL.matches(filename, head[:4096])


# Probes


def test_a_probe_tells_the_last_rows_of_a_long_log() -> None:
    data = lines(*({"iter": n, "ts": 1.7e9 + n, "loss": n / 2, "note": "x" * 50} for n in range(5000)))
    tail_offset = len(data) - (128 << 10)
    probe = JSONL.probe(data[: 64 << 10], data[tail_offset:], tail_offset)
    assert (probe.step, probe.time, probe.summary["loss"]) == (4999, 1.7e9 + 4999, 2499.5)
    assert not {"iter", "ts"} & set(probe.summary)


def test_a_probe_knows_that_a_step_stands_still() -> None:
    probe = JSONL.probe(data := lines({"step": 0, "a": 1}, {"step": 0, "a": 2}), data, 0)
    assert probe.step == 0
    probe = JSONL.probe(data := lines({"loss": {"a": 1}}, {"loss": {"b": 2}}), data, 0)
    assert probe.step is None
    assert probe.summary == {"loss": {"a": 1, "b": 2}}


def test_nothing_is_lost_by_closing() -> None:
    reader = JsonlReader()
    assert not reader.feed(b'{"step": 1, "a": 1}')
    assert not reader.close()
    assert len(reader.feed(b"\n")) == 1
