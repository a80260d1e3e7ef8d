"""A file that hangs while it is read, as on a network disk whose server is gone: strace holds the read back."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "runwised" / "demo"
STRACE = shutil.which("strace")
DEADLINE_SECONDS = 30

Run = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = pytest.mark.skipif(sys.platform != "linux" or STRACE is None, reason="needs strace")


@pytest.fixture
def hang() -> Iterator[Callable[[int, Path], subprocess.Popen[str]]]:
    """Have every thread of that pid hang as soon as it opens or reads that file, until the tracer is killed."""
    tracers: list[subprocess.Popen[str]] = []

    def attach(pid: int, path: Path) -> subprocess.Popen[str]:
        calls = "openat,pread64,read"
        options = ["-f", "-P", str(path), "-e", f"trace={calls}", "-e", f"inject={calls}:delay_enter=600s"]
        tracer = subprocess.Popen(
            [str(STRACE), *options, "-o", os.devnull, "-p", str(pid)], stderr=subprocess.PIPE, text=True
        )
        tracers.append(tracer)
        assert tracer.stderr is not None
        said = tracer.stderr.readline()
        if "attached" not in said:
            pytest.skip(f"strace cannot attach: {said}")
        return tracer

    yield attach
    for tracer in tracers:
        tracer.kill()
        tracer.communicate()


def until_held(pid: int) -> None:
    """Wait until some thread of a process is held by its tracer, and stays so."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    seen = 0
    while seen < 50:
        states = [stat.read_text().rpartition(")")[2].split()[0] for stat in Path(f"/proc/{pid}/task").glob("*/stat")]
        seen = seen + 1 if "t" in states else 0
        assert time.monotonic() < deadline, states
        os.sched_yield()


def test_what_was_read_is_saved_though_another_file_hangs_and_the_end_comes(
    runwise: Run, daemon_env: dict[str, str], tmp_path: Path, hang: Any, wait_until_ended: Any
) -> None:
    one, other = (shutil.copytree(DEMO, tmp_path / name) for name in ("one", "other"))
    assert runwise("stats", "gpt-wide", cwd=one).returncode == 0
    pid = int(Path(daemon_env["RUNWISE_RUNTIME_DIR"], "daemon.lock").read_text())
    log = next((other / "wandb").rglob("*.wandb"))
    tracer = hang(pid, log)
    environ = {**daemon_env, "RUNWISE_TIMEOUT_SECONDS": "1"}
    command = [sys.executable, "-m", "runwise_cli", "list"]
    asking = subprocess.Popen(command, cwd=other, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until_held(pid)
        os.kill(pid, signal.SIGTERM)
        until_said(Path(daemon_env["RUNWISE_STATE_DIR"], "daemon.log"))
        tracer.kill()  # which keeps what it traces from going
        wait_until_ended(Path(daemon_env["RUNWISE_RUNTIME_DIR"]))
    finally:
        asking.kill()
        asking.wait()
    kept = Path(daemon_env["RUNWISE_CACHE_DIR"], "runs").rglob("w8k2m4dq-*.rwx")
    assert len(list(kept)) >= 1


def until_said(log: Path) -> None:
    """Wait until the daemon has given up on what hangs."""
    given_up = r"WARNING (something hangs: saving what can be saved|ended, though something hangs)"
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not re.search(given_up, log.read_text()):
        assert time.monotonic() < deadline, log.read_text()
