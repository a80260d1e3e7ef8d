"""A daemon with an engine that echoes, and a client that may say anything."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from runwise_protocol import __version__, frames, messages
from runwise_protocol.queries import ListRuns
from runwise_protocol.query import Query, Where

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_SECONDS = 30


class Peer:
    """One connection to a daemon, which may break every rule."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(DEADLINE_SECONDS)
        self.socket.connect(str(path))
        self._frames = frames.Frames(frames.REPLY_CAP)
        self._whole: list[tuple[int, bytes]] = []

    def send(self, kind: int, payload: bytes) -> None:
        self.socket.sendall(frames.encode(kind, payload))

    def next(self) -> tuple[int, bytes] | None:
        """The next frame that is not a sign of life; None at the end."""
        while not self._whole:
            data = self.socket.recv(1 << 16)
            if not data:
                return None
            self._whole = [frame for frame in self._frames.feed(data) if frame[0] != frames.ALIVE]
        return self._whole.pop(0)

    def rest(self) -> list[tuple[int, bytes]]:
        """All frames until the daemon closes the connection."""
        return list(iter(self.next, None))

    def ask(self, query: Query | None = None, kind: int = frames.ASK) -> None:
        self.send(kind, messages.encode_ask(messages.Ask.of(query or ListRuns(), None, Where(cwd="/here"))))

    def greet(self) -> None:
        self.send(frames.HELLO, __version__.encode())
        assert self.next() == (frames.HELLO, __version__.encode())

    def status(self) -> dict[str, Any]:
        self.send(frames.CONTROL, b"status")
        frame = self.next()
        assert frame is not None
        return messages.decode_state(frame[1])


class Daemon:
    """A running echo daemon."""

    def __init__(self, folder: Path, plan: dict[str, Any], **options: Any) -> None:
        self.folder = folder
        self.path = folder / "runwised.sock"
        self.peers: list[Peer] = []
        environ = {**options.pop("environ", os.environ), "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protocol'}"}
        self.process = subprocess.Popen(
            [
                *options.pop("wrapper", []),
                sys.executable,
                str(Path(__file__).with_name("echo_daemon.py")),
                json.dumps({"folder": str(folder), **plan}),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environ,
            **options,
        )
        for number in options.get("pass_fds", ()):
            os.close(number)

    def line(self) -> str:
        """The next line it prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def peer(self) -> Peer:
        """A new connection."""
        self.peers.append(Peer(self.path))
        return self.peers[-1]

    def ended(self) -> int:
        """Wait for its end; the exit status."""
        return self.process.wait(DEADLINE_SECONDS)

    def end(self) -> None:
        for peer in self.peers:
            peer.socket.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.communicate()


@pytest.fixture
def folder(short_path: Path) -> Path:
    """An empty folder of the test's own, whose path is short enough for sockets."""
    return Path(tempfile.mkdtemp(dir=short_path))


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., Daemon]]:
    """Start an echo daemon: ``start(idle_seconds=1, limits={...})``; it is ready, unless ``ready=False``."""
    daemons: list[Daemon] = []

    def run(*, ready: bool = True, options: dict[str, Any] | None = None, **plan: Any) -> Daemon:
        daemons.append(Daemon(folder, plan, **(options or {})))
        if ready:
            assert daemons[-1].line() == "ready"
        return daemons[-1]

    yield run
    for daemon in daemons:
        daemon.end()


@pytest.fixture
def daemon(start: Callable[..., Daemon]) -> Daemon:
    """An echo daemon with everything as it is by default."""
    return start()
