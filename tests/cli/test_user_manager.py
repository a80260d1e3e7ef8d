"""The service as a user has it: a real user manager of systemd, in a mount namespace of its own."""

from __future__ import annotations

import json
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
from runwise_protocol import __version__

from tests.server.test_upgrade import NEWER, install
from tests.server.writer import Writer

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "runwised" / "demo"
SYSTEMD = next((path for path in ("/lib/systemd/systemd", "/usr/lib/systemd/systemd") if Path(path).exists()), "")
DEADLINE_SECONDS = 60
INITIALIZE = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
START = f"""
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system && exec {SYSTEMD} --user --log-target=console
"""


def why_not() -> str:
    """Why no user manager can be had here; empty where one can."""
    if sys.platform != "linux" or not SYSTEMD or not all(map(shutil.which, ("unshare", "systemctl"))):
        return "needs systemd (Debian: the package systemd) and unshare"
    if os.geteuid() != 0:
        return "only root can give systemd a /run of its own"
    probe = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/run"], capture_output=True, check=False)
    return "" if probe.returncode == 0 else "no mount namespace can be had here"


pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())


class Session:
    """A user who is logged in, and their manager."""

    def __init__(self, user: Any) -> None:
        self.user = user
        self.process: subprocess.Popen[bytes] | None = None

    def log_in(self) -> None:
        """Start the manager, and wait until it takes orders."""
        command = ["unshare", "-m", "sh", "-c", START]
        log = self.user.home.parent / "manager.log"
        with log.open("ab") as file:
            self.process = subprocess.Popen(command, env=self.user.environ, stdout=file, stderr=file)
        deadline = time.monotonic() + DEADLINE_SECONDS
        while self.systemctl("show-environment").returncode:
            if self.process.poll() is not None:
                pytest.skip(f"systemd does not start here: {log.read_text()[-300:]}")
            assert time.monotonic() < deadline, log.read_text()

    def log_out(self) -> None:
        """End the manager with everything it runs."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(DEADLINE_SECONDS)
            self.process = None

    def systemctl(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return self.user.shell("systemctl", "--user", *argv)  # type: ignore[no-any-return]

    def state(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.systemctl("show", "--value", "-p", name, unit).stdout.strip()

    def until(self, so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not so():
            assert time.monotonic() < deadline, self.systemctl("status", "runwised.service").stdout


@pytest.fixture
def session(user: Any) -> Iterator[Session]:
    session = Session(user)
    session.log_in()
    yield session
    session.log_out()


def pid_of(user: Any) -> int:
    found = re.search(r"(?m)^pid (\d+)$", user.run("daemon", "status").stdout)
    return int(found[1]) if found else 0


def test_a_life_of_the_service(session: Session, tmp_path: Path) -> None:
    """Install, first question, second project, log out and in, upgrade while somebody waits, uninstall."""
    user = session.user
    one = shutil.copytree(DEMO, tmp_path / "one")
    writer = Writer(tmp_path / "two" / "wandb")
    try:
        site = install(tmp_path / "site", __version__)
        user.environ["PYTHONPATH"] = str(site)
        installed = user.run("daemon", "install")
        assert (installed.returncode, installed.stderr) == (0, "")
        assert installed.stdout.endswith("runwised.socket is active; the first question starts runwised.service\n")
        assert session.state("runwised.service", "ActiveState") == "inactive"

        told = user.run("list", cwd=one)
        assert (told.returncode, told.stderr) == (0, "")
        assert told.stdout.startswith("6 runs; ")
        assert session.state("runwised.service", "MainPID") == str(pid_of(user))
        assert session.state("runwised.service", "SubState") == "running"
        assert user.run("list", cwd=tmp_path / "two").stdout.startswith("1 run")
        session.until(lambda: "7 runs" in session.state("runwised.service", "StatusText"))

        session.log_out()
        session.log_in()
        assert session.state("runwised.socket", "ActiveState") == "active"  # it is enabled
        assert session.state("runwised.service", "ActiveState") == "inactive"
        assert user.run("list", "--all", cwd=one).stdout.startswith("7 runs")

        waiting = subprocess.Popen(
            [sys.executable, "-m", "runwise_cli", "wait", "mine", "-u", "new(loss)", "-t", "50s"],
            cwd=tmp_path / "two",
            env=user.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        session.until(lambda: "\nanswering 1\n" in user.run("daemon", "status").stdout)
        install(site, NEWER)
        told = user.run("list", cwd=one)
        assert (told.returncode, told.stderr) == (0, "")
        assert f"version {NEWER}\n" in user.run("daemon", "status").stdout
        session.until(lambda: "\nanswering 1\n" in user.run("daemon", "status").stdout)
        writer.tell("append", "mine")
        out, err = waiting.communicate(timeout=DEADLINE_SECONDS)
        assert out.startswith("new(loss): mine loss .5 at step 1")
        assert (err, waiting.returncode) == ("", 0)

        examined = user.run("doctor")
        assert examined.returncode == 0, examined.stdout
        assert "ok   service manager: the socket is active\n" in examined.stdout

        removed = user.run("daemon", "uninstall", "--purge")
        assert (removed.returncode, removed.stderr) == (0, "")
        assert removed.stdout.startswith("the service is stopped\n")
        assert session.state("runwised.socket", "LoadState") == "not-found"
        assert [path for path in user.files() if "runwise" in path] == []
        assert not (user.session / "runwised").exists()
    finally:
        writer.close()


def test_a_daemon_that_a_question_had_started_makes_room_for_the_service(session: Session) -> None:
    user = session.user
    assert user.run("list", cwd=DEMO).returncode == 0
    before = pid_of(user)
    installed = user.run("daemon", "install")
    assert f"the daemon has ended (pid {before}): it had been started by a question\n" in installed.stdout
    assert user.run("list", cwd=DEMO).returncode == 0
    assert session.state("runwised.service", "MainPID") == str(pid_of(user))


def test_one_that_is_killed_or_hangs_is_started_again(session: Session) -> None:
    user = session.user
    user.run("daemon", "install")
    drop_in = user.units / "runwised.service.d" / "mine.conf"
    drop_in.parent.mkdir()
    drop_in.write_text("[Service]\nWatchdogSec=2\n")
    session.systemctl("daemon-reload")
    assert user.run("list", cwd=DEMO).returncode == 0
    first = pid_of(user)
    os.kill(first, signal.SIGKILL)
    session.until(lambda: session.state("runwised.service", "NRestarts") == "1" and pid_of(user) not in (0, first))
    second = pid_of(user)
    os.kill(second, signal.SIGSTOP)  # the watchdog hears no more of it
    session.until(lambda: session.state("runwised.service", "NRestarts") == "2")
    assert user.run("list", cwd=DEMO).returncode == 0
    assert pid_of(user) not in (first, second)
    assert user.run("daemon", "uninstall").returncode == 0
    kept = [path for path in user.files() if path.startswith(".config")]
    assert kept == [".config/systemd/user/runwised.service.d/mine.conf"]


def test_a_socket_that_was_removed_is_told_of_and_made_anew(session: Session) -> None:
    user = session.user
    user.run("daemon", "install")
    assert user.run("list", cwd=DEMO).returncode == 0
    assert "service socket" not in user.run("doctor").stdout
    (user.session / "runwised" / "runwised.sock").unlink()
    session.until(lambda: session.state("runwised.service", "ActiveState") == "inactive")
    fix = "runwise daemon stop; systemctl --user restart runwised.socket"
    for _ in ("no daemon", "one that a question started"):
        expected = f"warn service socket: clients do not reach the one the service has\n     fix: {fix}\n"
        assert expected in user.run("doctor").stdout
        assert user.run("list", cwd=DEMO).returncode == 0
    assert user.shell("sh", "-c", fix.replace("runwise ", f"{sys.executable} -m runwise_cli ", 1)).returncode == 0
    assert user.run("list", cwd=DEMO).returncode == 0
    assert session.state("runwised.service", "MainPID") == str(pid_of(user))
    assert "service socket" not in user.run("doctor").stdout


def test_reload_is_heard_and_answered(session: Session) -> None:
    user = session.user
    user.run("daemon", "install")
    user.run("list", cwd=DEMO)
    pid = pid_of(user)
    settings = user.home / ".config" / "runwised" / "environment"
    settings.parent.mkdir()
    settings.write_text("RUNWISE_IDLE_SECONDS=4321\n")
    reloaded = session.systemctl("reload", "runwised.service")
    assert (reloaded.returncode, reloaded.stderr) == (0, "")
    session.until(lambda: "\nidle_limit 4321.0\n" in user.run("daemon", "status").stdout)
    assert pid_of(user) == pid


def test_it_is_shut_off_as_the_unit_says(session: Session) -> None:
    """And works like that: this is the service, with everything on that a user's unit can have by itself."""
    user = session.user
    user.run("daemon", "install")
    assert user.run("stats", "gpt-wide", cwd=DEMO).returncode == 0
    status = Path(f"/proc/{pid_of(user)}/status").read_text()
    assert "\nNoNewPrivs:\t1\n" in status
    assert "\nSeccomp:\t2\n" in status
    assert "\nUmask:\t0077\n" in status
    assert oct((user.session / "runwised").stat().st_mode & 0o777) == "0o700"
    assert oct((user.session / "runwised" / "runwised.sock").stat().st_mode & 0o777) == "0o600"


def test_a_coding_agents_session_is_served_by_it(session: Session) -> None:
    """The SDK is loaded late, by a process that can no longer do everything."""
    user = session.user
    user.run("daemon", "install")
    asked = [
        {"id": 1, "method": "initialize", "params": INITIALIZE},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call", "params": {"name": "list_runs", "arguments": {}}},
    ]
    told = subprocess.run(
        [sys.executable, "-m", "runwise_mcp"],
        input="".join(json.dumps({"jsonrpc": "2.0", **each}) + "\n" for each in asked),
        cwd=DEMO,
        env=user.environ,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert told.stderr == ""
    answer = next(line for line in map(json.loads, told.stdout.splitlines()) if line.get("id") == 2)
    assert answer["result"]["content"][0]["text"].startswith("6 runs; ")


def test_shut_off_further_it_works_too(session: Session) -> None:
    """But for what this machine cannot do at all, and /tmp, where the tests live."""
    user = session.user
    project = shutil.copytree(DEMO, user.home / "demo")
    installed = user.run("daemon", "install", "--hardening")
    drop_in = user.units / "runwised.service.d" / "hardening.conf"
    assert f"{drop_in}: written\n" in installed.stdout
    names = re.findall(r"(?m)^(\w+)=yes$", drop_in.read_text())
    assert len(names) >= 8
    probe = ("systemd-run", "--user", "--wait", "--quiet", "--property")
    impossible = [name for name in names if user.shell(*probe, f"{name}=yes", "true").returncode]
    if len(impossible) > len(names) // 2:
        pytest.skip("services can hardly be shut off here")
    off = "".join(f"{name}=no\n" for name in {*impossible, "PrivateTmp"})
    drop_in.with_name("zz.conf").write_text(f"[Service]\n{off}")
    session.systemctl("daemon-reload")
    told = user.run("list", cwd=project)
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.startswith("6 runs; ")
    assert session.state("runwised.service", "MainPID") == str(pid_of(user))
    assert session.state("runwised.service", "ProtectHome") == "read-only"
    assert user.run("tag", "gpt-wide", "good", cwd=project).returncode == 0
    assert user.run("stats", "gpt-wide", cwd=project).returncode == 0
    assert user.run("daemon", "stop").returncode == 0
    assert list((user.home / ".cache" / "runwised" / "runs").rglob("*.rwx"))
    assert user.run("daemon", "uninstall").returncode == 0
    kept = [path for path in user.files() if path.startswith(".config")]
    assert kept == [".config/systemd/user/runwised.service.d/zz.conf"]
