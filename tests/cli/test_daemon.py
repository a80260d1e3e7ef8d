"""`runwise daemon`: start, stop, status and restart, each said in a line."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_it_is_started_once_asked_after_and_ended(runwise: Run, daemon_env: dict[str, str]) -> None:
    started = runwise("daemon", "start")
    assert (started.returncode, started.stderr) == (0, "")
    pid = re.fullmatch(r"the daemon is running \(pid (\d+)\)\n", started.stdout)
    assert pid
    assert runwise("daemon", "start").stdout == started.stdout
    status = runwise("daemon", "status")
    assert status.returncode == 0
    assert f"\npid {pid[1]}\n" in status.stdout
    assert f"\nsocket {daemon_env['RUNWISE_RUNTIME_DIR']}/runwised.sock\n" in status.stdout
    stopped = runwise("daemon", "stop")
    assert (stopped.returncode, stopped.stdout) == (0, f"the daemon has ended (pid {pid[1]})\n")
    assert not Path(daemon_env["RUNWISE_RUNTIME_DIR"], "runwised.sock").exists()


def test_where_none_runs_status_says_so_and_stop_has_nothing_to_do(runwise: Run, daemon_env: dict[str, str]) -> None:
    status = runwise("daemon", "status")
    assert (status.returncode, status.stdout) == (1, "no daemon is running; the next question starts one\n")
    stopped = runwise("daemon", "stop")
    assert (stopped.returncode, stopped.stdout) == (0, "no daemon is running\n")
    assert not Path(daemon_env["RUNWISE_RUNTIME_DIR"]).exists()


def test_restart_leaves_another_one_running(runwise: Run) -> None:
    runwise("daemon", "start")
    restarted = runwise("daemon", "restart")
    assert restarted.returncode == 0
    old, new = re.findall(r"pid (\d+)", restarted.stdout)
    assert old != new
    assert f"\npid {new}\n" in runwise("daemon", "status").stdout


def test_where_none_may_run_start_is_an_error(runwise: Run, daemon_env: dict[str, str]) -> None:
    daemon_env["RUNWISE_NO_DAEMON"] = "1"
    started = runwise("daemon", "start")
    assert started.returncode == 6
    assert started.stderr == "error: no daemon can run here: RUNWISE_NO_DAEMON is set\nhint: runwise list\n"


def test_status_tells_what_is_watched_and_how(runwise: Run, tmp_path: Path) -> None:
    wandb = tmp_path / "proj" / "wandb"
    shutil.copytree(ROOT / "runwised" / "demo" / "wandb", wandb)
    runwise("list", cwd=wandb.parent)
    told = runwise("status").stdout
    line = next(line for line in told.splitlines() if line.startswith("watching "))
    how = "(changes are reported|looked at every 10 s and when asked)"
    assert re.search(rf"{re.escape(str(wandb))} \(\w+\): {how}", line)
    assert re.search(rf"{re.escape(str(wandb.parent))}: last sweep \d+\.\d s ago; 0 running", line)
