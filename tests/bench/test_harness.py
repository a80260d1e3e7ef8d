"""The benchmarks' own tools."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

from tests.bench.harness import Report, calls, commands


def test_every_command_is_run_in_every_round_and_costs_something(tmp_path) -> None:
    note = f"open({str(tmp_path / 'ran')!r}, 'a').write({{}})"
    costs = commands([sys.executable, "-c", note.format("'a'")], [sys.executable, "-c", note.format("'b'")], rounds=3)
    assert (tmp_path / "ran").read_text() == "ababab"
    assert all(cost.wall > 0 and cost.cpu > 0 for cost in costs)


def test_a_command_that_fails_is_not_a_figure() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        commands([sys.executable, "-c", "raise SystemExit(3)"], rounds=1)


def test_a_call_is_made_as_often_as_asked() -> None:
    made: list[int] = []
    assert calls(lambda: made.append(1), rounds=4).wall >= 0
    assert len(made) == 4


def test_a_report_names_the_machine_and_aligns_its_rows() -> None:
    out = io.StringIO()
    report = Report(out)
    report.row("cold index", "320 MB/s", "44 MB/s", 7.2727, ">= 3")
    report.row("warm list", 0.0123456)
    machine, head, *rows = out.getvalue().splitlines()
    assert "Python 3." in machine
    assert [rows[0].index(cell) for cell in ("320", "44", "7.27", ">= 3")] == [
        head.index(name) for name in ("ours", "theirs", "ratio", "target")
    ]
    assert rows[1].split() == ["warm", "list", "0.0123"]
