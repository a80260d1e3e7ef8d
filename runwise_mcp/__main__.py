"""The pump: stdin to the daemon and back, byte by byte; the daemon is the MCP server.

A client that waits for its tools waits for this to start, so it imports next to nothing (a test holds the exact set of
modules). Only where no daemon answers, or one of another version, is more loaded, to start one.
"""

import os
import sys
from _thread import start_new_thread

from runwise_protocol import __version__
from runwise_protocol.frames import ENVIRON, HELLO, REPLY_CAP, FrameError, Frames, mcp_request
from runwise_protocol.paths import SOCKET_NAME, UnsafeFolder, check_folder, runtime_folder

if os.name == "posix":
    try:
        from _socket import AF_UNIX, SHUT_WR, SO_RCVTIMEO, SO_SNDTIMEO, SOCK_STREAM, SOL_SOCKET, socket
    except ImportError:  # a Python that names its C module otherwise
        from socket import (  # type: ignore[assignment]
            AF_UNIX,
            SHUT_WR,
            SO_RCVTIMEO,
            SO_SNDTIMEO,
            SOCK_STREAM,
            SOL_SOCKET,
            socket,
        )

UNREACHABLE = 6
INTERRUPTED = 130
_PIECE = 1 << 16
_SECONDS = 10
"""Longest wait for a daemon that is there."""
_NO_LIMIT = bytes(16)


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
    os._exit(status)  # the thread that reads stdin may hang in it


def pump() -> int:
    """Pass bytes on until either side closes. The exit status."""
    connection = None
    if not os.environ.get("RUNWISE_NO_DAEMON"):
        try:
            connection = begin(_connect())
        except (OSError, UnsafeFolder, FrameError):
            pass  # whatever it is, starting a daemon mends it or says why not
    if connection is None:
        from runwise_mcp.reach import reach

        connection = reach()
        if connection is None:
            return UNREACHABLE
    ended: list[bool] = []
    start_new_thread(_pass_in, (connection, ended))
    try:
        while data := connection.recv(_PIECE):
            _write(data)
    except BrokenPipeError:
        return 0  # the client has gone
    except ConnectionError:
        pass
    if ended:
        return 0
    sys.stderr.write("error: the daemon went away\nhint: restart the MCP server\n")
    return UNREACHABLE


def _connect() -> socket:
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
    """The connection once it is an MCP session; None where the daemon cannot give one. Raises OSError, FrameError."""
    connection.sendall(_opening())
    frames = Frames(REPLY_CAP)
    whole: list[tuple[int, bytes]] = []
    while not whole:
        data = connection.recv(_PIECE)
        if not data:
            return None
        whole = frames.feed(data)
    if whole[0] != (HELLO, __version__.encode()):
        return None
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


def _pass_in(connection: socket, ended: list[bool]) -> None:
    """Pass stdin on; at its end say so in `ended`, close the sending side, and leave the rest to the daemon."""
    try:
        while data := os.read(0, _PIECE):
            connection.sendall(data)
        ended.append(True)
        connection.shutdown(SHUT_WR)
    except OSError:
        pass  # the daemon has gone: the other direction sees it too


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


if __name__ == "__main__":
    main()
