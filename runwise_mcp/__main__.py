"""The `runwise-mcp` command: a pump between stdin, stdout and the daemon, which is the MCP server.

A client that waits for its tools waits for this to start, so it imports next to nothing (a test holds the exact set of
modules). Only where no daemon answers, one of another version, or none any more, is more loaded: see `reach` and
`recovery`.
"""

import os
import sys

from runwise_protocol import __version__
from runwise_protocol.frames import ENVIRON, HELLO, REPLY_CAP, FrameError, Frames, mcp_request
from runwise_protocol.paths import SOCKET_NAME, UnsafeFolder, check_folder, runtime_folder

from runwise_mcp.journal import Journal
from runwise_mcp.pump import Pump

if os.name == "posix":
    try:
        from _socket import AF_UNIX, SO_RCVTIMEO, SO_SNDTIMEO, SOCK_STREAM, SOL_SOCKET, socket
    except ImportError:  # a Python that names its C module otherwise
        from socket import (  # type: ignore[assignment]
            AF_UNIX,
            SO_RCVTIMEO,
            SO_SNDTIMEO,
            SOCK_STREAM,
            SOL_SOCKET,
            socket,
        )

UNREACHABLE = 6
INTERRUPTED = 130
RESUME = "RUNWISE_MCP_RESUME"
"""Variable: descriptor of the session that the program which became this one leaves to it; see `recovery`."""
_PIECE = 1 << 16
_SECONDS = 10
"""Longest wait for a daemon that is there."""
_NO_LIMIT = bytes(16)


class OtherVersion(Exception):  # noqa: N818 - a finding, worded as one
    """The daemon is of another version."""


def main() -> None:
    """Run `runwise-mcp` with the process's own arguments, and end the process."""
    if os.name != "posix":
        sys.exit(f"error: runwise runs on Linux and macOS, this is {sys.platform}")
    if sys.argv[1:]:
        from runwise_mcp.command import main as command

        command(sys.argv[1:])
        return
    try:
        status = pump()
    except KeyboardInterrupt:
        status = INTERRUPTED
    os._exit(status)


def pump() -> int:
    """Pass bytes on until the client goes away. The exit status."""
    if RESUME in os.environ:
        from runwise_mcp.recovery import left_to_us

        return Pump(None, left_to_us(int(os.environ.pop(RESUME)))).run()
    connection = None
    if not os.environ.get("RUNWISE_NO_DAEMON"):
        try:
            connection = begin(connect())
        except (OSError, UnsafeFolder, FrameError, OtherVersion):
            pass  # whatever it is, starting a daemon mends it or says why not
    if connection is None:
        from runwise_mcp.reach import reached

        connection = reached()
        if connection is None:
            return UNREACHABLE
    return Pump(connection, Journal()).run()


def connect() -> socket:
    """A connection to a daemon of our own, with a time limit on every wait. Raises OSError and UnsafeFolder."""
    folder = runtime_folder()
    check_folder(folder)
    connection = socket(AF_UNIX, SOCK_STREAM)
    limit = _SECONDS.to_bytes(8, sys.byteorder) + bytes(8)
    connection.setsockopt(SOL_SOCKET, SO_RCVTIMEO, limit)
    connection.setsockopt(SOL_SOCKET, SO_SNDTIMEO, limit)
    connection.connect(f"{folder}/{SOCKET_NAME}")
    if sys.platform == "linux":
        peer = connection.getsockopt(SOL_SOCKET, 17, 12)  # SO_PEERCRED: pid, uid, gid
        if int.from_bytes(peer[4:8], sys.byteorder) != os.getuid():
            raise PermissionError
    return connection


def begin(connection: socket) -> socket | None:
    """The connection once it is an MCP session; None where the daemon ends without one.

    Raises OSError, FrameError and OtherVersion.
    """
    connection.sendall(_opening())
    frames = Frames(REPLY_CAP)
    whole: list[tuple[int, bytes]] = []
    while not whole:
        data = connection.recv(_PIECE)
        if not data:
            return None
        whole = frames.feed(data)
    kind, payload = whole[0]
    if kind != HELLO:
        return None
    if payload != __version__.encode():
        raise OtherVersion
    connection.setsockopt(SOL_SOCKET, SO_RCVTIMEO, _NO_LIMIT)
    connection.setsockopt(SOL_SOCKET, SO_SNDTIMEO, _NO_LIMIT)
    return connection


def _opening() -> bytes:
    environ = os.environ
    carried = [os.fsencode(f"{name}={environ[name]}") for name in ENVIRON if name in environ]
    try:
        cwd = os.getcwdb()
    except FileNotFoundError:
        cwd = b"/"
    return mcp_request(__version__, cwd, carried)


if __name__ == "__main__":
    main()
