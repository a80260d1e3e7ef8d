"""`runwise daemon start|stop|status|restart`: each gives its text and its exit status, or raises RunwiseError."""

from __future__ import annotations

import os
from typing import Any

from runwise_protocol import launch
from runwise_protocol.channel import NotRunning
from runwise_protocol.client import Client
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.paths import runtime_folder

CONDITION_NOT_MET = 1


def start() -> tuple[str, int]:
    """Start the daemon, unless one of this version runs."""
    try:
        if os.environ.get("RUNWISE_NO_DAEMON"):
            raise launch.NoDaemon("RUNWISE_NO_DAEMON is set")
        connection = launch.reach(start=True)
        if connection is not None:
            connection.close()
    except launch.NoDaemon as reason:
        raise RunwiseError(Kind.UNREACHABLE, f"no daemon can run here: {reason}", "runwise list") from reason
    with Client.connect() as client:
        if client.is_alone:
            raise RunwiseError(Kind.UNREACHABLE, "a daemon of a newer version runs", "runwise daemon stop")
        return f"the daemon is running (pid {client.control('ping')['pid']})", 0


def stop() -> tuple[str, int]:
    """End the daemon, if one runs, and wait until it has ended."""
    try:
        with Client.connect(start=False) as client:
            pid = client.control("stop")["pid"]
    except NotRunning:
        return "no daemon is running", 0
    if not launch.wait_until_ended(launch.STOP_SECONDS):
        raise launch.not_responding(runtime_folder())
    return f"the daemon has ended (pid {pid})", 0


def restart() -> tuple[str, int]:
    """End the daemon and start it anew."""
    ended, _ = stop()
    started, status = start()
    return f"{ended}\n{started}", status


def status() -> tuple[str, int]:
    """What the daemon says about itself; exit status 1 when none is running."""
    try:
        with Client.connect(start=False) as client:
            said = client.control("status")
    except NotRunning as error:
        return f"{error.message}; the next question starts one", CONDITION_NOT_MET
    engine = said.pop("engine", {})
    return "\n".join(f"{name} {_plain(value)}" for name, value in {**said, **engine}.items()), 0


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={_plain(inner)}" for name, inner in value.items()) or "-"
    if isinstance(value, list):
        return "; ".join(map(_plain, value)) or "-"
    return str(value)
