"""`runwise doctor`: each fault is made for real, named with what mends it, and gone once that was done."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runwise_protocol import __version__

from runwised.catalog.checks import indexes, watch_limits
from tests.server.test_upgrade import NEWER, install, runs, until

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "runwised" / "demo"
DEADLINE_SECONDS = 30

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def runtime(daemon_env: dict[str, str]) -> Path:
    return Path(daemon_env["RUNWISE_RUNTIME_DIR"])


@pytest.fixture
def examine(runwise: Run, daemon_env: dict[str, str], tmp_path: Path) -> Callable[..., dict[str, dict[str, str]]]:
    """What the doctor says, by name; the exit status goes with it."""
    daemon_env["XDG_CONFIG_HOME"] = str(tmp_path / "config")

    def run(*argv: str) -> dict[str, dict[str, str]]:
        told = runwise("doctor", "--format", "json", *argv)
        said = json.loads(told.stdout)
        failed = any(check["level"] == "fail" for check in said["checks"])
        assert (said["ok"], told.returncode, told.stderr) == (not failed, int(failed), "")
        return {check["name"]: check for check in said["checks"]}

    return run


def test_a_sound_installation_is_all_ok_with_and_without_a_daemon(
    runwise: Run, examine: Callable[..., Any], tmp_path: Path
) -> None:
    before = examine()
    assert {check["level"] for check in before.values()} == {"ok"}
    assert before["daemon"]["message"] == "none runs; the next question starts one"
    runwise("stats", "gpt-wide", cwd=shutil.copytree(DEMO, tmp_path / "demo"))
    during = examine()
    assert {check["level"] for check in during.values()} == {"ok"}
    assert during["daemon"]["message"].startswith("answers (pid ")
    assert during["version"]["message"] == f"{__version__}, as this command"
    assert during["projects"]["message"].startswith("1 on ")


def test_as_text_it_is_a_line_each_and_what_mends_it_below(runwise: Run, runtime: Path, examine: Any) -> None:
    del examine  # for its environment
    runtime.mkdir(mode=0o755)
    runtime.chmod(0o755)
    told = runwise("doctor")
    assert told.returncode == 1
    lines = told.stdout.splitlines()
    assert lines[:2] == [
        f"fail runtime folder: {runtime} has mode 0755, others must not get in",
        f"     fix: chmod 700 {runtime}",
    ]
    assert all(line.startswith(("ok   ", "warn ", "fail ", "     fix: ")) for line in lines)


def mended(check: dict[str, str], level: str) -> None:
    """Do what is said to mend it."""
    assert check["level"] == level
    subprocess.run(["sh", "-c", check["fix"]], check=True)


def test_a_folder_open_to_others_is_closed(runtime: Path, examine: Callable[..., Any]) -> None:
    runtime.mkdir()
    runtime.chmod(0o777)
    mended(examine()["runtime folder"], "fail")
    assert examine()["runtime folder"]["level"] == "ok"


def test_what_is_in_the_sockets_way_is_removed(runtime: Path, examine: Callable[..., Any]) -> None:
    runtime.mkdir(mode=0o700)
    (runtime / "runwised.sock").mkdir()
    mended(examine()["socket"], "fail")
    assert "socket" not in examine()


def test_a_socket_open_to_others_is_told_of(runtime: Path, examine: Callable[..., Any]) -> None:
    runtime.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(runtime / "runwised.sock"))
        (runtime / "runwised.sock").chmod(0o666)
        mended(examine()["socket"], "warn")
        assert examine()["socket"]["level"] == "ok"


@pytest.mark.parametrize("is_unreachable", [False, True])
def test_a_daemon_that_does_not_answer_is_named(
    runwise: Run, daemon_env: dict[str, str], runtime: Path, examine: Callable[..., Any], is_unreachable: bool
) -> None:
    runwise("daemon", "start")
    pid = int((runtime / "daemon.lock").read_text())
    os.kill(pid, signal.SIGSTOP)
    if is_unreachable:
        (runtime / "runwised.sock").unlink()
    daemon_env["RUNWISE_TIMEOUT_SECONDS"] = "1"
    check = examine()["daemon"]
    said = "one holds the lock ({}), and does not listen" if is_unreachable else "the daemon is not responding ({})"
    assert check["message"] == said.format(f"pid {pid}")
    assert check["fix"].startswith(f"kill -9 {pid}")
    os.kill(pid, signal.SIGKILL)
    assert examine()["daemon"]["level"] == "ok"


@pytest.fixture
def newer(daemon_env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment with a newer installation, whose daemon runs."""
    for name, value in daemon_env.items():
        monkeypatch.setenv(name, value)
    env = {**daemon_env, "PYTHONPATH": str(install(tmp_path / "site", NEWER))}
    started = runs(env, "daemon", "start", cwd=tmp_path)
    assert started.communicate(timeout=DEADLINE_SECONDS)[1] == ""
    until(lambda found: found.get("version") == NEWER)
    return env


@pytest.mark.usefixtures("newer")
def test_a_daemon_of_another_version_is_told_of(examine: Callable[..., Any]) -> None:
    check = examine()["version"]
    assert check["level"] == "warn"
    assert check["message"] == f"the daemon is {NEWER}, newer than this command ({__version__})"


def test_damaged_indexes_are_counted_and_named(
    runwise: Run, daemon_env: dict[str, str], examine: Callable[..., Any], tmp_path: Path
) -> None:
    runwise("stats", "gpt-wide", cwd=shutil.copytree(DEMO, tmp_path / "demo"))
    runwise("daemon", "stop")
    kept = sorted(Path(daemon_env["RUNWISE_CACHE_DIR"], "runs").rglob("*.rwx"))
    assert len(kept) >= 5
    sound = examine()["indexes"]
    assert (sound["level"], sound["message"]) == (
        "ok",
        f"{len(kept)} of {len(kept)} indexes looked at, 0 damaged",
    )
    largest = max(kept, key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[-100] ^= 1
    largest.write_bytes(data)
    check = examine("--all")["indexes"]
    assert "1 damaged; they are made anew from the logs" in check["message"]
    assert check["fix"] == f"rm {largest}"
    mended(check, "warn")
    assert examine()["indexes"]["level"] == "ok"


def test_indexes_of_another_version_are_not_taken_for_damaged(tmp_path: Path) -> None:
    assert indexes(tmp_path, False).message == "0 of 0 indexes looked at, 0 damaged"
    (tmp_path / "x.rwx").write_bytes(b"nothing")
    assert indexes(tmp_path, False).level == "warn"


@pytest.mark.parametrize(("most", "level"), [(1000, "ok"), (12, "warn"), (10, "fail")])
def test_watches_are_counted_against_their_limit(tmp_path: Path, most: int, level: str) -> None:
    limits, process = tmp_path / "limits", tmp_path / "proc" / "77"
    for folder in (limits, process / "fd", process / "fdinfo"):
        folder.mkdir(parents=True)
    (limits / "max_user_watches").write_text(f"{most}\n")
    (limits / "max_user_instances").write_text("128\n")
    (process / "fd" / "5").symlink_to("anon_inode:inotify")
    (process / "fdinfo" / "5").write_text("pos:\t0\n" + "inotify wd:1 ino:2\n" * 10)
    (process / "fd" / "6").symlink_to("/dev/null")
    (process / "fdinfo" / "6").write_text("pos:\t0\n")
    instances, watches = watch_limits(str(limits), str(tmp_path / "proc"))
    assert (instances.level, instances.message) == ("ok", "1 of 128 inotify instances in use by you")
    assert (watches.level, watches.message) == (level, f"10 of {most} inotify watches in use by you")
    assert watches.fix == ("" if level == "ok" else f"sudo sysctl fs.inotify.max_user_watches={max(2 * most, 1024)}")


def test_units_that_are_not_as_this_version_writes_them_are_told_of(user: Any) -> None:
    assert "ok   service: not installed" in user.run("doctor").stdout
    user.run("daemon", "install")
    told = user.run("doctor").stdout
    assert "ok   service: runwised.socket, runwised.service as this version writes them\n" in told
    assert f"ok   service command: {sys.executable} starts version {__version__}\n" in told
    unit = user.units / "runwised.service"
    unit.write_text(unit.read_text().replace(sys.executable, "/no/such/python"))
    told = user.run("doctor")
    assert told.returncode == 1
    assert "warn service: runwised.service in " in told.stdout
    assert "fail service command: /no/such/python does not run: " in told.stdout
    user.run("daemon", "install")
    assert "fail" not in user.run("doctor").stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_disk_that_runs_full_is_told_of(
    examine: Callable[..., Any], daemon_env: dict[str, str], short_path: Path
) -> None:
    small = short_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", small], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        daemon_env["RUNWISE_CACHE_DIR"] = str(small / "cache")
        check = examine()["cache disk"]
        assert (check["level"], check["fix"]) == ("fail", f"free some room on the disk of {small}")
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_cache_that_is_a_file_or_somebody_elses_is_told_of(
    examine: Callable[..., Any], daemon_env: dict[str, str]
) -> None:
    cache = Path(daemon_env["RUNWISE_CACHE_DIR"])
    cache.mkdir()
    cache.chmod(0o777)
    mended(examine()["cache"], "warn")
    assert examine()["cache"]["level"] == "ok"


def test_a_format_it_does_not_have_is_refused(runwise: Run) -> None:
    told = runwise("doctor", "--format", "xml")
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr == "error: no format 'xml'; text, json\nhint: runwise doctor --format json\n"
