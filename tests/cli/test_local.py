"""`local` and `tb` as a user types them, on logs of real writers, with no project around."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

ROOT = Path(__file__).parents[2]
LOGS = Path(__file__).parents[1] / "fixtures" / "logs"
JSONL = "tests/fixtures/logs/jsonl_basic/metrics.jsonl"
EVENTS = "tests/fixtures/logs/tb_torch_basic"
RUNS = ["runs/exp_a", "runs/exp_a/cmp_a", "runs/exp_a/cmp_b", "runs/exp_a/hp0"]

Command: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def told(runwise: Command) -> Callable[..., str]:
    """What a command says that answers."""

    def ask(*argv: str, cwd: Path = ROOT) -> str:
        done = runwise(*argv, cwd=cwd)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return ask


@pytest.fixture
def logged() -> list[Any]:
    """The values of train/loss, as they stand in the file."""
    rows = [json.loads(line) for line in (ROOT / JSONL).read_text().splitlines()]
    return [row["train/loss"] for row in rows if "train/loss" in row]


def test_a_file_is_one_run_on_one_page(told: Callable[..., str]) -> None:
    text = told("local", JSONL)
    assert text.startswith("jsonl_basic metrics ")
    assert f"runwise local {JSONL} --stats\n" in text
    assert told("local", str(ROOT / JSONL), cwd=Path("/")).splitlines()[0] == text.splitlines()[0]


def test_its_keys_statistics_and_curves_are_those_in_the_file(told: Callable[..., str], logged: list[Any]) -> None:
    assert "train/loss" in told("local", JSONL, "--keys")
    stats = json.loads(told("local", JSONL, "--stats", "-k", "train/loss", "--format", "json"))["stats"]["metrics"]
    finite = [value for value in logged if isinstance(value, float) and value == value]
    assert list(stats) == ["train/loss"]
    assert (stats["train/loss"]["count"], stats["train/loss"]["min"]) == (len(logged), min(finite))
    assert stats["train/loss"]["mean"] == pytest.approx(sum(finite) / len(finite))
    curve = json.loads(told("local", JSONL, "--history", "-k", "train/loss", "-n", "10", "--format", "json"))["history"]
    assert sum(bucket["n"] for bucket in curve["series"]["train/loss"]) == len(logged)
    assert 2 <= len(curve["series"]["train/loss"]) <= 10
    text = told("local", JSONL, "--history", "-k", "train/loss", "-n", "10")
    assert len(text.splitlines()) == 2 + len(curve["series"]["train/loss"])


def test_event_files_are_listed_and_one_run_is_picked_by_its_folders_name(told: Callable[..., str]) -> None:
    found = json.loads(told("tb", EVENTS, "--format", "json"))
    assert sorted(run["id"] for run in found["list"]["runs"]) == RUNS
    assert told("tb", EVENTS).startswith("4 runs\n")
    assert told("tb", EVENTS, "-r", "exp_a", "--stats") == told("tb", "-d", EVENTS, "-r", "runs/exp_a", "--stats")
    assert told("tb", EVENTS, "-r", "exp_a", "--stats").startswith("runs/exp_a exact over ")


def test_a_folder_shows_logs_of_every_kind_in_it(told: Callable[..., str], tmp_path: Path) -> None:
    shutil.copy(ROOT / JSONL, tmp_path / "one.jsonl")
    shutil.copytree(LOGS / "tb_restart_purge/run", tmp_path / "events")
    shutil.copy(LOGS / "mlflow_sqlite/mlflow.db", tmp_path)
    found = json.loads(told("local", ".", "--format", "json", cwd=tmp_path))["list"]["runs"]
    names = {run["name"] for run in found}
    assert names == {"one", "events", "brave-run", "live-run", "sad-run"}
    assert json.loads(told("tb", ".", "--format", "json", cwd=tmp_path))["run"]["run"]["name"] == "events"


def test_without_a_path_the_projects_own_logs_are_shown(told: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    shutil.copy(ROOT / JSONL, tmp_path / "logs/one.jsonl")
    shutil.copytree(LOGS / "tb_restart_purge/run", tmp_path / "runs/events")
    found = json.loads(told("local", "--format", "json", cwd=tmp_path))["list"]["runs"]
    assert {run["id"] for run in found} == {"one", "events"}
    assert json.loads(told("tb", "--format", "json", cwd=tmp_path))["run"]["run"]["id"] == "events"


def test_what_cannot_be_shown_is_told_in_one_line_with_a_hint(runwise: Command, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "notes.txt").write_text("The loss went down.\n")
    (tmp_path / "empty").mkdir()
    shutil.copytree(ROOT / EVENTS, tmp_path / "several")
    for age, run in enumerate(RUNS):
        for file in (tmp_path / "several" / run).iterdir():
            os.utime(file, (1.7e9 - age, 1.7e9 - age))
    cases = {
        ("local", "note.txt"): (3, "note.txt: no such file or folder; nearest: notes.txt", "runwise local"),
        ("local", "empty"): (3, "no log of a known format in empty", "runwise sources --all"),
        ("tb", "empty"): (3, "no log of a known format in empty", "runwise sources --all"),
        ("local", "notes.txt"): (
            *(5, "notes.txt: not a log of a known format: not recognised"),
            "runwise sources --all",
        ),
        ("local", "pipe.jsonl"): (5, "pipe.jsonl: not a log but a pipe", "runwise local --help"),
        ("local", "several", "--stats"): (
            *(4, f"several holds 4 runs: {', '.join(RUNS)}"),
            f"runwise local several -r {RUNS[0]} --stats",
        ),
        ("tb", "a", "-d", "b"): (2, "two folders: a and b", "runwise tb a"),
    }
    for argv, (status, message, hint) in cases.items():
        done = runwise(*argv, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (status, "")
        assert done.stderr == f"error: {message}\nhint: {hint}\n"
    for command in ("local", "tb"):
        done = runwise(command, cwd=Path("/"))
        assert done.returncode == 3
        assert done.stderr.endswith(f"\nhint: runwise {command} PATH\n")
