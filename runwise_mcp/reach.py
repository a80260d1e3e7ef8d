"""Reaches a daemon where none answered at once: one is started, one of another version replaced."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

from runwise_protocol import launch
from runwise_protocol.client import Client
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.frames import FrameError

from runwise_mcp.__main__ import begin


def reach() -> socket.socket | None:
    """A connection that is an MCP session; None where there can be none, which has been said on stderr."""
    try:
        connection = _engine()
        if begin(connection) is not None:
            return connection
        raise RunwiseError(Kind.UNREACHABLE, "the daemon takes no MCP session", "runwise daemon restart")
    except (OSError, FrameError) as error:
        print(f"error: the daemon cannot be reached: {error}", file=sys.stderr)
    except RunwiseError as error:
        print(error, file=sys.stderr)
    return None


def _engine() -> socket.socket:
    """A connection to a daemon of this version, or to an engine of our own where none can run. Raises RunwiseError."""
    if os.environ.get("RUNWISE_NO_DAEMON"):
        return _child()
    with Client.connect() as client:
        if client.is_alone:
            return _child()
    try:
        return launch.reach(start=False) or _child()
    except launch.NoDaemon:
        return _child()


def _child() -> socket.socket:
    ours, theirs = socket.socketpair()
    with theirs, launch.open_log() as log:
        subprocess.Popen(
            [*launch.daemon_command(), "--stdio"],
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=log,
            start_new_session=True,
            cwd="/",
            env=launch.environment(os.environ),
        )
    return ours
