"""A warm answer as a whole process, beside a Python that does nothing and a command that answers by itself."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench.harness import Report, commands

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "runwise_cli" / "bin" / "runwise"
PROJECT = ROOT / "tests" / "fixtures" / "wandb" / "0.31.0-finished"
QUESTIONS = ("list", "latest")
ROUNDS = 100
BARE = (sys.executable, "-c", "pass")


def run(report: Report) -> None:
    """Wall time in turns, and instructions, which repeat exactly."""
    with warm_daemon() as environ:
        _wall(report, environ)
        if shutil.which("valgrind"):
            _instructions(report, environ)


@contextlib.contextmanager
def warm_daemon() -> Iterator[dict[str, str]]:
    """The environment of a daemon that knows the project, ended afterwards."""
    home = tempfile.mkdtemp(prefix="rw", dir="/tmp")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("RUNWISE_", "PYTHON"))}
    environ |= {f"RUNWISE_{name}_DIR": f"{home}/{name.lower()}" for name in ("RUNTIME", "CACHE", "STATE")}
    environ |= {"PYTHONPATH": f"{ROOT}:{ROOT / 'protocol'}", "PYTHONPYCACHEPREFIX": f"{home}/pyc"}
    try:
        for question in (*QUESTIONS, *QUESTIONS):
            _call((sys.executable, str(SCRIPT), question), environ)
        yield environ
    finally:
        _call((sys.executable, str(SCRIPT), "daemon", "stop"), environ)
        shutil.rmtree(home)


def _wall(report: Report, environ: dict[str, str]) -> None:
    lanes = [(sys.executable, str(SCRIPT), question) for question in QUESTIONS]
    bare, *ours = commands(BARE, *lanes, rounds=ROUNDS, cwd=PROJECT, environ=environ)
    for question, cost in zip(QUESTIONS, ours, strict=True):
        what = f"runwise {question}, warm; python -c pass (ms)"
        report.row(what, cost.wall * 1e3, bare.wall * 1e3, cost.wall / bare.wall, "at most 1.25")
    wandb = shutil.which("wandb", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if wandb:
        ours_, theirs = commands(lanes[0], (wandb, "--version"), rounds=5, cwd=PROJECT, environ=environ)
        what = "runwise list, warm; wandb --version (ms)"
        report.row(what, ours_.wall * 1e3, theirs.wall * 1e3, ours_.wall / theirs.wall)


def _instructions(report: Report, environ: dict[str, str]) -> None:
    bare = instructions(BARE, environ)
    for question in QUESTIONS:
        ours = instructions((sys.executable, str(SCRIPT), question), environ)
        what = f"runwise {question}, warm; python -c pass (M instr.)"
        report.row(what, ours / 1e6, bare / 1e6, ours / bare, "at most 1.1")


def instructions(argv: tuple[str, ...], environ: dict[str, str]) -> int:
    """How many instructions a process executes, by cachegrind."""
    cachegrind = ("valgrind", "--tool=cachegrind", "--cachegrind-out-file=/dev/null")
    told = _call((*cachegrind, *argv), {**environ, "PYTHONHASHSEED": "0"})
    found = re.search(r"I\s+refs:\s+([\d,]+)", told)
    assert found, told
    return int(found[1].replace(",", ""))


def _call(argv: tuple[str, ...], environ: dict[str, str]) -> str:
    done = subprocess.run(argv, cwd=PROJECT, env=environ, capture_output=True, text=True, check=True)
    return done.stderr


if __name__ == "__main__":
    run(Report())
