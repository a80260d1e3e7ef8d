"""The lane: one frame to the daemon with the command line, its answer copied back; everything else is left to Typer.

A warm answer costs little more than starting Python, so this imports next to nothing (a test holds the exact set of
modules); what is not plain sailing goes to `runwise_cli.app`, which loads slowly and knows everything.
"""

import os
import sys

from runwise_protocol import __version__
from runwise_protocol.frames import ALIVE, ENVIRON, ERR, EXIT, OUT, REPLY_CAP, FrameError, Frames, lane_request
from runwise_protocol.paths import SOCKET_NAME, UnsafeFolder, check_folder, runtime_folder

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
BROKEN_PIPE = 141
"""What a shell reports for a program that SIGPIPE ended."""
CANNOT_WRITE = 74
"""EX_IOERR of sysexits.h."""
_ALONE = ("daemon", "doctor", "init", "mcp", "skill", "status")
"""What a daemon that hangs must not keep from its work, nor be started for."""
INTERRUPTED = 130
"""What a shell reports for a program that SIGINT ended."""


def main() -> None:
    """Run `runwise` with the process's own arguments, and end the process."""
    if os.name != "posix":
        sys.exit(f"error: runwise runs on Linux and macOS, this is {sys.platform}")
    while None in (sys.stdin, sys.stdout, sys.stderr) and os.open(os.devnull, os.O_RDONLY) < 2:
        pass  # where stdout is closed, its number must not become that of a socket
    try:
        status = answer(sys.argv[1:])
    except KeyboardInterrupt:
        status = INTERRUPTED
    except BrokenPipeError:
        status = BROKEN_PIPE
    except OSError as error:
        what = error.filename or "cannot write the answer"
        status = _complain(f"error: {what}: {error.strerror}", CANNOT_WRITE)
    os._exit(status)  # spares the interpreter's tidying up, a tenth of the whole


def answer(argv: list[str]) -> int:
    """Answer one command line on stdout, in the quickest way there is. Raises OSError when that cannot be written."""
    status: int | None = None
    said: str | None = os.environ.get("_RUNWISE_AGAIN", "")
    is_alone = os.environ.get("RUNWISE_NO_DAEMON") or (argv and argv[0] in _ALONE)
    if not (said or is_alone or "_RUNWISE_COMPLETE" in os.environ):
        folder = runtime_folder()
        try:
            connection = _connect(folder)
        except BlockingIOError:
            return _complain(_not_responding(folder), UNREACHABLE)
        except (OSError, UnsafeFolder):
            connection = None
        if connection is not None:
            status, said = _ask(connection, folder, argv)
        # None listens, or one was ending, most likely before it heard the question.
        if (connection is None or said is None) and _is_question(argv):
            connection, status = _start()
            if connection is not None:
                status, said = _ask(connection, folder, argv)
    return _ask_in_full(argv, said or "") if status is None else status


def _is_question(argv: list[str]) -> bool:
    """Whether it is worth a daemon."""
    helped = "--help" in argv or "-h" in argv
    return not helped and (not argv or not (argv[0].startswith("-") or argv[0] in _ALONE))


def _start() -> tuple[socket | None, int | None]:
    """A connection to a new daemon; or else an exit status, the reason told; or neither where none can run."""
    from runwise_protocol.errors import RunwiseError
    from runwise_protocol.launch import NoDaemon, reach

    try:
        return reach(start=True), None
    except NoDaemon:
        return None, None
    except RunwiseError as error:
        return None, _complain(str(error), error.kind.exit_status)


def _ask_in_full(argv: list[str], said: str) -> int:
    """`said`: the last sign of life of a daemon that went away before it answered."""
    from runwise_cli.app import main as full

    sys.stdout = sys.stdout or os.fdopen(1, "w")  # where it was closed, writing must fail in the usual way
    sys.stderr = sys.stderr or os.fdopen(2, "w")
    status = full(argv, said)
    sys.stdout.flush()
    return status


def _connect(folder: str) -> socket:
    """A connection to a daemon of our own, with a time limit on every wait. Raises OSError and UnsafeFolder."""
    check_folder(folder)
    connection = socket(AF_UNIX, SOCK_STREAM)
    # A deadline of Python's own makes a connect fail at once where the queue is full; with these the kernel waits.
    limit = _number(os.environ.get("RUNWISE_TIMEOUT_SECONDS"), 10).to_bytes(8, sys.byteorder) + bytes(8)
    connection.setsockopt(SOL_SOCKET, SO_RCVTIMEO, limit)
    connection.setsockopt(SOL_SOCKET, SO_SNDTIMEO, limit)
    connection.connect(f"{folder}/{SOCKET_NAME}")
    if sys.platform == "linux":
        peer = connection.getsockopt(SOL_SOCKET, 17, 12)  # SO_PEERCRED: pid, uid, gid
        if int.from_bytes(peer[4:8], sys.byteorder) != os.getuid():
            raise PermissionError
    return connection


def _request(argv: list[str]) -> bytes:
    environ = os.environ
    width, flags = _number(environ.get("COLUMNS"), 0), ""
    if os.isatty(1):
        flags = "t" if environ.get("NO_COLOR") or environ.get("TERM") == "dumb" else "tc"
        width = width or os.get_terminal_size(1).columns
    carried = [os.fsencode(f"{name}={environ[name]}") for name in ENVIRON if name in environ]
    return lane_request(__version__, os.getcwdb(), width, flags, carried, [os.fsencode(word) for word in argv])


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 10 else default


def _ask(connection: socket, folder: str, argv: list[str]) -> tuple[int | None, str | None]:
    """The exit status, the answer written as it came; None: nothing was written, the question is not this easy.

    With it the daemon's last sign of life, where it went away; None: it went away without one.
    """
    try:
        request = _request(argv)
    except (OSError, ValueError):
        return None, ""
    try:
        connection.sendall(request)
    except BlockingIOError:
        return _complain(_not_responding(folder), UNREACHABLE), ""
    except OSError:
        return None, None
    return _copy(connection, folder)


def _copy(connection: socket, folder: str) -> tuple[int | None, str | None]:
    """Write the answer as it comes; see `_ask`."""
    frames = Frames(REPLY_CAP)
    begun, said = False, b""
    while True:
        try:
            data = connection.recv(1 << 16)
            whole = frames.feed(data)
        except BlockingIOError:
            return _complain(_not_responding(folder), UNREACHABLE), ""
        except (OSError, FrameError):
            break
        if not data:
            break
        for kind, payload in whole:
            if kind == EXIT:
                return payload[0], ""
            if kind in (OUT, ERR):
                _write(1 if kind == OUT else 2, payload)
                begun = True
            elif kind == ALIVE:
                said = payload
            elif not begun:
                return None, ""
    message = "error: the daemon went away in the middle of the answer\nhint: ask again"
    return (_complain(message, UNREACHABLE), "") if begun else (None, said.decode(errors="replace") or None)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _not_responding(folder: str) -> str:
    try:
        with open(f"{folder}/daemon.lock") as lock:
            pid = lock.read(20).strip()
    except OSError:
        pid = "?"
    return f"error: the daemon is not responding (pid {pid})\nhint: kill -9 {pid}, or set RUNWISE_NO_DAEMON=1"


def _complain(text: str, status: int) -> int:
    try:
        _write(2, text.encode() + b"\n")
    except OSError:
        pass
    return status


if __name__ == "__main__":
    main()
