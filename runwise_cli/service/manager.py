"""The platform's service manager of this user, as far as one runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Protocol

from runwise_protocol.errors import Kind, RunwiseError

from runwise_cli.service.units import LABEL, SERVICE, SOCKET

SECONDS = 30
"""Longest wait for a command of the manager's."""


class Manager(Protocol):
    """What starts and stops the service."""

    def start(self, agent: Path, *, is_changed: bool) -> str:
        """Load the files and listen from now on; what to tell. Raises RunwiseError."""

    def stop(self, agent: Path) -> None:
        """Stop listening and serving; nothing happens where it does neither. Raises RunwiseError."""

    def forget(self) -> None:
        """The files are gone. Raises RunwiseError."""

    def state(self) -> str:
        """What it says of the socket, in a word or two."""

    @property
    def restart_command(self) -> str:
        """What to type to have it listen anew."""


class Systemd:
    """The user manager of systemd."""

    def start(self, agent: Path, *, is_changed: bool) -> str:
        """As `Manager`."""
        del agent
        _run("systemctl", "--user", "daemon-reload")
        if is_changed:  # the next question starts what the files say now
            _run("systemctl", "--user", "stop", SOCKET, SERVICE)
        _run("systemctl", "--user", "enable", "--now", SOCKET)
        return f"{SOCKET} is {self.state()}; the first question starts {SERVICE}"

    def stop(self, agent: Path) -> None:
        """As `Manager`."""
        del agent
        _run("systemctl", "--user", "disable", "--now", SOCKET)
        _run("systemctl", "--user", "stop", SERVICE)

    def forget(self) -> None:
        """As `Manager`."""
        _run("systemctl", "--user", "daemon-reload")
        _try("systemctl", "--user", "reset-failed", SOCKET, SERVICE)  # fails where there is nothing to forget

    def state(self) -> str:
        """As `Manager`."""
        return _try("systemctl", "--user", "is-active", SOCKET).stdout.strip() or "unknown"

    @property
    def restart_command(self) -> str:
        """As `Manager`."""
        return f"runwise daemon stop; systemctl --user restart {SOCKET}"


class Launchd:
    """launchd's domain of the user who is logged in."""

    def __init__(self) -> None:
        self._domain = f"gui/{os.getuid()}"

    def start(self, agent: Path, *, is_changed: bool) -> str:
        """As `Manager`."""
        if is_changed:
            self.stop(agent)
        if not self._is_loaded:
            _run("launchctl", "bootstrap", self._domain, str(agent))
        return f"{LABEL} is {self.state()}; the first question starts it"

    def stop(self, agent: Path) -> None:
        """As `Manager`."""
        del agent
        if self._is_loaded:
            _run("launchctl", "bootout", f"{self._domain}/{LABEL}")

    def forget(self) -> None:
        """As `Manager`."""

    def state(self) -> str:
        """As `Manager`."""
        return "loaded" if self._is_loaded else "not loaded"

    @property
    def restart_command(self) -> str:
        """As `Manager`."""
        return f"runwise daemon stop; launchctl bootout {self._domain}/{LABEL}; {by_hand()}"

    @property
    def _is_loaded(self) -> bool:
        return _try("launchctl", "print", f"{self._domain}/{LABEL}").returncode == 0


def running() -> Manager | None:
    """The manager; None where none runs for this user, as in a container or after `su`."""
    if sys.platform == "darwin":
        return Launchd() if _answers("launchctl", "print", f"gui/{os.getuid()}") else None
    return Systemd() if _answers("systemctl", "--user", "show-environment") else None


def by_hand() -> str:
    """What to type once a manager runs."""
    if sys.platform == "darwin":
        return f"launchctl bootstrap gui/{os.getuid()} ~/Library/LaunchAgents/{LABEL}.plist"
    return f"systemctl --user daemon-reload && systemctl --user enable --now {SOCKET}"


def _answers(*command: str) -> bool:
    return shutil.which(command[0]) is not None and _try(*command).returncode == 0


def _run(*command: str) -> None:
    done = _try(*command)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}").splitlines()[0]
        raise RunwiseError(Kind.UNREACHABLE, f"{' '.join(command)}: {said}", " ".join(command))


def _try(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        message = f"{' '.join(command)} has not ended within {SECONDS} s"
        raise RunwiseError(Kind.UNREACHABLE, message, " ".join(command)) from error
