"""`runwise daemon install` and `uninstall`, where no service manager runs: what is written, and what stays."""

from __future__ import annotations

import plistlib
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from runwise_cli.service import units

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="units are systemd's")

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "runwised" / "demo"
ANALYZE = shutil.which("systemd-analyze")
BY_HAND = "systemctl --user daemon-reload && systemctl --user enable --now runwised.socket"
NAMES = ["runwised.service", "runwised.socket"]


def test_install_shows_and_writes_the_units_and_says_what_to_type(user: Any) -> None:
    told = user.run("daemon", "install")
    assert (told.returncode, told.stderr) == (0, "")
    assert "+ListenStream=%t/runwised/runwised.sock\n" in told.stdout
    assert f"+ExecStart={sys.executable} -P -m runwised\n" in told.stdout
    assert f"{user.units}/runwised.service: written\n" in told.stdout
    assert told.stdout.endswith(f"it starts at the next login, or after\n  {BY_HAND}\n")
    assert (user.units / "runwised.socket").read_text() == (ROOT / "systemd" / "runwised.socket").read_text()
    link = user.units / "sockets.target.wants" / "runwised.socket"
    assert link.readlink() == user.units / "runwised.socket"


def test_installing_again_changes_nothing(user: Any) -> None:
    user.run("daemon", "install")
    before = {path: path.stat().st_mtime_ns for path in user.units.glob("runwised.*")}
    told = user.run("daemon", "install")
    assert told.returncode == 0
    assert told.stdout.startswith("".join(f"{user.units}/{name} is there already\n" for name in reversed(NAMES)))
    assert {path: path.stat().st_mtime_ns for path in user.units.glob("runwised.*")} == before


@pytest.mark.parametrize("flag", ["--print", "--dry-run"])
def test_what_is_only_to_be_shown_is_not_written(user: Any, flag: str) -> None:
    told = user.run("daemon", "install", flag)
    assert told.returncode == 0
    assert "+[Socket]\n" in told.stdout
    assert "written" not in told.stdout
    assert user.files() == []


def test_a_unit_that_was_changed_by_hand_is_shown_as_a_difference(user: Any) -> None:
    user.run("daemon", "install")
    unit = user.units / "runwised.service"
    unit.write_text(unit.read_text().replace("WatchdogSec=60", "WatchdogSec=5"))
    told = user.run("daemon", "install")
    assert "-WatchdogSec=5\n+WatchdogSec=60\n" in told.stdout
    assert told.stdout.count(": written\n") == 1
    assert "WatchdogSec=60" in unit.read_text()


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_is_not_ours_is_refused_before_anything_is_written_and_stays_when_uninstalling(
    user: Any, name: str
) -> None:
    user.units.mkdir(parents=True)
    (user.units / name).write_text("[Unit]\nDescription=mine\n")
    told = user.run("daemon", "install")
    path = user.units / name
    expected = f"error: {path} is there, and not ours\nhint: mv {path} {path}.mine\n"
    assert (told.returncode, told.stdout, told.stderr) == (2, "", expected)
    assert user.run("daemon", "uninstall").returncode == 0
    assert user.files() == [f".config/systemd/user/{name}"]


def test_a_masked_unit_is_refused(user: Any) -> None:
    user.units.mkdir(parents=True)
    (user.units / "runwised.socket").symlink_to("/dev/null")
    told = user.run("daemon", "install")
    assert told.returncode == 2
    assert "runwised.socket is a link to /dev/null, not ours\nhint: rm " in told.stderr


def test_where_units_cannot_be_written_it_says_so(user: Any) -> None:
    (user.home / ".config").write_text("a file")
    told = user.run("daemon", "install")
    assert told.returncode == 5
    assert f"error: cannot read {user.units}/runwised.socket: " in told.stderr


def test_uninstall_leaves_nothing_behind(user: Any) -> None:
    user.run("daemon", "install", "--hardening")
    assert user.run("list", cwd=DEMO).returncode == 0
    told = user.run("daemon", "uninstall")
    assert (told.returncode, told.stderr) == (0, "")
    assert re.match(r"the daemon has ended \(pid \d+\)\n", told.stdout)
    assert told.stdout.count(": removed\n") == 4
    assert {path.split("/")[0] for path in user.files()} <= {".local", ".cache"}
    assert not (user.home / ".config" / "systemd").exists()
    again = user.run("daemon", "uninstall")
    assert (again.returncode, again.stdout) == (0, "no daemon is running\nno service was installed\n")


def test_purging_removes_what_was_learned_and_said_and_nothing_of_anybody_elses(user: Any, tmp_path: Path) -> None:
    project = shutil.copytree(DEMO, tmp_path / "demo")
    user.run("daemon", "install")
    assert user.run("tag", "gpt-wide", "good", cwd=project).returncode == 0
    assert user.run("stats", "gpt-wide", cwd=project).returncode == 0
    mine = user.home / ".cache" / "runwised" / "mine"
    mine.write_text("important")
    told = user.run("daemon", "uninstall", "--purge")
    assert (told.returncode, told.stderr) == (0, "")
    assert f"{user.home}/.local/state/runwised/annotations: removed\n" in told.stdout
    assert user.files() == [".cache/runwised/mine"]
    assert not (user.home / ".local" / "state" / "runwised").exists()
    assert not (user.session / "runwised").exists()


def test_folders_of_ones_own_are_handed_on_with_what_is_odd_in_their_names(user: Any) -> None:
    odd = user.home / 'my "50%" $HOME'
    user.environ |= {"RUNWISE_CACHE_DIR": str(odd), "XDG_STATE_HOME": str(user.home / "st"), "RUNWISE_CACHE_GIB": "2"}
    assert user.run("daemon", "install", "--hardening").returncode == 0
    unit = (user.units / "runwised.service").read_text()
    escaped = str(odd).replace('"', '\\"').replace("%", "%%")
    assert f'\nEnvironment="RUNWISE_CACHE_DIR={escaped}"\n' in unit
    assert f"\nEnvironment=RUNWISE_STATE_DIR={user.home}/st/runwised\n" in unit
    assert "\nEnvironment=RUNWISE_CACHE_GIB=2\n" in unit
    drop_in = (user.units / "runwised.service.d" / "hardening.conf").read_text()
    assert f'\nReadWritePaths=-%t/runwised "-{escaped}" -{user.home}/st/runwised\n' in drop_in


def test_the_socket_is_where_clients_look_for_it(user: Any) -> None:
    said = user.shell(
        sys.executable, "-c", "from runwise_protocol.paths import *; print(runtime_folder(), SOCKET_NAME)"
    )
    folder, name = said.stdout.split()
    user.run("daemon", "install")
    unit = (user.units / "runwised.socket").read_text()
    listens = re.findall(r"^ListenStream=(.+)$", unit, flags=re.MULTILINE)
    assert [each.replace("%t", str(user.session)) for each in listens] == [f"{folder}/{name}"]
    user.environ["RUNWISE_RUNTIME_DIR"] = f"{user.session}/other"
    user.run("daemon", "install")
    assert f"\nListenStream={user.session}/other/{name}\n" in (user.units / "runwised.socket").read_text()
    assert f"\nEnvironment=RUNWISE_RUNTIME_DIR={user.session}/other" in (user.units / "runwised.service").read_text()


def test_where_the_long_name_of_a_session_has_the_socket_lie_elsewhere_the_unit_says_where(user: Any) -> None:
    user.environ["RUNWISE_RUNTIME_DIR"] = f"{user.session}/{'x' * 120}"
    user.run("daemon", "install")
    (listens,) = re.findall(r"^ListenStream=(.+)$", (user.units / "runwised.socket").read_text(), flags=re.MULTILINE)
    assert re.fullmatch(r"/tmp/runwised-\d+-[0-9a-f]{12}/runwised.sock", listens)


@pytest.mark.skipif(ANALYZE is None, reason="needs systemd-analyze (Debian: the package systemd)")
def test_systemd_finds_nothing_wrong_with_the_units(user: Any) -> None:
    user.run("daemon", "install", "--hardening")
    units_there = [str(user.units / name) for name in NAMES]
    told = user.shell(str(ANALYZE), "verify", "--user", *units_there)
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")


def test_the_shipped_units_can_be_copied_as_they_are() -> None:
    service = units.shipped("runwised.service")
    assert re.findall(r"^ExecStart=(.+)$", service, flags=re.MULTILINE) == ["%h/.local/bin/runwised"]
    for name in (*NAMES, "hardening.conf", "local.runwised.plist"):
        assert units.is_ours(units.shipped(name))


def test_the_agent_of_launchd_has_our_command_and_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNWISE_RUNTIME_DIR", "/tmp/mine")
    text = units.plist()
    agent = plistlib.loads(text.encode())
    assert units.is_ours(text)
    assert agent["ProgramArguments"] == [sys.executable, "-P", "-m", "runwised"]
    listens = agent["Sockets"]["runwised"]
    assert (listens["SockPathName"], listens["SockPathMode"]) == ("/tmp/mine/runwised.sock", 0o600)
    assert agent["EnvironmentVariables"]["RUNWISE_RUNTIME_DIR"] == "/tmp/mine"
    shipped = plistlib.loads(units.shipped("local.runwised.plist").encode())
    assert shipped.keys() <= agent.keys()


def test_help_names_what_it_does(user: Any) -> None:
    told = user.run("daemon", "install", "--help")
    assert all(flag in told.stdout for flag in ("--print", "--dry-run", "--hardening"))
