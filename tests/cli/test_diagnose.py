"""What `diagnose` and `health` say of the demonstration project, where it is known how every run ended."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., subprocess.CompletedProcess[str]]
DEMO = Path(__file__).resolve().parents[2] / "runwised" / "demo"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEMO, tmp_path / "demo"))


def test_a_divergence_is_told_from_its_first_sign_on(runwise: Command, project: Path) -> None:
    found = json.loads(runwise("diagnose", "gpt-hot", "--format", "json", cwd=project).stdout)
    events = [(event["kind"], event["key"], event["step"]) for event in found["events"]]
    assert events[:2] == [("gradient_explosion", "grad_norm", 650), ("divergence", "train/loss", 700)]
    assert ("nonfinite", "train/loss", 760) in events
    assert (found["cause"], found["last_good_step"]) == ("gradient_explosion", 640)
    text = runwise("diagnose", "gpt-hot", cwd=project).stdout
    assert "last good step 640; first bad: grad_norm 650 → train/loss 700 → val/loss 800\n" in text


def test_an_exception_is_named_and_quoted_last(runwise: Command, project: Path) -> None:
    text = runwise("diagnose", "gpt-long", cwd=project).stdout
    assert text.startswith("gpt-long failed(1), step 430\ncause: ValueError\nlast good step 430; no metric went bad\n")
    assert (
        "\n| ValueError: shard 003 is cut short: 63 of 64 sequences at step 430\nnext: log gpt-long --errors\n" in text
    )


def test_a_healthy_run_is_one_line(runwise: Command, project: Path) -> None:
    (line,) = runwise("diagnose", "gpt-base", cwd=project).stdout.splitlines()
    assert line.startswith("gpt-base finished (exit code 0), step 1200: healthy; checked 5 keys, 504 points for nan")


def test_a_run_that_vanished_is_trouble_without_a_cause(runwise: Command, project: Path) -> None:
    text = runwise("diagnose", "gpt-seed-2", cwd=project).stdout
    assert text.startswith("gpt-seed-2 crashed (")
    assert "no cause: neither its console, its exit code nor its curves tell one\n" in text


def test_health_has_a_line_for_each_run_that_is_not_well(runwise: Command, project: Path) -> None:
    head, *lines, last = runwise("health", cwd=project).stdout.splitlines()
    assert head == "2 of 6 runs healthy; 3 with trouble; 1 without data"
    assert [line.split()[0] for line in lines] == ["gpt-long", "gpt-seed-2", "gpt-hot"]
    assert last == "next: diagnose gpt-long"
