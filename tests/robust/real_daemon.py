"""A real daemon of a test's own, that may be killed and started again, and what a cold parse says beside it."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import anyio
from runwise_protocol import __version__, frames, messages
from runwise_protocol.errors import RunwiseError
from runwise_protocol.launch import READY
from runwise_protocol.paths import SOCKET_NAME
from runwise_protocol.queries import Export, History, ListKeys, ListRuns, ShowConfig, ShowStats
from runwise_protocol.query import Look, Query, Where

from runwised.catalog.catalog import Catalog
from runwised.server.answers import Answers

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_SECONDS = 60
AT_ONCE = 50


def until(condition: Callable[[], bool]) -> None:
    """Look again and again until it is so."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        select.select([], [], [], 0.05)


class Asker:
    """One connection that says what it likes."""

    def __init__(self, path: Path, where: Where) -> None:
        self.where = where
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(DEADLINE_SECONDS)
        self.socket.connect(str(path))
        self._frames = frames.Frames(frames.REPLY_CAP)
        self._whole: list[tuple[int, bytes]] = []
        self.send(frames.HELLO, __version__.encode())

    def send(self, kind: int, payload: bytes) -> None:
        self.socket.sendall(frames.encode(kind, payload))

    def put(self, query: Query) -> None:
        """Ask, and do not wait."""
        self.send(frames.WRITE, encoded(query, self.where))

    def text(self) -> str:
        """The text of the next answer, whole; a failure's is its message."""
        data = b""
        while True:
            frame = self.next()
            assert frame is not None, "the daemon closed the connection"
            kind, payload = frame
            if kind == frames.OUT:
                data += payload
            elif kind == frames.EXIT:
                return data.decode()
            elif kind == frames.FAILURE:
                return f"{messages.decode_failure(payload)}"

    def ask(self, query: Query) -> str:
        """The answer's text."""
        self.put(query)
        return self.text()

    def next(self) -> tuple[int, bytes] | None:
        """The next frame that is neither a greeting nor a sign of life; None at the end."""
        while not self._whole:
            data = self.socket.recv(1 << 16)
            if not data:
                return None
            said = self._frames.feed(data)
            self._whole = [frame for frame in said if frame[0] not in (frames.ALIVE, frames.HELLO)]
        return self._whole.pop(0)

    def close(self) -> None:
        self.socket.close()


class RealDaemon:
    """`runwised` on folders of its own below `home`, whose path is short enough for a socket."""

    def __init__(self, home: Path, project: Path) -> None:
        self.home = home
        self.where = Where(cwd=str(project))
        self.path = home / "runtime" / SOCKET_NAME
        ours = ("RUNWISE_", "WANDB_")
        self._env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        self._env |= {f"RUNWISE_{name}_DIR": f"{home}/{name.lower()}" for name in ("RUNTIME", "CACHE", "STATE")}
        self._env["PYTHONPATH"] = f"{ROOT}{os.pathsep}{ROOT / 'protocol'}"
        self.log = home / "log"
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.askers: list[Asker] = []
        self.start()

    def start(self) -> None:
        """Start it; it is ready then."""
        ready, told = os.pipe()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "runwised", "--ready-fd", str(told)],
                env=self._env,
                stderr=log,
                pass_fds=(told,),
            )
        os.close(told)
        with os.fdopen(ready, "rb") as pipe:
            assert select.select([pipe], [], [], DEADLINE_SECONDS)[0], "not ready in time"
            said = pipe.read()
        assert said == READY, said

    def kill(self) -> None:
        """End it as the kernel would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def asker(self) -> Asker:
        """A new connection, closed with the daemon."""
        self.askers.append(Asker(self.path, self.where))
        return self.askers[-1]

    def ask_all(self, queries: Sequence[Query]) -> list[str]:
        """The text of each answer; several ask at once."""
        told = []
        for some in _pieces(range(len(queries))):
            askers = [Asker(self.path, self.where) for _ in some]
            for at, asker in zip(some, askers, strict=True):
                asker.put(queries[at])
            for asker in askers:
                told.append(asker.text())
                asker.close()
        return told

    def status(self) -> dict[str, Any]:
        asker = Asker(self.path, self.where)
        try:
            asker.send(frames.CONTROL, b"status")
            frame = asker.next()
            assert frame is not None
            return messages.decode_state(frame[1])
        finally:
            asker.close()

    @property
    def resident(self) -> int:
        """Bytes of memory it holds."""
        told = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) << 10 for line in told.splitlines() if line.startswith("VmRSS"))

    @property
    def descriptors(self) -> int:
        """How many it has open."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def end(self) -> None:
        """End it as a service manager would; it must end well."""
        for asker in self.askers:
            asker.close()
        if self.process.poll() is None:
            self.process.terminate()
        status = self.process.wait(DEADLINE_SECONDS)
        assert status == 0, f"it ended with {status}: {self.log.read_text()}"


def look(query: Query) -> Look:
    """How an answer is exact."""
    return Look(form="jsonl" if isinstance(query, Export) else "json")


def encoded(query: Query, where: Where) -> bytes:
    """The payload of a frame that asks it."""
    return messages.encode_ask(messages.Ask.of(query, look(query), where))


def questions(run_id: str) -> list[Query]:
    """What together shows all of a run that does not depend on the time of asking."""
    return [
        Export(run=run_id),
        Export(run=run_id, raw=True),
        ShowStats(run=run_id),
        ListKeys(run=run_id),
        ShowConfig(run=run_id),
        History(run=run_id, samples=7),
    ]


def cold(project: Path, queries: Iterable[Query]) -> list[str]:
    """The text of each answer where there is neither a cache nor anything known before."""

    async def answer() -> list[str]:
        catalog = Catalog(None)
        engine = Answers(catalog, project)
        where = Where(cwd=str(project))
        asked = list(queries)
        told = [""] * len(asked)

        async def ask(at: int) -> None:
            try:
                told[at] = "".join((await engine.ask(asked[at], look(asked[at]), where)).chunks)
            except RunwiseError as error:
                told[at] = f"{error}"

        for some in _pieces(range(len(asked))):
            async with anyio.create_task_group() as tasks:
                for at in some:
                    tasks.start_soon(ask, at)
        await catalog.close()
        return told

    return anyio.run(answer)


def _pieces(numbers: range) -> Iterator[range]:
    """Some at a time: those who ask at once share a look at the files."""
    return (numbers[at : at + AT_ONCE] for at in range(0, len(numbers), AT_ONCE))


def everything(limit: int = 100_000) -> ListRuns:
    """Asks for all runs."""
    return ListRuns(limit=limit)
