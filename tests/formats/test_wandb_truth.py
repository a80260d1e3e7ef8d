"""Every fixture, written by the real SDK, is read to exactly what its script logged."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from runwised.formats import WANDB
from runwised.formats.console import resolve
from runwised.formats.record import Resume, escape

FIXTURES = Path(__file__).parents[1] / "fixtures" / "wandb"
BOOKKEEPING = {"_wandb", "_step", "_runtime", "_timestamp"}


class Logged(NamedTuple):
    """One fixture's log, and what its script says it logged."""

    name: str
    data: bytes
    truth: dict[str, Any]
    rows: int
    exit_record: bool

    @property
    def version(self) -> tuple[int, ...]:
        return tuple(int(part) for part in self.truth["wandb_version"].split("."))


def fixtures() -> list[Any]:
    found = []
    for folder in sorted(FIXTURES.iterdir()):
        if folder.is_dir():
            document = json.loads((folder / "truth.json").read_text())
            for part, run in enumerate(document["runs"]):
                (log,) = (folder / run["run"]["dir"]).parent.glob("*.wandb")
                rows = run.get("rows_on_disk", run["rows"])
                logged = Logged(folder.name, log.read_bytes(), run, rows, document["exit_record"])
                found.append(pytest.param(logged, id=f"{folder.name}-{part}"))
    return found


every_fixture = pytest.mark.parametrize("logged", fixtures())


def read(told: Any, logged: Logged) -> Any:
    reader = WANDB.reader()
    return told([*reader.feed(logged.data), *reader.close()])


def wanted(logged: Logged, last_step: int) -> dict[tuple[str, int], tuple[str, Any]]:
    """Kind and value by (key, step), up to `last_step`, without what differs between SDK versions."""
    return {
        (escape(series["path"]), step): (series["kind"], value)
        for series in logged.truth["history"]
        if series["path"][0] not in logged.truth["hazy"]
        for step, value in zip(series["steps"], series["values"], strict=True)
        if step <= last_step
    }


def number(value: Any) -> float:
    return float(value.replace("Infinity", "inf") if isinstance(value, str) else value)


def same_number(one: float, other: float) -> bool:
    return (math.isnan(one) and math.isnan(other)) or (
        one == other and math.copysign(1, one) == math.copysign(1, other)
    )


@every_fixture
def test_columns_hold_the_logged_numbers_bit_for_bit(told: Any, logged: Logged) -> None:
    run = read(told, logged)
    assert len(run.history) == logged.rows
    assert not run.damage
    expected = wanted(logged, run.history[-1][1])
    seen = {(key, step): value for _, step, _, row in run.history for key, value in row.items()}
    for place, (kind, value) in expected.items():
        got = seen.pop(place)
        assert got == (bits(number(value)) if kind == "number" else "other"), place
    assert {key for key, _ in seen} - {"_runtime"} <= hazy_keys(logged)


def hazy_keys(logged: Logged) -> set[str]:
    return {escape([key]) for key in logged.truth["hazy"]}


def bits(value: float) -> Any:
    return "nan" if math.isnan(value) else value.hex()


@every_fixture
def test_every_row_is_decoded_exactly_at_its_offset(told: Any, logged: Logged) -> None:
    reader = WANDB.reader()
    run = told(reader.feed(logged.data))
    expected = wanted(logged, run.history[-1][1])
    for offset, step, _, _ in run.history:
        row = WANDB.row(logged.data[offset:], offset, reader.resume)
        assert row is not None
        assert row.step == step
        for key, value in row.values.items():
            if key not in hazy_keys(logged) and key != "_runtime":
                assert_value(expected.pop((key, step)), value)
    assert not expected


def assert_value(expected: tuple[str, Any], value: Any) -> None:
    kind, wanted_value = expected
    if kind == "number":
        assert isinstance(value, int | float)
        assert not isinstance(value, bool)
        assert same_number(number(wanted_value), value)
        assert not isinstance(wanted_value, int) or value == wanted_value
    elif kind == "media":
        assert value | wanted_value == value
    else:
        assert value == wanted_value
        assert type(value) is type(wanted_value)


@every_fixture
def test_others_have_the_kind_and_value_logged_last(told: Any, logged: Logged) -> None:
    run = read(told, logged)
    last: dict[str, tuple[str, Any]] = {}
    for (key, _), (kind, value) in sorted(wanted(logged, run.history[-1][1]).items(), key=lambda pair: pair[0][1]):
        if kind != "number":
            last[key] = kind, value
    others = {key: other for key, other in run.others.items() if key not in hazy_keys(logged)}
    assert set(others) == set(last)
    for key, (kind, value) in last.items():
        told_kind, text = others[key]
        assert told_kind == (value["_type"] if kind == "media" else kind)
        if len(json.dumps(value, ensure_ascii=False).encode()) > 65536:
            assert text == b"null"
        else:
            assert_value((kind, value), json.loads(text))


@every_fixture
def test_times_grow_from_the_start_and_steps_strictly(told: Any, logged: Logged) -> None:
    run = read(told, logged)
    steps = [step for _, step, _, _ in run.history]
    assert all(one < other for one, other in pairwise(steps))
    row = WANDB.row(logged.data[run.history[0][0] :], run.history[0][0], Resume())
    assert row is not None
    assert abs(row.time - logged.truth["start_time"]) < 10


@every_fixture
def test_config_is_what_the_script_set(told: Any, logged: Logged) -> None:
    assert read(told, logged).trees["config"] == logged.truth["config"]


@every_fixture
def test_summary_ends_as_the_script_left_it(told: Any, logged: Logged) -> None:
    run = read(told, logged)
    summary = run.trees["summary"]
    if not logged.exit_record:
        steps = [step for _, step, _, _ in run.history]
        assert summary == {} if logged.version < (0, 18) else summary["_step"] in steps
        return
    expected, optional = logged.truth["summary"], logged.truth["summary_optional"]
    assert_tree(expected, optional, summary, hazy_keys(logged) | {"hazy/nan"} | BOOKKEEPING)


def assert_tree(expected: Any, optional: Any, got: Any, free: set[str]) -> None:
    if isinstance(expected, dict) and "$float" in expected:
        assert same_number(number(expected["$float"]), got)
    elif isinstance(expected, dict) and "_type" in expected:
        assert got | expected == got
    elif isinstance(expected, dict):
        assert set(expected) <= set(got)
        assert set(got) - free <= set(expected) | set(optional)
        for key, value in expected.items():
            assert_tree(value, {}, got[key], set())
        for key in set(optional) & set(got) - set(expected):
            assert got[key] == optional[key]
    else:
        assert got == expected


@every_fixture
def test_exit_code_is_the_scripts(told: Any, logged: Logged) -> None:
    end = read(told, logged).exit
    if logged.exit_record:
        assert end is not None
        assert end.code == logged.truth["exit_code"]
    else:
        assert end is None


@every_fixture
def test_console_chunks_hold_the_text_written(told: Any, logged: Logged) -> None:
    reader = WANDB.reader()
    run = told(reader.feed(logged.data))
    written = {"stdout": "", "stderr": ""}
    for offset, _, stderr, size in run.console:
        text = WANDB.text(logged.data[offset:], offset, reader.resume)
        assert text is not None
        assert text.stderr == stderr
        assert len(text.text.encode()) == size
        written["stderr" if stderr else "stdout"] += text.text
    expected = logged.truth["console"]
    if logged.version < (0, 13):
        for stream, text in expected.items():
            assert lines(written[stream]) == lines(text)
        return
    ours = [line for line in written["stderr"].splitlines(keepends=True) if not line.startswith("wandb: ")]
    if logged.exit_record:
        assert written["stdout"] == expected["stdout"]
        assert "".join(ours).startswith(expected["stderr"])
    else:
        assert expected["stdout"].startswith(written["stdout"])
        assert expected["stderr"].startswith("".join(ours))
    assert ("Traceback" in "".join(ours)) == (logged.truth["exit_code"] == 1)


def lines(text: str) -> list[str]:
    return [line.text for line in resolve([(0.0, False, text)])]


@every_fixture
def test_identity_is_the_scripts_with_its_later_changes(told: Any, logged: Logged) -> None:
    identity = read(told, logged).identity
    expected = {**logged.truth["run"], **logged.truth.get("renamed", {})}
    del expected["dir"]
    expected["tags"] = tuple(expected["tags"])
    assert identity | expected == identity
    assert identity["host"] == "trainbox"
    assert abs(identity["start_time"] - logged.truth["start_time"]) < 10
    assert identity.get("entity") == ("fixture-team" if logged.name.endswith("-online") else None)


@every_fixture
def test_definitions_alerts_and_facts_are_told(told: Any, logged: Logged) -> None:
    run = read(told, logged)
    defined = {(definition.key, definition.glob): definition for definition in run.definitions}
    assert defined["train/loss", False].summary == ("min",)
    assert defined["train/acc", False].summary == ("max", "last")
    assert defined["secret", False].summary == ("none",)
    assert any(definition.step_key == "epoch" for definition in run.definitions if definition.key.startswith("val/"))
    alerts = [{"title": at.title, "text": at.text, "level": at.level} for at in run.places if hasattr(at, "level")]
    assert alerts == logged.truth["alerts"]
    assert run.facts["wandb"] == logged.truth["wandb_version"]
    assert logged.truth["python"] in run.facts["python"]
    if logged.version >= (0, 21):
        assert run.facts["program"].endswith("generate.py")
        assert run.facts["cpu_count"] == 2
        assert run.facts["memory"]["total"] > 2**30
        assert abs(run.facts["started_at"] - logged.truth["start_time"]) < 10
    assert not run.rows["system"] or any("cpu" in key for _, _, _, row in run.rows["system"] for key in row)
