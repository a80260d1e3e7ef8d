"""The bytes between a client and the engine: the daemon's socket, or the pipes of a child where no daemon can run."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
from typing import IO, Protocol

from runwise_protocol import launch
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.paths import runtime_folder


class Channel(Protocol):
    """A stream of bytes to the engine and back."""

    def send(self, data: bytes) -> None:
        """Send all of it. Raises OSError, and RunwiseError when it is not taken in time."""

    def receive(self) -> bytes:
        """The next bytes; none when the other side has gone. Raises OSError, and RunwiseError when it is silent."""

    def shut(self) -> None:
        """Have a thread that sends or receives see the other side go away."""

    def close(self) -> None:
        """Let go of it."""


class NotRunning(RunwiseError):  # noqa: N818 - a finding, worded as one
    """There is no daemon, and none was to be started."""

    def __init__(self, message: str) -> None:
        super().__init__(Kind.UNREACHABLE, message, "runwise daemon start")


def open_channel(*, start: bool) -> Channel:
    """Reach the engine in the best way there is; see `Client`. Raises RunwiseError."""
    note = ""
    if not os.environ.get("RUNWISE_NO_DAEMON"):
        try:
            connection = launch.reach(start=start)
            if connection is None:
                raise NotRunning("no daemon is running")
            return _Socket(connection)
        except launch.NoDaemon as reason:
            note = f"no daemon can run here ({reason})"
    if not start:
        raise NotRunning(note or "no daemon: RUNWISE_NO_DAEMON is set")
    if note:
        print(f"note: {note}; answering without one", file=sys.stderr)
    return Child()


class _Socket:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def send(self, data: bytes) -> None:
        try:
            self._connection.sendall(data)
        except BlockingIOError as error:
            raise launch.not_responding(runtime_folder()) from error

    def receive(self) -> bytes:
        try:
            return self._connection.recv(1 << 18)
        except BlockingIOError as error:
            raise launch.not_responding(runtime_folder()) from error

    def shut(self) -> None:
        with contextlib.suppress(OSError):  # it has gone already
            self._connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._connection.close()


class Child:
    """An engine of this client's own, in a child process. Raises RunwiseError when it cannot be started."""

    def __init__(self) -> None:
        try:
            with launch.open_log() as log:
                self._process = subprocess.Popen(
                    [*launch.daemon_command(), "--stdio"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    start_new_session=True,
                    cwd="/",
                    env=launch.environment(os.environ),
                    bufsize=0,
                )
        except OSError as error:
            raise RunwiseError(Kind.UNREACHABLE, f"cannot start the engine: {error}") from error

    def send(self, data: bytes) -> None:
        """See `Channel`."""
        descriptor = _pipe(self._process.stdin)
        while data:
            data = data[os.write(descriptor, data) :]

    def receive(self) -> bytes:
        """See `Channel`."""
        descriptor = _pipe(self._process.stdout)
        if not select.select([descriptor], [], [], launch.patience() or None)[0]:
            raise RunwiseError(Kind.UNREACHABLE, f"the engine (pid {self._process.pid}) is not responding")
        return os.read(descriptor, 1 << 18)

    def shut(self) -> None:
        """As `Channel`."""
        self._process.kill()

    def close(self) -> None:
        """See `Channel`."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(launch.STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _pipe(stream: IO[bytes] | None) -> int:
    if stream is None or stream.closed:
        raise BrokenPipeError
    return stream.fileno()
