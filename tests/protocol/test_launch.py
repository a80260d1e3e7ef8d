"""Reaching the daemon, and starting it: real processes, the real daemon, a real run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runwise_protocol import launch

PROJECT = Path(__file__).parents[1] / "fixtures" / "wandb" / "0.31.0-finished"
DEADLINE_SECONDS = 60

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def runtime(daemon_env: dict[str, str]) -> Path:
    return Path(daemon_env["RUNWISE_RUNTIME_DIR"])


def pid_of(runtime: Path) -> int:
    return int((runtime / "daemon.lock").read_text())


def started(daemon_env: dict[str, str]) -> int:
    """How many daemons came up in all."""
    return Path(daemon_env["RUNWISE_STATE_DIR"], "daemon.log").read_text().count(" ready on ")


def test_fifty_clients_at_once_start_one_daemon_and_are_all_answered(daemon_env: dict[str, str]) -> None:
    command = [sys.executable, "-m", "runwise_cli", "list", "--format", "json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    clients = [subprocess.Popen(command, cwd=PROJECT, env=daemon_env, **pipes) for _ in range(50)]  # type: ignore[call-overload]
    told = [client.communicate(timeout=DEADLINE_SECONDS) for client in clients]
    assert [client.returncode for client in clients] == [0] * 50
    assert {err for _, err in told} == {""}
    assert all('"total":1' in out.replace(" ", "") for out, _ in told)
    assert started(daemon_env) == 1


def test_a_killed_daemon_is_replaced_by_the_next_question(
    runwise: Run, daemon_env: dict[str, str], runtime: Path
) -> None:
    first = runwise("list", cwd=PROJECT)
    assert runwise("stats", cwd=PROJECT).returncode == 0  # indexed: no worker is left behind
    pid = pid_of(runtime)
    os.kill(pid, signal.SIGKILL)
    again = runwise("list", cwd=PROJECT)
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout.split()[:2] == first.stdout.split()[:2]
    assert pid_of(runtime) != pid
    assert started(daemon_env) == 2


def test_a_stopped_daemon_is_named_and_not_waited_for(runwise: Run, daemon_env: dict[str, str], runtime: Path) -> None:
    assert runwise("daemon", "start").returncode == 0
    pid = pid_of(runtime)
    os.kill(pid, signal.SIGSTOP)
    daemon_env["RUNWISE_TIMEOUT_SECONDS"] = "1"
    expected = f"error: the daemon is not responding (pid {pid})\nhint: kill -9 {pid}, or set RUNWISE_NO_DAEMON=1\n"
    for command in (["list"], ["daemon", "stop"]):
        told = runwise(*command, cwd=PROJECT)
        assert (told.returncode, told.stdout, told.stderr) == (6, "", expected)


def test_a_daemon_of_another_version_is_ended_and_replaced(
    runwise: Run, daemon_env: dict[str, str], runtime: Path
) -> None:
    old = (
        "import runwise_protocol, runpy, sys; runwise_protocol.__version__ = '0.0.1'; "
        "sys.argv[1:] = ['--ready-fd', '1']; runpy.run_module('runwised', run_name='__main__')"
    )
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen([sys.executable, "-c", old], env=daemon_env, **options) as daemon:
        assert daemon.stdout is not None
        assert daemon.stdout.readline() == "ready\n"
        assert "version 0.0.1\n" in runwise("daemon", "status").stdout
        told = runwise("list", cwd=PROJECT)
        assert (told.returncode, told.stderr) == (0, "")
        assert daemon.wait(DEADLINE_SECONDS) == 0
    assert pid_of(runtime) != daemon.pid


def test_the_daemon_survives_the_shell_it_was_started_from(
    daemon_env: dict[str, str], runtime: Path, runwise: Run
) -> None:
    shell = f"{sys.executable} -m runwise_cli list; kill -KILL 0"
    told = subprocess.run(
        ["sh", "-c", shell], cwd=PROJECT, env=daemon_env, start_new_session=True, capture_output=True, check=False
    )
    assert told.returncode == -signal.SIGKILL
    assert f"pid {pid_of(runtime)}\n" in runwise("daemon", "status").stdout


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_the_daemon_keeps_nothing_of_who_started_it(runwise: Run, daemon_env: dict[str, str], runtime: Path) -> None:
    daemon_env |= {"SECRET_TOKEN": "hush", "WANDB_DIR": str(PROJECT), "LC_ALL": "C.UTF-8"}
    reading, writing = os.pipe()
    told = runwise("list", cwd=PROJECT, pass_fds=(writing,), umask=0)
    os.close(writing)
    assert told.returncode == 0
    assert os.read(reading, 1) == b""  # nobody else holds the other end
    os.close(reading)
    process = Path("/proc", str(pid_of(runtime)))
    environ = (process / "environ").read_text()
    assert "hush" not in environ
    assert "WANDB_DIR" not in environ
    assert "LC_ALL=C.UTF-8" in environ
    assert str((process / "cwd").readlink()) == "/"
    assert "Umask:\t0077" in (process / "status").read_text()
    assert {str((process / "fd" / number).readlink()) for number in "01"} == {os.devnull}


def test_a_daemon_that_cannot_come_up_gives_its_own_reason(
    runwise: Run, daemon_env: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "broken" / "runwised").mkdir(parents=True)
    (tmp_path / "broken" / "runwised" / "__init__.py").write_text("raise RuntimeError('no numpy for you')")
    daemon_env["PYTHONPATH"] = f"{tmp_path / 'broken'}{os.pathsep}{daemon_env['PYTHONPATH']}"
    told = runwise("list")
    assert told.returncode == 6
    assert told.stderr == (
        "error: the daemon ended while it was starting: RuntimeError: no numpy for you\n"
        f"hint: see {daemon_env['RUNWISE_STATE_DIR']}/daemon.log\n"
    )


def test_an_idle_time_that_is_no_number_is_a_usage_error(runwise: Run, daemon_env: dict[str, str]) -> None:
    daemon_env["RUNWISE_IDLE_SECONDS"] = "soon"
    told = runwise("list")
    assert told.returncode == 2
    assert "RUNWISE_IDLE_SECONDS is 'soon', expected a number of seconds" in told.stderr


def test_a_daemon_that_a_question_started_ends_when_idle(
    runwise: Run,
    daemon_env: dict[str, str],
    runtime: Path,
    wait_until_ended: Callable[[Path], None],
) -> None:
    daemon_env["RUNWISE_IDLE_SECONDS"] = "0.5"
    assert runwise("list", cwd=PROJECT).returncode == 0
    wait_until_ended(runtime)
    assert not (runtime / "runwised.sock").exists()


def test_an_unsafe_runtime_folder_is_refused_with_what_mends_it(runwise: Run, runtime: Path) -> None:
    runtime.mkdir(mode=0o755)
    told = runwise("list", cwd=PROJECT)
    assert told.returncode == 6
    assert told.stderr == f"error: {runtime} has mode 0755, others must not get in\nhint: chmod 700 {runtime}\n"


def test_something_else_at_the_sockets_path_is_named(runwise: Run, runtime: Path) -> None:
    runtime.mkdir(mode=0o700)
    (runtime / "runwised.sock").mkdir()
    told = runwise("list", cwd=PROJECT)
    assert told.returncode == 6
    assert f"{runtime}/runwised.sock is in the way: it is not a socket" in told.stderr


def test_without_a_daemon_the_answer_is_the_same(runwise: Run, daemon_env: dict[str, str]) -> None:
    expected = runwise("run", cwd=PROJECT, umask=0o22).stdout
    daemon_env["RUNWISE_NO_DAEMON"] = "1"
    asked = runwise("run", cwd=PROJECT)
    assert (asked.returncode, asked.stdout, asked.stderr) == (0, expected, "")
    del daemon_env["RUNWISE_NO_DAEMON"]
    daemon_env["RUNWISE_RUNTIME_DIR"] = "/proc/1/runwised"
    forced = runwise("run", cwd=PROJECT)
    assert (forced.returncode, forced.stdout) == (0, expected)
    note = "note: no daemon can run here (/proc/1/runwised: No such file or directory); answering without one\n"
    assert forced.stderr == note


def test_the_environment_handed_on_holds_no_project_and_no_relative_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    ours = {
        "HOME": "/home/ada",
        "LC_ALL": "C",
        "XDG_CACHE_HOME": "/c",
        "RUNWISE_CACHE_DIR": "cache",
        "PYTHONPATH": f".{os.pathsep}{os.pathsep}/abs",
        "RUNWISE_PROJECT_ROOT": "/p",
        "WANDB_API_KEY": "secret",
        "LS_COLORS": "x",
    }
    assert launch.environment(ours) == {
        "HOME": "/home/ada",
        "LC_ALL": "C",
        "XDG_CACHE_HOME": "/c",
        "RUNWISE_CACHE_DIR": f"{tmp_path}/cache",
        "PYTHONPATH": f"{tmp_path}{os.pathsep}/abs",
    }
