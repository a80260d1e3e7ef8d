"""`runwise demo` shows the way from the list to the rows, each step as the command itself answers it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

from runwise_cli.demo import TOUR

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_every_step_of_the_tour_shows_what_its_command_answers(runwise: Command, daemon_env: dict[str, str]) -> None:
    told = runwise("demo")
    assert (told.returncode, told.stderr) == (0, "")
    *steps, last = re.split(r"^\$ ", told.stdout, flags=re.MULTILINE)[1:]
    last, _, close = last.partition("\nThese runs lie in ")
    root = Path(close.splitlines()[0])
    assert root.is_relative_to(daemon_env["RUNWISE_CACHE_DIR"])
    shown = dict(step.split("\n", 1) for step in [*steps, last + "\n"])
    assert list(shown) == list(TOUR)
    for command, text in shown.items():
        alone = runwise(*shlex.split(command)[1:], cwd=root)
        assert steady(text) == steady(alone.stdout)


def test_the_way_on_that_it_names_can_be_gone(runwise: Command) -> None:
    close = runwise("demo").stdout.splitlines()[-1]
    root, command = re.fullmatch(r"Go on there: cd (\S+) && runwise (.*)", close).groups()
    assert "ValueError: shard 003 is cut short" in runwise(*command.split(), cwd=Path(root)).stdout


def test_the_runs_are_what_the_tour_says_of_them(runwise: Command) -> None:
    root = Path(re.search(r"^These runs lie in (.*)$", runwise("demo").stdout, flags=re.MULTILINE)[1])
    runs = {run["name"]: run for run in json.loads(runwise("list", "--format", "json", cwd=root).stdout)["runs"]}
    assert len(runs) == 6
    states = {name: (run["state"], run["exit_code"]) for name, run in runs.items()}
    assert states["gpt-base"] == states["gpt-wide"] == states["gpt-hot"] == ("finished", 0)
    assert states["gpt-long"] == ("failed", 1)
    assert states["gpt-seed-2"] == ("crashed", None)
    lowest = {}
    for name in ("gpt-base", "gpt-wide", "gpt-hot", "gpt-seed-2", "gpt-long"):
        told = json.loads(runwise("stats", name, "--format", "json", cwd=root).stdout)["metrics"]
        lowest[name] = told["val/loss"]["min"]
        assert (told["train/loss"]["nonfinite"] > 0) == (name == "gpt-hot")
    assert min(lowest, key=lowest.__getitem__) == "gpt-wide"
    rows = [json.loads(line) for line in runwise("export", "gpt-hot", cwd=root).stdout.splitlines()]
    assert next(row["_step"] for row in rows if row["grad_norm"] == "NaN") == 760


def steady(text: str) -> str:
    """A text without the ages in it."""
    return re.sub(r"\b(?:\d+d\d+h|\d+h\d\d|\d+[smhd])\b", "AGE", text).strip()
