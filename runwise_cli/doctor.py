"""`runwise doctor`: what may keep runwise from working, each with what mends it; also while no daemon runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from runwise_protocol import __version__, launch
from runwise_protocol.channel import NotRunning
from runwise_protocol.client import Client
from runwise_protocol.errors import RunwiseError
from runwise_protocol.harmless import clean
from runwise_protocol.paths import SOCKET_NAME, UnsafeFolder, check_folder, runtime_folder
from runwise_protocol.versions import is_newer

from runwise_cli.service import units
from runwise_cli.service.install import runs_by_itself
from runwise_cli.service.manager import Manager, by_hand, running

SECONDS = 120
"""Longest wait for the look at caches and limits."""


class Check(NamedTuple):
    """One finding, as `runwised.catalog.checks.Check`."""

    name: str
    level: str
    message: str
    fix: str = ""


def doctor(*, everything: bool, form: str) -> tuple[str, int]:
    """All findings as text, or as JSON; the exit status is 1 where one is a failure."""
    found = [*_folder(), *_daemon(), *_service(), *_engine(everything)]
    status = int(any(check.level == "fail" for check in found))
    if form == "json":
        checks = [check._asdict() for check in found]
        return json.dumps({"version": __version__, "ok": not status, "checks": checks}), status
    return "\n".join(_line(check) for check in found), status


def _line(check: Check) -> str:
    fix = f"\n     fix: {clean(check.fix)}" if check.fix else ""
    return f"{check.level:4} {check.name}: {clean(check.message)}{fix}"


def _folder() -> Iterator[Check]:
    folder = runtime_folder()
    try:
        check_folder(folder)
    except FileNotFoundError:
        yield Check("runtime folder", "ok", f"{folder} is made when it is needed")
    except UnsafeFolder as unsafe:
        yield Check("runtime folder", "fail", str(unsafe), unsafe.hint)
    except OSError as error:
        elsewhere = "export RUNWISE_RUNTIME_DIR=/a/folder/of/yours"
        yield Check("runtime folder", "fail", f"{folder}: {error.strerror}", elsewhere)
    else:
        yield Check("runtime folder", "ok", f"{folder} is yours, and closed to others")
    path = Path(folder, SOCKET_NAME)
    try:
        found = path.lstat()
    except OSError:
        return
    if not path.is_socket() or path.is_symlink():
        yield Check("socket", "fail", f"{path} is in the way: it is not a socket", f"rm -r {path}")
    elif found.st_uid != os.getuid():
        yield Check("socket", "fail", f"{path} belongs to uid {found.st_uid}, not to you ({os.getuid()})", f"rm {path}")
    elif found.st_mode & 0o077:
        yield Check("socket", "warn", f"{path} has mode {found.st_mode & 0o777:04o}", f"chmod 600 {path}")
    else:
        yield Check("socket", "ok", f"{path} is yours alone")


def _daemon() -> Iterator[Check]:
    if os.environ.get("RUNWISE_NO_DAEMON"):
        yield Check("daemon", "warn", "RUNWISE_NO_DAEMON is set: every question reads anew", "unset RUNWISE_NO_DAEMON")
        return
    try:
        with Client.connect(start=False) as client:
            said = client.control("ping")
    except NotRunning:
        yield from _without_daemon()
        return
    except RunwiseError as error:
        yield Check("daemon", "fail", error.message, error.hint)
        return
    pid, version = said.get("pid"), str(said.get("version"))
    yield Check("daemon", "ok", f"answers (pid {pid})")
    if version == __version__:
        yield Check("version", "ok", f"{version}, as this command")
    elif is_newer(version, __version__):
        fix = "pip install --upgrade runwised"
        yield Check("version", "warn", f"the daemon is {version}, newer than this command ({__version__})", fix)
    else:
        yield Check("version", "warn", f"the daemon is {version}, this is {__version__}", "runwise daemon restart")


def _without_daemon() -> Iterator[Check]:
    try:
        is_free = launch.wait_until_ended(0)
    except OSError as error:
        yield Check("daemon", "fail", f"its lock cannot be opened: {error.strerror}", f"ls -l {runtime_folder()}")
        return
    if is_free:
        yield Check("daemon", "ok", "none runs; the next question starts one")
    else:
        pid = launch.holder(runtime_folder())
        yield Check("daemon", "fail", f"one holds the lock (pid {pid}), and does not listen", f"kill -9 {pid}")


def _service() -> Iterator[Check]:
    wanted = units.files()
    there = [file for file in wanted if file.path.exists()]
    if not there:
        yield Check("service", "ok", "not installed; a question starts the daemon (runwise daemon install)")
        return
    differing = [file.path.name for file in wanted if not file.path.exists() or _text(file.path) != file.text]
    if differing:
        message = f"{', '.join(differing)} in {units.folder()}: not as this version writes"
        yield Check("service", "warn", message, "runwise daemon install")
    else:
        yield Check("service", "ok", f"{', '.join(file.path.name for file in wanted)} as this version writes them")
    yield from _command()
    manager = running()
    if manager is None:
        yield Check("service manager", "warn", "none runs for you here", by_hand())
    else:
        state = manager.state()
        is_on = state in ("active", "loaded")
        yield Check("service manager", "ok" if is_on else "fail", f"the socket is {state}", "" if is_on else by_hand())
        if is_on:
            yield from _is_served(manager)
    if sys.platform == "linux" and not os.environ.get("XDG_RUNTIME_DIR") and not os.environ.get("RUNWISE_RUNTIME_DIR"):
        fix = f"export XDG_RUNTIME_DIR=/run/user/{os.getuid()}"
        yield Check("environment", "warn", "XDG_RUNTIME_DIR is not set here: the service is not found", fix)


def _is_served(manager: Manager) -> Iterator[Check]:
    """Whether clients reach the socket that the manager listens at."""
    try:
        is_other = runs_by_itself() or not Path(runtime_folder(), SOCKET_NAME).exists()
    except RunwiseError:
        return  # that it does not answer has been told
    if is_other:
        yield Check("service socket", "warn", "clients do not reach the one the service has", manager.restart_command)


def _command() -> Iterator[Check]:
    """Whether what the service starts is there, and of this version."""
    found = re.search(r"(?m)^ExecStart=(.+)$", _text(units.folder() / units.SERVICE))
    command = [word.strip('"').replace("%%", "%").replace("$$", "$") for word in found[1].split(" ")] if found else []
    if not command or "%" in command[0]:
        return
    try:
        done = subprocess.run(
            [*command, "--version"], capture_output=True, text=True, timeout=SECONDS, check=False, cwd="/"
        )
        version = done.stdout.strip().rpartition(" ")[2]
    except (OSError, subprocess.TimeoutExpired) as error:
        yield Check("service command", "fail", f"{command[0]} does not run: {error}", "runwise daemon install")
        return
    if version == __version__:
        yield Check("service command", "ok", f"{command[0]} starts version {version}")
    else:
        message = f"{command[0]} starts {version or 'nothing'}, this is {__version__}"
        yield Check("service command", "warn" if version else "fail", message, "runwise daemon install")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _engine(everything: bool) -> Iterator[Check]:
    """What only the daemon's own code can look at; it is run for this, and needs no daemon."""
    command = [*launch.daemon_command(), "--check", *(["--all"] if everything else [])]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=None if everything else SECONDS,
            check=False,
            cwd="/",
            env=launch.environment(os.environ),
        )
        found = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        yield Check("caches", "fail", f"looking at them took more than {SECONDS} s", "runwise doctor --all")
        return
    except (OSError, ValueError):
        said = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        yield Check("engine", "fail", f"it does not run: {said}", " ".join(command))
        return
    yield from (Check(**check) for check in found)
