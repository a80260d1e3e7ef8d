"""Every fixture that another writer than W&B left, found, indexed and read back: exactly what was logged."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from runwised.catalog.catalog import Catalog
from runwised.catalog.run import Run

pytestmark = pytest.mark.anyio

FIXTURES = Path(__file__).parents[1] / "fixtures" / "logs"
CASES = sorted(path.name for path in FIXTURES.iterdir() if path.is_dir())
NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
NO_RUN = {"txt_console/empty.log", "txt_console/notmetrics.log", "jsonl_variants/empty.jsonl"}
"""Text without a metric is no run, nor is a file whose name is all there is of it."""
FREE_STEPS = {"txt_console/tqdm.err"}
"""What the steps of a bar that starts anew are is left to the reader."""


def number(value: Any) -> str:
    return repr(float(NOT_FINITE.get(value, value) if isinstance(value, str) else value))


def holds(run: Run, case: str, name: str, wanted: dict[str, Any]) -> bool:
    """Whether a run is read from the files the truth names (a store has many runs in one)."""
    files = {f"logs/{case}/{file}" for file in wanted["files"]}
    paths = [source.path for source in run.sources]
    if any("#" in path for path in paths):
        return run.name == wanted.get("name", name) and {path.partition("#")[0] for path in paths} <= files
    return bool(files & set(paths))


def series(run: Run, key: str) -> list[tuple[int, str]]:
    name = key if key in run.history.names else key.replace(".", "\\.")
    if name not in run.history.names:
        return []
    found = run.history.series(name)
    return [(step, number(value)) for step, value in zip(found.steps.tolist(), found.values.tolist(), strict=True)]


def wanted_of(points: dict[str, Any]) -> list[tuple[int, str]]:
    return [(step, number(value)) for step, value in zip(points["steps"], points["values"], strict=True)]


def check(run: Run, wanted: dict[str, Any]) -> None:
    for key, points in wanted["series"].items():
        assert series(run, key) == wanted_of(points), key
    for key, values in wanted.get("stepless", {}).items():
        assert series(run, key) == [(step, number(value)) for step, value in enumerate(values)], key
    allowed = {*wanted["series"], *wanted.get("stepless", {}), *wanted.get("optional", {})}
    assert set(run.history.names) <= allowed
    for key, value in wanted.get("config", {}).items():
        assert str(run.config[key]) == str(value) or float(run.config[key]) == float(value), key


def check_rows(run: Run, wanted: dict[str, Any]) -> None:
    """What is read back from the source is what the columns say."""
    names = {name: name.replace(".", "\\.") for name in run.history.names}
    for number_, row in run.rows(*_all_numbers(run)):
        at = run.history.position(row.step)
        assert run.history.numbers(at, at + 1).tolist() == [number_]
        for name, escaped in names.items():
            value = row.values.get(name, row.values.get(escaped))
            found = run.history.series(name, at, at + 1).values.tolist()
            if isinstance(value, int | float) and not isinstance(value, bool) and found:
                assert number(value) == number(found[0]), (name, row.step)
    assert wanted["files"]


def _all_numbers(run: Run) -> tuple[int, int]:
    numbers = run.history.numbers(0, run.history.row_count).tolist()
    return (numbers[0], numbers[-1] + 1) if numbers else (0, 0)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("again", [False, True], ids=["fresh", "from sidecars"])
async def test_every_fixture_gives_exactly_what_was_logged(case: str, again: bool, tmp_path: Path, ask: Any) -> None:
    shutil.copytree(FIXTURES / case, tmp_path / "proj/logs" / case)
    catalog = Catalog(tmp_path / "cache")
    project = await ask(catalog, tmp_path / "proj")
    if again:
        await catalog.close()
        catalog = Catalog(tmp_path / "cache")
        project = await ask(catalog, tmp_path / "proj")
        assert catalog.status()["read_bytes"] == 0
    truth = json.loads((FIXTURES / case / "truth.json").read_text())
    for name, wanted in truth["runs"].items():
        found = [run for run in project.runs if holds(run, case, name, wanted)]
        if f"{case}/{name}" in NO_RUN:
            assert not found
            continue
        runs = [run for run in found if run.history.row_count or not wanted["series"]]
        if name in ("out", "run") or len(runs) > 1:
            keys = {key for key, points in wanted["series"].items() if points["steps"]}
            runs = [run for run in runs if keys <= set(run.history.names)]
        (run,) = runs
        if f"{case}/{name}" in FREE_STEPS:
            assert run.history.stats("loss").last == wanted["final"]["Epoch 1"]["loss"]
            continue
        if case == "hf_trainer" and name != "out":
            assert set(run.history.names) >= {"train/loss", "eval/loss"}
            continue
        check(run, wanted)
        check_rows(run, wanted)
        if "state" in wanted and wanted["state"] in ("finished", "failed"):
            assert run.condition.state == wanted["state"]
    await catalog.close()
