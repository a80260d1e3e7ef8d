"""`runwise daemon logs`: the end of the daemon's log, wherever it is kept."""

from __future__ import annotations

import subprocess
from pathlib import Path

from runwise_protocol import launch
from runwise_protocol.client import Client
from runwise_protocol.errors import Kind, RunwiseError

from runwise_cli.service import units
from runwise_cli.service.manager import Systemd, running


def logs(lines: int, follow: bool) -> int:
    """Show the last lines, and with `follow` all that come. The exit status. Raises RunwiseError."""
    if lines < 0:
        raise RunwiseError(Kind.USAGE, f"{lines} lines, expected 0 or more", "runwise daemon logs -n 50")
    command = command_for(_place(), lines, follow)
    try:
        return subprocess.run(command, check=False).returncode
    except FileNotFoundError as error:
        raise RunwiseError(Kind.NOT_FOUND, f"no program {command[0]!r}", f"less {launch.log_path()}") from error
    except KeyboardInterrupt:
        return 130


def command_for(place: str, lines: int, follow: bool) -> list[str]:
    """What shows a log. Raises RunwiseError where there is none."""
    if place == "journal":
        more = ["--follow"] if follow else []
        return ["journalctl", "--user", "--unit", units.SERVICE, "--lines", str(lines), "--no-pager", *more]
    if place == "stderr":
        raise RunwiseError(Kind.NOT_FOUND, "the daemon logs to where it was started from", "runwise daemon restart")
    if not follow and not Path(place).exists():
        raise RunwiseError(Kind.NOT_FOUND, f"there is no log yet: {place}", "runwise daemon start")
    return ["tail", "-n", str(lines), *(["-F"] if follow else []), place]  # -F: also when it is begun anew


def _place() -> str:
    """Where the daemon that runs logs to; where none does, the journal if the service is installed."""
    try:
        with Client.connect(start=False) as client:
            return str(client.control("status").get("log") or launch.log_path())
    except RunwiseError:
        pass  # none runs, or it does not answer: its log is all the more of interest
    is_service = (units.folder() / units.SERVICE).exists() and isinstance(running(), Systemd)
    return "journal" if is_service else launch.log_path()
