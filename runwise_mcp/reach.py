"""Reaches a daemon where none answered at once: one is started, one of another version replaced."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

from runwise_protocol import launch
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.frames import FrameError

from runwise_mcp.__main__ import OtherVersion, begin


def reached() -> socket.socket | None:
    """A connection that is an MCP session; None where there can be none, which has been said on stderr."""
    try:
        return reach()
    except RunwiseError as error:
        print(error, file=sys.stderr)
        return None


def reach(*, replace: bool = True) -> socket.socket:
    """A connection that is an MCP session, with an engine of our own where no daemon can run.

    Raises RunwiseError, and OtherVersion where the daemon is of one and not to be replaced.
    """
    try:
        connection = _found(replace)
    except (OSError, FrameError) as error:
        raise RunwiseError(Kind.UNREACHABLE, f"the daemon cannot be reached: {error}") from error
    if connection is None:
        raise RunwiseError(Kind.UNREACHABLE, "the daemon takes no MCP session", "runwise daemon restart")
    return connection


def _found(replace: bool) -> socket.socket | None:
    if os.environ.get("RUNWISE_NO_DAEMON"):
        return _begun(_child())
    try:
        connection = launch.reach(start=True)
    except launch.NoDaemon:
        return _begun(_child())
    try:
        if connection is not None and (found := _begun(connection)) is not None:
            return found
    except OtherVersion:
        if not replace:
            raise
    from runwise_protocol.client import Client  # only here: to load it takes as long as the rest

    with Client.connect() as client:  # replaces an older daemon, and waits for the end of one that is ending
        is_alone = client.is_alone  # a newer one is left alone
    return _begun(_child() if is_alone else launch.reach(start=False) or _child())


def _begun(connection: socket.socket) -> socket.socket | None:
    return connection if begin(connection) is not None else None


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
