"""Real clients: the SDK's own over stdio, and lines written by hand."""

from __future__ import annotations

import json
import select
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from mcp import Client, StdioServerParameters

Connect: TypeAlias = Callable[..., AbstractAsyncContextManager[Client]]
DEADLINE_SECONDS = 30
ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "runwised" / "demo"
COMMAND = [sys.executable, "-m", "runwise_mcp"]


@pytest.fixture(scope="session")
def session_env(private_daemon: Callable[[], AbstractContextManager[dict[str, str]]]) -> Iterator[dict[str, str]]:
    """The environment of a daemon that has loaded the SDK once for all files that leave it as it is."""
    with private_daemon() as env:
        yield env


@pytest.fixture(scope="module")
def shared_env(
    request: pytest.FixtureRequest, private_daemon: Callable[[], AbstractContextManager[dict[str, str]]]
) -> Iterator[dict[str, str]]:
    """The same; for a file with ``OWN_DAEMON = True`` one that no other file has asked anything."""
    if getattr(request.module, "OWN_DAEMON", False):
        with private_daemon() as env:
            yield env
    else:
        yield request.getfixturevalue("session_env")


@pytest.fixture
def daemon_env(shared_env: dict[str, str]) -> dict[str, str]:
    """What the command asks too."""
    return shared_env


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The demonstration project."""
    return Path(shutil.copytree(DEMO, tmp_path / "demo"))


@pytest.fixture
def connect(daemon_env: dict[str, str], project: Path) -> Connect:
    """The SDK's client with a server of its own: ``async with connect(mode="legacy", cwd=folder) as client``."""

    @asynccontextmanager
    async def connected(*, mode: str = "auto", cwd: Path = project, **options: Any) -> AsyncIterator[Client]:
        env = {**daemon_env, **options.pop("env", {})}
        server = StdioServerParameters(command=COMMAND[0], args=COMMAND[1:], env=env, cwd=cwd)
        async with Client(server, mode=mode, **options) as client:
            yield client

    return connected


class Lines:
    """A client that writes what it likes."""

    def __init__(self, env: dict[str, str], cwd: Path) -> None:
        self.process = subprocess.Popen(
            COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, cwd=cwd, bufsize=0
        )

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        rest = memoryview(data)
        while rest:
            rest = rest[self.process.stdin.write(rest) :]

    def send(self, **message: Any) -> None:
        self.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    def receive(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], DEADLINE_SECONDS)[0], "no answer"
        line = self.process.stdout.readline()
        assert line, "the server has closed"
        message: dict[str, Any] = json.loads(line)
        return message

    def ask(self, method: str, params: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """Send a request and give what comes back next."""
        self.send(id=1, method=method, **({} if params is None else {"params": params}), **more)
        return self.receive()

    def initialize(self) -> Lines:
        info = {"name": "test", "version": "0"}
        said = self.ask("initialize", {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": info})
        assert said["result"]["serverInfo"]["name"] == "runwise"
        self.send(method="notifications/initialized")
        return self

    def end(self) -> tuple[bytes, bytes, int]:
        """Close stdin; what else was written, on stderr too, and the exit status."""
        out, err = self.process.communicate(timeout=DEADLINE_SECONDS)
        return out, err, self.process.returncode


@pytest.fixture
def lines(daemon_env: dict[str, str], project: Path) -> Iterator[Callable[..., Lines]]:
    """Start a server for lines written by hand."""
    started: list[Lines] = []

    def start(cwd: Path = project, **env: str) -> Lines:
        started.append(Lines({**daemon_env, **env}, cwd))
        return started[-1]

    yield start
    for client in started:
        client.process.kill()
        client.process.communicate()
