"""Tables: dialects, headers, quotes, steps, and which files are tables of runs."""

from __future__ import annotations

import csv
import io
import json
import math
import tracemalloc
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runwised.formats import choose
from runwised.formats.csv_cells import Cells, parse_cells
from runwised.formats.csv_layout import MOST_LAYOUTS
from runwised.formats.csv_records import LONGEST_RECORD, MOST_LINES
from runwised.formats.csv_table import CSV
from runwised.formats.linelog import LONGEST_LINE
from runwised.formats.record import NO_STEP, Damage, Hints, Identity, Resume
from runwised.formats.step_keys import ROWS_TO_CHOOSE

FIXTURES = Path(__file__).parents[1] / "fixtures" / "logs"
TRUTHS = [
    (case, run)
    for case in ("csv_lightning", "csv_keras", "csv_generic")
    for run in json.loads((FIXTURES / case / "truth.json").read_text())["runs"]
]


def read(told: Any, data: bytes, **hints: str) -> Any:
    return told(CSV.reader(hints=Hints(**hints)).feed(data))


def points(series: dict[str, Any]) -> dict[str, list[tuple[int, str]]]:
    """Series of a truth file, comparable."""
    return {key: list(zip(one["steps"], map(shown, one["values"]), strict=True)) for key, one in series.items()}


def shown(value: Any) -> str:
    number = float(value)
    return "nan" if math.isnan(number) else number.hex()


def told_points(series: dict[str, list[tuple[int, float]]]) -> dict[str, list[tuple[int, str]]]:
    return {key: [(step, shown(value)) for step, value in one] for key, one in series.items()}


@pytest.mark.parametrize(("case", "run"), TRUTHS)
def test_real_tables_are_read_exactly(told: Any, case: str, run: str) -> None:
    truth = json.loads((FIXTURES / case / "truth.json").read_text())["runs"][run]
    path = FIXTURES / case / next(name for name in truth["files"] if not name.endswith(".yaml"))
    data = path.read_bytes()
    assert choose(path.name, data[:4096]) is CSV
    seen = read(told, data)
    assert told_points(seen.served) == points(truth["series"])
    assert told_points(seen.logged) == points(truth["series"] | truth.get("raw", {}))
    assert not seen.damage


CELLS = st.one_of(
    st.none(),
    st.floats(),
    st.integers(-(2**80), 2**80),
    st.text(st.sampled_from('xyzé ",;\t\n\r|'), max_size=12),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    table=st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=8),
    delimiter=st.sampled_from(",;\t"),
    end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    cuts=st.lists(st.integers(0, 400), max_size=6),
)
def test_what_pythons_csv_module_writes_is_read_back(
    table: list[list[Any]], delimiter: str, end: str, quoting: Any, cuts: list[int], told: Any
) -> None:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writerow(["step", "a", "b.c", "d"])
    for step, row in enumerate(table):
        writer.writerow([step, *row])
    data = out.getvalue().encode()
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    reader = CSV.reader()
    pieces = [data[start:stop] for start, stop in pairwise(edges)]
    seen = told(batch for piece in pieces for batch in reader.feed(piece))
    expected = [
        {key: value for key, value in zip(("a", "b\\.c", "d"), map(as_read, row), strict=True) if value is not None}
        for row in table
    ]
    assert not seen.damage
    assert [row[1] for row in seen.history] == list(range(len(table)))
    assert [row[3] for row in seen.history] == [
        {key: "other" if isinstance(value, str) else shown(value) for key, value in row.items()} for row in expected
    ]
    for (offset, *_), values in zip(seen.history, expected, strict=True):
        found = CSV.row(data[offset:], offset, reader.resume)
        assert found is not None
        assert repr(dict(found.values)) == repr(values)


def as_read(value: Any) -> Any:
    """What is left of a written cell: blanks around text are cut, and blank text is nothing."""
    return value.strip() or None if isinstance(value, str) else value


MARKS = [b'"', b'""', b",", b";", b"\n", b"\r\n", b"\t", b"#", b" ", b"a", b"0", b"1", b"-0", b".5", b"nan", b"NA"]
LINES = [b"step,loss\n", b"1,2\n", b"0,1\n", b"epoch,loss\n", b'3,"x\n', b"\xff", b"1_0", b"1e400", b"time,step,a\n"]
NOISE = st.lists(st.sampled_from(MARKS + LINES), max_size=40)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(noise=NOISE, start=st.sampled_from([b"", b"step,loss\n", b"epoch;loss;note\r\n", b'a,"b, c"\n']))
def test_whatever_the_bytes_are_it_does_not_matter_how_they_are_cut(
    noise: list[bytes], start: bytes, told: Any
) -> None:
    data = start + b"".join(noise)
    whole = told(CSV.reader().feed(data)).picture()
    reader = CSV.reader()
    before: list[Any] = []
    resume = reader.resume
    for at in range(len(data)):
        before += reader.feed(data[at : at + 1])
        if reader.resume != resume:
            resume = reader.resume
            assert told([*before, *CSV.reader(resume).feed(data[resume.offset :])]).picture() == whole
    assert told(before).picture() == whole


def test_what_is_missing_and_what_is_no_number(told: Any) -> None:
    data = b"step;a\n0;NaN\n1;-INF\n2;+inf\n3;NA\n4; - \n5;None\n6;\n7;1,5\n8;1_0\n9;0x1f\n10;.5\n11;1.\n12;1e999\n"
    seen = read(told, data)
    values = [row[3].get("a") for row in seen.history]
    assert values == [
        "nan",
        "-inf",
        "inf",
        None,
        None,
        None,
        None,
        "other",
        "other",
        "other",
        (0.5).hex(),
        (1.0).hex(),
        "inf",
    ]
    assert seen.others == {"a": ("string", b'"0x1f"')}


def test_numbers_are_those_of_python_to_the_last_bit() -> None:
    cells = [b"-0", b"0", b"-0.0", b"9007199254740993", b"2.2250738585072011e-308", b" 1e23 ", b"123456789012345678901"]
    for block in (cells, cells[3:], [*cells, b"nan"]):
        assert [value.hex() for value in parse_cells(block).values.tolist()] == [float(cell).hex() for cell in block]
    rows, values, texts = parse_cells([b"1", b"2,3", b"4"])
    assert (rows.tolist(), values.tolist(), texts) == ([0, 2], [1.0, 4.0], {1: b"2,3"})
    assert isinstance(parse_cells([]), Cells)


def test_ultralytics_right_aligns_its_cells(told: Any) -> None:
    data = (
        b"       epoch,   box_loss,     time\n           1,       1.25,     12.5\n           2,        inf,       25\n"
    )
    seen = read(told, data)
    assert [row[1:] for row in seen.history] == [
        (1, "nan", {"box_loss": (1.25).hex(), "time": (12.5).hex()}),
        (2, "nan", {"box_loss": "inf", "time": (25.0).hex()}),
    ]


def test_a_monitor_tells_when_it_was_started(told: Any) -> None:
    data = b'#{"t_start": 1700000000.5, "env_id": "CartPole-v1"}\nr,l,t\n10.0,10,0.5\n12.0,12,0.75\n'
    assert choose("0.monitor.csv", data) is CSV
    seen = read(told, data)
    assert seen.identity == {"start_time": 1700000000.5}
    assert seen.trees["config"] == {"env_id": "CartPole-v1"}
    assert [(row[1], list(row[3])) for row in seen.history] == [(NO_STEP, ["r", "l", "t"])] * 2
    assert CSV.probe(data, data, 0).identity == Identity(start_time=1700000000.5)


def test_an_index_without_a_name_is_left_out_and_a_name_that_comes_twice_is_numbered(told: Any) -> None:
    seen = read(told, b"\xef\xbb\xbf,step,loss,loss\n0,5,1,2\n1,6,3,4\n")
    assert [row[1] for row in seen.history] == [5, 6]
    assert told_points(seen.served) == {
        "loss": [(5, shown(1)), (6, shown(3))],
        "loss\\.1": [(5, shown(2)), (6, shown(4))],
    }


def test_cells_beyond_the_header_are_damage_and_the_row_stands(told: Any) -> None:
    seen = read(told, b'step,loss\n0,1,\n1,2,3,x\r\n2,"4",5\n')
    assert [row[1] for row in seen.history] == [0, 1, 2]
    reason = "row longer than its header"
    assert seen.damage == [Damage(19, 3, reason), Damage(30, 1, reason)]


def test_rows_that_are_none_are_damage(told: Any) -> None:
    data = b"step,loss,note\n0,1,ok\nTraceback (most recent call last):\n1,2,ok\n,x\n\n  \n2,,\n"
    seen = read(told, data)
    assert [row[1] for row in seen.history] == [0, 1, 2]
    assert seen.damage == [
        Damage(22, 35, "text where the step stands"),
        Damage(64, 3, "no number in the row"),
    ]
    for damage in seen.damage:
        with pytest.raises(ValueError, match=damage.reason):
            CSV.row(data[damage.offset :], damage.offset, reader_after(data).resume)


def reader_after(data: bytes) -> Any:
    reader = CSV.reader()
    reader.feed(data)
    return reader


def test_rows_before_a_header_are_damage(told: Any) -> None:
    seen = read(told, b"1,2\n\n# run 5\n3,4\nstep,loss\n5,6\n")
    assert [row[1] for row in seen.history] == [5]
    assert seen.damage == [Damage(0, 4, "a row before the header"), Damage(13, 4, "a row before the header")]
    with pytest.raises(ValueError, match="no header"):
        CSV.row(b"1,2\n", 0, Resume())


def test_a_header_amid_the_rows_holds_from_there_on(told: Any) -> None:
    data = b"step,loss\n0,1\nstep,loss\n1,2\nstep,lr,loss\n1,0.1,3\nepoch,loss,note\n4,5,x\nx,y,z\n"
    seen = read(told, data)
    assert seen.served == {"loss": [(0, 1.0), (1, 3.0), (4, 5.0)], "lr": [(1, 0.1)]}
    resume = reader_after(data).resume
    rows = [CSV.row(data[row[0] :], row[0], resume) for row in seen.history]
    assert [dict(row.values) for row in rows if row] == [
        {"loss": 1},
        {"loss": 2},
        {"lr": 0.1, "loss": 3},
        {"loss": 5, "note": "x"},
    ]
    assert [damage.reason for damage in seen.damage] == ["text where the step stands"]


def test_what_is_remembered_of_headers_is_bounded(told: Any) -> None:
    data = b"".join(b"step,a%d\n%d,1\n" % (n, n) for n in range(2 * MOST_LAYOUTS))
    reader = CSV.reader()
    seen = told(reader.feed(data))
    assert [row[1] for row in seen.history] == list(range(2 * MOST_LAYOUTS))
    assert len(reader.resume.state) < 8192
    last = seen.history[-1][0]
    assert CSV.row(data[last:], last, reader.resume) == (
        2 * MOST_LAYOUTS - 1,
        pytest.approx(math.nan, nan_ok=True),
        {f"a{2 * MOST_LAYOUTS - 1}": 1},
    )
    with pytest.raises(ValueError, match="no header"):
        CSV.row(b"0,1\n", 8, reader.resume)


def test_what_is_remembered_of_wide_headers_is_bounded() -> None:
    reader = CSV.reader()
    for n in range(8):
        reader.feed(b"step,%b\n%d,1\n" % (b",".join(b"name_%d_of_%d" % (k, n) for k in range(12000)), n))
    assert 150000 < len(reader.resume.state) < 1200000


def test_short_rows_below_a_wide_header_are_held_within_bounds(told: Any) -> None:
    wide = b"step," + b",".join(b"m%d" % column for column in range(3000)) + b"\n"
    reader = CSV.reader()
    reader.feed(b"step,loss\n")
    tracemalloc.start()
    seen = told(reader.feed(wide + b"".join(b"%d\n" % step for step in range(2000))))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [row[1] for row in seen.history] == list(range(2000))
    assert most < 32 << 20


QUOTE = b"step,loss,note\n0,1,ok\n"


@pytest.mark.parametrize(
    ("lines", "steps", "lost"),
    [
        (b'1,2,"oops\n2,3,ok\n3,4,ok\n4,5,ok\n5,6,ok\n', [0, 2, 3, 4, 5], 1),
        (b'1,2,"oops\n2,3,"well" it was\n3,4,ok\n', [0, 2, 3], 1),
        (b'1,2,"oops\nstep,loss,note\n3,4,ok\n', [0, 3], 1),
        (b'1,2,"oops\n2,3,"again\n3,4,ok\n4,5,ok\n5,6,ok\n', [0, 3, 4, 5], 2),
        (b'1,2,"fine\n2,3,ok\nwhat, else"\n4,5,ok\n', [0, 1, 4], 0),
        (b'1,2,a "word" in it\n2,3, "blank, before"\n', [0, 1, 2], 0),
        (b'1,2,"' + b"x\n" * MOST_LINES + b"2,3,ok\n", [0, 2], None),
        (b'1,2,"' + b"x" * LONGEST_RECORD + b"\n2,3,ok\n", [0, 2], 1),
    ],
)
def test_a_quote_that_is_never_closed_costs_its_line(
    told: Any, lines: bytes, steps: list[int], lost: int | None
) -> None:
    data = QUOTE + lines
    seen = read(told, data)
    assert [row[1] for row in seen.history] == steps
    unclosed = [damage for damage in seen.damage if damage.reason == "quote is never closed"]
    assert len(unclosed) == (1 if lost is None else lost)
    assert lost is None or seen.damage == unclosed
    single = CSV.reader()
    assert (
        told(batch for at in range(len(data)) for batch in single.feed(data[at : at + 1])).picture() == seen.picture()
    )


def test_a_record_of_several_lines_waits_for_its_last(told: Any) -> None:
    reader = CSV.reader()
    reader.feed(QUOTE + b'1,2,"a\n')
    assert reader.resume.offset == len(QUOTE)
    assert CSV.row(b'1,2,"a\nb', len(QUOTE), reader.resume) is None
    seen = told(reader.feed(b'b"\n'))
    assert seen.others == {"note": ("string", b'"a\\nb"')}


def test_a_line_without_end_is_held_within_bounds(told: Any) -> None:
    for begin in (b"", b"step,loss\n", b'step,loss\n0,1\n1,"x\n'):
        reader = CSV.reader()
        batches = reader.feed(begin)
        tracemalloc.start()
        for _ in range(20):
            batches += reader.feed(b"x" * (1 << 20))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < 3 * LONGEST_LINE
        batches += reader.feed(b"\nstep,loss\n7,8\n")
        seen = told(batches)
        assert seen.history[-1][1] == 7
        assert seen.damage[-1][1:] == ((20 << 20) + 1, "line longer than 4 MiB")
        assert told(CSV.reader().feed(begin + b"x" * (20 << 20) + b"\nstep,loss\n7,8\n")).picture() == seen.picture()
    with pytest.raises(ValueError, match="no row"):
        CSV.row(b"1" * (LONGEST_LINE + 1), len(QUOTE), reader_after(QUOTE).resume)


def test_steps_that_never_move_do_not_count_until_they_do(told: Any) -> None:
    seen = read(told, b"step,loss\n0,3\n0,2\n0,1\n7,5\n0,4\n")
    assert [row[1] for row in seen.history] == [0, NO_STEP, NO_STEP, 7, 0]


def test_an_epoch_that_does_not_move_is_a_metric_from_then_on(told: Any) -> None:
    data = b"epoch,loss\n0,3\n0,2\n1,1\n1,4\n"
    seen = read(told, data)
    assert [row[1] for row in seen.history] == [0, NO_STEP, NO_STEP, NO_STEP]
    assert seen.logged["epoch"] == [(1, 0.0), (2, 1.0), (3, 1.0)]
    resume = reader_after(data).resume
    assert [sorted(CSV.row(data[row[0] :], row[0], resume).values) for row in seen.history] == [
        ["loss"],
        *[["epoch", "loss"]] * 3,
    ]


def test_rows_of_training_and_validation_may_begin_at_one_step(told: Any) -> None:
    seen = read(told, b"epoch,step,train_loss,val_loss\n0,49,1,\n0,49,,2\n0,99,3,\n")
    assert seen.served == {
        "train_loss": [(49, 1.0), (99, 3.0)],
        "val_loss": [(49, 2.0)],
        "epoch": [(49, 0.0), (99, 0.0)],
    }


def test_epochs_with_fractions_are_no_steps(told: Any) -> None:
    seen = read(told, b"epoch,loss\n0.0,1\n0.5,2\n1.0,3\n")
    assert [row[1] for row in seen.history] == [0, NO_STEP, NO_STEP]
    assert seen.logged == {"loss": [(0, 1.0), (1, 2.0), (2, 3.0)], "epoch": [(1, 0.5), (2, 1.0)]}
    assert [row[1] for row in read(told, b"epoch,loss\n0.5,2\n1.0,3\n").history] == [NO_STEP, NO_STEP]


def test_a_step_that_is_no_whole_number_is_shown_as_it_is(told: Any) -> None:
    seen = read(told, b"step,loss\n1.0,1\n2.5,2\nnan,3\n,4\n9007199254740993,5\n99999999999999999999,6\n")
    assert [row[1] for row in seen.history] == [1, NO_STEP, NO_STEP, NO_STEP, 9007199254740993, NO_STEP]
    assert [row[3].get("step") for row in seen.history] == [None, (2.5).hex(), "nan", None, None, shown(1e20)]


def test_a_column_of_text_is_no_step_whatever_its_name(told: Any) -> None:
    rows = b"".join(b"%d/90,%d\n" % (n, n) for n in range(2 * ROWS_TO_CHOOSE))
    seen = read(told, b"epoch,loss\n" + rows)
    assert {row[1] for row in seen.history} == {NO_STEP}
    assert seen.others["epoch"] == ("string", b'"31/90"')
    one = b"step,loss\np,1\n1,2\n2,3\n"
    seen = read(told, one)
    assert [row[1] for row in seen.history] == [NO_STEP, 1, 2]
    resume = reader_after(one).resume
    assert [CSV.row(one[row[0] :], row[0], resume).values for row in seen.history] == [
        {"step": "p", "loss": 1},
        {"loss": 2},
        {"loss": 3},
    ]


def test_the_settings_may_name_the_step(told: Any) -> None:
    data = b"step,time/total_timesteps,frames.seen,r\n0,100,7,1\n1,200,8,2\n"
    assert [row[1] for row in read(told, data).history] == [0, 1]
    assert [row[1] for row in read(told, data, step_key="frames.seen").history] == [7, 8]
    assert [row[1] for row in read(told, data, step_key="time/total_timesteps").history] == [100, 200]
    assert [row[1] for row in read(told, data, step_key="elsewhere").history] == [0, 1]


def test_wall_times_are_taken_where_they_are_some(told: Any) -> None:
    seen = read(told, b"step,timestamp,loss\n0,1700000000,1\n1,2026-01-02T00:00:00Z,2\n2,12.5,3\n3,soon,4\n4,,5\n")
    assert [row[2] for row in seen.history] == [shown(1.7e9), shown(1767312000), "nan", "nan", "nan"]
    assert [row[3].get("timestamp") for row in seen.history] == [None, None, (12.5).hex(), "other", None]


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("metrics.csv", b""),
        ("progress.csv", b""),
        ("results.csv", b""),
        ("metrics.csv", b"a,b\n"),
        ("metrics.csv", b"a,b\n1,"),
        ("training.log", b"epoch,loss\r\n0,1.5\r\n"),
        ("Loss.csv", b"step,Loss\n10,1.5\n"),
        ("train_curve.csv", b"batch,train_loss\n1,2\n"),
        ("x.tsv", b"iteration\tloss\n1\t2\n"),
        ("x.csv", b"# step,loss\n0,1\n"),
        ("deep/history.csv", b",loss\n0,1\n"),
        ("monitor.csv", b'#{"t_start": 1.0}\nr,l,t\n1,2,3\n'),
        ("metrics.csv", b"step," + b"loss," * 1000),
    ],
)
def test_tables_of_runs_are_known(name: str, head: bytes) -> None:
    assert CSV.matches(name, head)


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("data.csv", b""),
        ("training.log", b""),
        ("train.csv", b"PassengerId,Survived,Name\n1,0,Braund\n"),
        ("iris.csv", b"sepal_length,species\n5.1,setosa\n"),
        ("metrics.csv", b"0,1\n2,3\n"),
        ("metrics.csv", b"loss\n2\n"),
        ("metrics.csv", b"name,kind\nfoo,bar\n"),
        ("metrics.csv", b'{"step": 1, "loss": 2}\n'),
        ("metrics.json", b"step,loss\n0,1\n"),
        ("train.log", b"step, loss and more\nwe start, now\n"),
        ("train.log", b"Starting, please wait\n1,2\n"),
        ("steps.py", b"step,loss\n0,1\n"),
        ("x.csv", b'[step],"loss"\n0,1\n'),
        ("x.csv", b"step,loss,\n0,1,\n"),
        ("metrics.csv", b"\0" * 100),
        ("metrics.csv", b"\n"),
    ],
)
def test_other_files_are_not_taken_for_tables_of_runs(name: str, head: bytes) -> None:
    assert not CSV.matches(name, head)


def test_a_probe_of_a_long_table_reads_its_ends_only() -> None:
    lines = [b"step,time,loss,val"] + [
        b"%d,17%08d,0.%d,%s" % (n, n, n, b"5" if n % 50 == 0 else b"") for n in range(20000)
    ]
    data = b"\n".join(lines) + b"\n20000,17"
    assert len(data) > 400000
    probe = CSV.probe(data[:65536], data[-131072:], len(data) - 131072)
    assert (probe.step, probe.time, probe.summary) == (19999, 1700019999.0, {"loss": 0.19999, "val": 5.0})
    assert CSV.probe(b"", b"", 0).header is False
    with pytest.raises(ValueError, match="no console"):
        CSV.text(data, 0, Resume())
