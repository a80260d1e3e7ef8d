"""A real daemon process that faults are injected into, and what it says, comparable."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from runwise_protocol import __version__, frames, messages
from runwise_protocol.queries import Export, ListRuns, ShowStats
from runwise_protocol.query import Look, Query, Reply, Where

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_SECONDS = 30


class Connection:
    """One client of a daemon; it may break every rule."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(DEADLINE_SECONDS)
        try:
            self.socket.connect(path)
        except BaseException:
            self.socket.close()
            raise
        self._frames = frames.Frames(frames.REPLY_CAP)
        self._whole: list[tuple[int, bytes]] = []

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, kind: int, payload: bytes) -> None:
        """One frame."""
        self.socket.sendall(frames.encode(kind, payload))

    def next(self) -> tuple[int, bytes] | None:
        """The next frame that is no sign of life; None at the end."""
        while not self._whole:
            data = self.socket.recv(1 << 16)
            if not data:
                return None
            self._whole = [frame for frame in self._frames.feed(data) if frame[0] != frames.ALIVE]
        return self._whole.pop(0)

    def greet(self) -> None:
        """Typed questions may follow."""
        self.send(frames.HELLO, __version__.encode())
        assert self.next() == (frames.HELLO, __version__.encode())

    def put(self, query: Query, cwd: Path | str, look: Look | None = None) -> None:
        """A question, whose answer is not waited for."""
        self.send(frames.ASK, messages.encode_ask(messages.Ask.of(query, look, Where(cwd=str(cwd)))))

    def answer(self, query: Query) -> Reply:
        """The answer to the question that was put. Raises RunwiseError."""
        frame = self.next()
        assert frame is not None, "the daemon went away"
        if frame[0] == frames.FAILURE:
            raise messages.decode_failure(frame[1])
        assert frame[0] == frames.ANSWER, frame
        return messages.decode_answer(frame[1], query)[0]

    def ask(self, query: Query, cwd: Path | str, look: Look | None = None) -> Reply:
        """A question and its answer. Raises RunwiseError."""
        self.put(query, cwd, look)
        return self.answer(query)

    def control(self, verb: str) -> dict[str, Any]:
        """What a verb gives."""
        self.send(frames.CONTROL, verb.encode())
        frame = self.next()
        assert frame is not None, "the daemon went away"
        assert frame[0] == frames.STATE, frame
        return messages.decode_state(frame[1])


class Said(NamedTuple):
    """What one run says: as the list does, every row as it was logged and as it is served, and all statistics."""

    listed: tuple[Any, ...]
    logged: str
    served: str
    stats: str


class Service:
    """A daemon with folders of its own below `home`. `prefix`: the command that runs it (strace, setpriv, unshare)."""

    def __init__(self, home: Path, prefix: Sequence[str] = (), env: Mapping[str, str] | None = None) -> None:
        self.home = home
        self.prefix = list(prefix)
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(("RUNWISE_", "WANDB_"))}
        self.env |= {f"RUNWISE_{name}_DIR": f"{home}/{name.lower()}" for name in ("RUNTIME", "CACHE", "STATE")}
        self.env["PYTHONPATH"] = f"{ROOT}{os.pathsep}{ROOT / 'protocol'}"
        self.env |= env or {}
        self.path = f"{home}/runtime/runwised.sock"
        self.cache = home / "cache"
        self.process: subprocess.Popen[bytes] | None = None
        self._ready = b""

    def start(self, **options: Any) -> Service:
        """Start it and wait until it answers."""
        self.launch(**options)
        told = self.told()
        assert told == b"ready\n", (told, self.log())
        return self

    def launch(self, **options: Any) -> None:
        """Start it."""
        self._reading, told = os.pipe()
        command = [sys.executable, "-P", "-m", "runwised", "--ready-fd", str(told)]
        with (self.home / "stderr").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, *command],
                env=self.env,
                pass_fds=(told,),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd="/",
                start_new_session=True,
                **options,
            )
        os.close(told)

    def told(self) -> bytes:
        """What it says to whoever started it."""
        said = b""
        while select.select([self._reading], [], [], DEADLINE_SECONDS)[0]:
            data = os.read(self._reading, 4096)
            said += data
            if not data or said.endswith(b"ready\n"):
                break
        os.close(self._reading)
        return said

    @property
    def pid(self) -> int:
        """Process id of the daemon itself, whatever runs it."""
        return int((self.home / "runtime" / "daemon.lock").read_text())

    def connect(self) -> Connection:
        """A new client."""
        connection = Connection(self.path)
        try:
            connection.greet()
        except BaseException:
            connection.socket.close()
            raise
        return connection

    def ask(self, query: Query, cwd: Path | str, look: Look | None = None) -> Reply:
        """A question of a client of its own. Raises RunwiseError."""
        with self.connect() as client:
            return client.ask(query, cwd, look)

    def status(self) -> dict[str, Any]:
        """What it says of itself."""
        with self.connect() as client:
            return client.control("status")

    def said(self, cwd: Path | str) -> list[Said]:
        """Everything the runs of a project say, in order of their names."""
        with self.connect() as client:
            return said(client, cwd)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def ended(self) -> int:
        """Wait for its end; the exit status of what ran it."""
        assert self.process is not None
        return self.process.wait(DEADLINE_SECONDS)

    def stop(self) -> int:
        """Have it end as a service manager does; the exit status."""
        self.signal(signal.SIGTERM)
        return self.ended()

    def kill(self) -> None:
        """End it and what ran it at once, by their own process group."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(DEADLINE_SECONDS)

    def log(self) -> str:
        """All it wrote to its log."""
        path = self.home / "stderr"
        return path.read_text(errors="surrogateescape") if path.exists() else ""


def said(client: Connection, cwd: Path | str) -> list[Said]:
    """Everything the runs of a project say, in order of their names."""
    listed = until(lambda: _listed(client, cwd))
    return [_said_of(client, run, cwd) for run in sorted(listed.runs, key=lambda run: run.id)]


def _listed(client: Connection, cwd: Path | str) -> Any:
    """The list, once every run in it is indexed."""
    listed: Any = client.ask(ListRuns(limit=100_000), cwd)
    return None if listed.unindexed else listed


def _said_of(client: Connection, run: Any, cwd: Path | str) -> Said:
    look = Look(budget=1_000_000)
    stats = client.ask(ShowStats(run=run.id), cwd, look) if run.rows else None
    logged, served = (
        str(client.ask(Export(run=run.id, raw=raw), cwd, look)) if run.rows else "" for raw in (True, False)
    )
    sources = [(source.path, source.format, source.bytes) for source in run.sources]
    told = repr(msgspec.to_builtins(stats))  # as text NaN is itself
    return Said((run.id, run.name, run.step, run.rows, sources), logged, served, told)


def until(holds: Callable[[], Any], seconds: float = DEADLINE_SECONDS) -> Any:
    """Wait for a state that comes without an event; gives what it came to."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, "it has not come to pass"
        select.select([], [], [], 0.02)
    return found


def rows(first: int, last: int, key: str = "loss") -> bytes:
    """Lines of a JSONL log: the steps from `first` up to `last`."""
    return "".join(f'{{"step":{step},"{key}":{1 / (step + 1)!r}}}\n' for step in range(first, last)).encode()
