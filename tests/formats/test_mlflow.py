"""MLflow's own spellings: metric lines and rows, numbers that are text, meta files, statuses."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from runwised.formats.mlflow import RunInfo, decode_meta, decode_param, describe, seconds_of, status_of
from runwised.formats.mlflow_points import (
    LARGEST,
    Points,
    SqlDecoder,
    StepNumbers,
    build_rows,
    decode_line,
    decode_lines,
)
from runwised.formats.record import Damage, Exit, Facts, Identity, Patch


@pytest.mark.parametrize(
    ("line", "step", "time", "value"),
    [
        (b"1750000000123 0.5 7", 7, 1750000000.123, 0.5),
        (b"1750000000123 -inf -3\r", -3, 1750000000.123, -math.inf),
        (b"1500000000 1e-05", 0, 1500000000.0, 1e-05),
        (b"1750000000000 2.0 9 train 0a1b2c3d", 9, 1750000000.0, 2.0),
        (b"17500001750000000000 2.0 9", 9, math.nan, 2.0),
    ],
)
def test_a_metric_line_is_time_value_and_maybe_step(line: bytes, step: int, time: float, value: float) -> None:
    assert repr(decode_line(line)) == repr((step, time, value))
    lines = decode_lines(line + b"\n")
    assert repr((lines.steps.item(), lines.times.item(), lines.values.item())) == repr((step, time, value))


@pytest.mark.parametrize(
    "line",
    [b"1750000000000", b"1750000000000 x 1", b"1750000000000 1.0 1.5", b"1 2 3 4", b"a b c", b"1 2 " + b"9" * 30],
)
def test_what_is_no_metric_line_is_damage(line: bytes) -> None:
    lines = decode_lines(b"1750000000000 1.0 1\n" + line + b"\n1750000000000 2.0 2\n")
    assert lines.steps.tolist() == [1, 2]
    assert lines.damage == [Damage(20, len(line) + 1, "a line is no metric point")]
    assert lines.offsets.tolist() == [0, 20 + len(line) + 1]


points = st.tuples(st.integers(10**12, 4 * 10**12), st.floats(), st.integers(-(2**62), 2**62))


@given(st.lists(points))
def test_many_lines_say_what_each_says(logged: list[tuple[int, float, int]]) -> None:
    text = "".join(f"{time} {value!r} {step}\n" for time, value, step in logged).encode()
    lines = decode_lines(text)
    found = zip(lines.steps.tolist(), lines.times.tolist(), lines.values.tolist(), strict=True)
    assert [repr(each) for each in found] == [repr(decode_line(line)) for line in text.splitlines()]
    assert [text[offset : offset + 13] for offset in lines.offsets] == [str(time).encode() for time, _, _ in logged]


def test_in_the_database_nan_and_infinity_have_stand_ins() -> None:
    decoder = SqlDecoder()
    rows = [
        (1, "a", 0.0, 1750000000000, 0, 1),
        (4, "b", LARGEST, 1750000001000, 1, 0),
        (5, "a", -LARGEST, 1750000002000, 2, False),
        (9, "a", None, 1750000003000, 3, 0),
        (10, "a", 2, 0, 4, 0),
    ]
    found, damage = decoder.decode(rows)
    assert damage == []
    assert repr(found.values.tolist()) == "[nan, inf, -inf, nan, 2.0]"
    assert repr(found.times.tolist()) == "[1750000000.0, 1750000001.0, 1750000002.0, 1750000003.0, nan]"
    assert (found.keys.tolist(), decoder.names) == ([0, 1, 0, 0, 0], ["a", "b"])
    found, damage = decoder.decode([rows[0], (11, "c", "x", 0, 0, 0), (12, "d", 1.0, 0, 2**70, 0), rows[1]])
    assert found.offsets.tolist() == [1, 4]
    assert [each.offset for each in damage] == [11, 12]


def numbered(steps: list[int], cuts: set[int]) -> list[int]:
    numbers = StepNumbers()
    served: list[int] = []
    edges = [0, *sorted(cut for cut in cuts if cut < len(steps)), len(steps)]
    for start, stop in pairwise(edges):
        served += numbers.number("k", np.array(steps[start:stop], np.int64)).tolist()
        numbers = StepNumbers(dict(numbers.state))
    return served


def test_a_key_without_steps_is_numbered_until_a_step_comes() -> None:
    assert numbered([0, 0, 0], set()) == [0, 1, 2]
    assert numbered([7, 7, 7, 2, 7, 7], set()) == [7, 8, 9, 2, 7, 7]
    assert numbered([0, 1, 1, 0], set()) == [0, 1, 1, 0]


@given(st.lists(st.integers(0, 2)), st.sets(st.integers(0, 20)))
def test_it_is_numbered_alike_however_the_points_are_cut(steps: list[int], cuts: set[int]) -> None:
    assert numbered(steps, cuts) == numbered(steps, set())


def test_points_become_rows_whose_keys_are_escaped() -> None:
    found = Points(
        np.array([3, 5, 8]),
        np.array([1, 0, 1]),
        np.array([4, 4, 5]),
        np.array([1.0, 2.0, 3.0]),
        np.array([0.5, 1.5, 2.5]),
    )
    rows = build_rows(found, ["a.b", "x/y"], StepNumbers())
    assert rows.by_key
    assert rows.steps.tolist() == [4, 4, 5]
    assert [(key, at.tolist(), values.tolist()) for key, at, values in rows.columns if at is not None] == [
        ("x/y", [0, 2], [0.5, 2.5]),
        ("a\\.b", [1], [1.5]),
    ]
    alone = build_rows(Points(*(each[:1] for each in found)), ["a.b", "x/y"], StepNumbers())
    assert alone.columns[0].rows is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("-0.5", -0.5),
        ("3e-4", 3e-4),
        ("1.", 1.0),
        ("+7", 7),
        ("007", "007"),
        ("1_000", "1_000"),
        ("12 ", "12 "),
        ("inf", "inf"),
        ("1e999", "1e999"),
        ("9" * 65, "9" * 65),
        ("\u0663", "\u0663"),
        ("True", "True"),
        ("", ""),
        ("a\nb", "a\nb"),
    ],
)
def test_a_parameter_is_a_number_where_all_of_it_is_one(text: str, value: Any) -> None:
    found = decode_param(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        (b"end_time: null\nrun_name: a b\nstatus: 3\n", {"run_name": "a b", "status": "3"}),
        (b"artifact_uri: file:///x\nname: ''\ntags: []\n", {"artifact_uri": "file:///x", "name": ""}),
        (b"run_id: '00'\nrun_name: \"a\\tb\"\n", {"run_id": "00", "run_name": "a\tb"}),
        (b"run_name: 'it''s'\n", {"run_name": "it's"}),
        (b"run_name: long name\n  goes on\nstatus: 1\n", {"run_name": "long name goes on", "status": "1"}),
        (b"run_name: a # comment\n", {"run_name": "a"}),
        (b"run_name: a\xc2\xa0\n", {"run_name": "a\xa0"}),
        (b"run_name: 1e5\nrun_id: 0E0\nnote: [x\n", {}),
        (
            b"run_name: 1e5\nrun_id: 0E0\nnote: 'it''s'\nend_time: null\n",
            {"run_name": "1e5", "run_id": "0E0", "note": "it's"},
        ),
        (b"", {}),
        (b"\0\0", {}),
        (b"[1, 2]", {}),
        (b"a: [", {}),
    ],
)
def test_a_meta_file_is_read_whatever_its_style(data: bytes, fields: dict[str, str]) -> None:
    assert decode_meta(data) == fields


LINES = st.text(st.characters(exclude_characters="\x85\u2028\u2029", exclude_categories=["Cs"]), max_size=40)
"""Without the line breaks that PyYAML writes unquoted and reads as blanks."""


@given(st.dictionaries(st.sampled_from(["name", "run_id", "status"]), LINES, min_size=1))
def test_what_a_yaml_writer_wrote_is_read_back(fields: dict[str, str]) -> None:
    assert decode_meta(yaml.safe_dump(fields, allow_unicode=True).encode()) == fields


def test_statuses_and_times_are_told_alike_by_both_stores() -> None:
    assert [status_of(value) for value in (1, "2", 3, "FAILED", "killed", None, 9, "")] == [
        *("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED", "", "", "")
    ]
    assert (seconds_of("1750000000500"), seconds_of(None), seconds_of("soon")) == (1750000000.5, None, None)


def test_a_run_is_described_and_its_end_told_once() -> None:
    run = RunInfo(
        "id",
        None,
        "exp",
        "KILLED",
        10.0,
        25.0,
        "unknown",
        "",
        {"lr": "0.1", "a.b": "x"},
        {
            "mlflow.runName": "named",
            "mlflow.user": "me",
            "mlflow.source.name": "train.py",
            "mlflow.source.git.commit": "abc",
            "mlflow.parentRunId": "parent",
            "mlflow.note.content": "a note",
            "b": "2",
            "a": "1",
        },
    )
    assert describe(run) == [
        Identity(
            run_id="id",
            name="named",
            project="exp",
            group="parent",
            notes="a note",
            tags=("a=1", "b=2"),
            start_time=10.0,
        ),
        Facts({"username": "me", "program": "train.py", "git": {"commit": "abc"}}),
        Patch("config", [(("lr",), 0.1), (("a.b",), "x")]),
        Exit(0, -9, 15.0),
    ]
    assert not any(isinstance(batch, Exit) for batch in describe(run, "KILLED"))
    assert describe(RunInfo("id", status="RUNNING")) == [Identity(run_id="id")]
