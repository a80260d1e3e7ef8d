"""Over HTTP the same tools answer, on loopback, and only whoever bears the token."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import anyio
import httpx2
import mcp_types as types
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.mcp.daemons import live_project, until_answering

LONG = {"until": "loss < 1", "runs": "grow", "timeout": "9m"}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
ACCEPT = {"Accept": "application/json, text/event-stream"}
BOTH = pytest.mark.parametrize("mode", ["auto", "legacy"])
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
TOKEN = {"Authorization": "Bearer sesame"}


@contextmanager
def serving(env: dict[str, str], cwd: Path) -> Iterator[str]:
    """A server whose token is ``sesame``; its address."""
    command = [sys.executable, "-m", "runwise_mcp", "--http", "--port", "0"]
    env = {**env, "RUNWISE_MCP_TOKEN": "sesame"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=env, cwd=cwd, text=True) as process:
        assert process.stderr is not None
        yield process.stderr.readline().strip()
        process.terminate()


@pytest.fixture(scope="module")
def url(shared_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server in a project whose run is not over."""
    with serving(shared_env, live_project(tmp_path_factory.mktemp("http") / "live")) as url:
        yield url


@asynccontextmanager
async def connected(url: str, mode: str) -> AsyncIterator[Client]:
    async with (
        httpx2.AsyncClient(headers=TOKEN) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        yield client


@BOTH
def test_the_tools_answer(mode: str, url: str) -> None:
    async def ask() -> types.CallToolResult:
        async with connected(url, mode) as client:
            return await client.call_tool("list_runs", {})

    (content,) = anyio.run(ask).content
    assert isinstance(content, types.TextContent)
    assert "grow" in content.text


def test_others_are_turned_away(url: str) -> None:
    accept = {"Accept": "application/json, text/event-stream"}
    refused = {
        401: [{}, {"Authorization": "Bearer open"}, {"Authorization": "sesame"}],
        403: [{**TOKEN, "Origin": "https://evil.example"}],
        421: [{**TOKEN, "Host": "evil.example"}],
    }
    assert url.startswith("http://127.0.0.1:")
    for status, all_headers in refused.items():
        for headers in all_headers:
            assert httpx2.post(url, json=LIST, headers={**accept, **headers}).status_code == status, headers


@BOTH
def test_a_wait_that_is_cancelled_ends_in_the_daemon(mode: str, url: str, daemon_env: dict[str, str]) -> None:
    async def work() -> types.CallToolResult:
        async with connected(url, mode) as client:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(client.call_tool, "wait_for", LONG)
                await anyio.to_thread.run_sync(until_answering, 1, daemon_env)
                tasks.cancel_scope.cancel()
            await anyio.to_thread.run_sync(until_answering, 0, daemon_env)
            return await client.call_tool("list_runs", {})

    assert not anyio.run(work).is_error


@BOTH
def test_a_wait_ends_in_the_daemon_when_its_client_has_gone(mode: str, url: str, daemon_env: dict[str, str]) -> None:
    async def work() -> None:
        async with anyio.create_task_group() as tasks:

            async def wait() -> None:
                async with connected(url, mode) as client:
                    await client.call_tool("wait_for", LONG)

            tasks.start_soon(wait)
            await anyio.to_thread.run_sync(until_answering, 1, daemon_env)
            tasks.cancel_scope.cancel()
        await anyio.to_thread.run_sync(until_answering, 0, daemon_env)

    anyio.run(work)


def test_a_wait_ends_in_the_daemon_when_its_connection_is_closed(url: str, daemon_env: dict[str, str]) -> None:
    params = {"name": "wait_for", "arguments": LONG, "_meta": META}
    headers = {
        **TOKEN,
        **ACCEPT,
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/call",
        "Mcp-Name": "wait_for",
    }

    async def work() -> None:
        async with httpx2.AsyncClient(headers=headers) as http, anyio.create_task_group() as tasks:
            message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
            tasks.start_soon(partial(http.post, url, json=message, timeout=None))
            await anyio.to_thread.run_sync(until_answering, 1, daemon_env)
            tasks.cancel_scope.cancel()
        await anyio.to_thread.run_sync(until_answering, 0, daemon_env)

    anyio.run(work)


def test_a_wait_ends_in_the_daemon_when_the_connection_of_an_older_client_is_cut(
    url: str, daemon_env: dict[str, str]
) -> None:
    def message(method: str, **more: object) -> dict[str, object]:
        return {"jsonrpc": "2.0", "method": method, **more}

    info = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "0"}}
    call = {"name": "wait_for", "arguments": LONG}

    async def work() -> None:
        async with httpx2.AsyncClient(headers={**TOKEN, **ACCEPT}) as http:
            begun = await http.post(url, json=message("initialize", id=1, params=info))
            http.headers["mcp-session-id"] = begun.headers["mcp-session-id"]
            await http.post(url, json=message("notifications/initialized"))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(http.post, url, json=message("tools/call", id=2, params=call), timeout=None))
                await anyio.to_thread.run_sync(until_answering, 1, daemon_env)
                tasks.cancel_scope.cancel()
        await anyio.to_thread.run_sync(until_answering, 0, daemon_env)

    anyio.run(work)
