"""Over HTTP the same tools answer, on loopback, and only whoever bears the token."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import httpx2
import mcp_types as types
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
TOKEN = {"Authorization": "Bearer sesame"}


@pytest.fixture
def url(daemon_env: dict[str, str], project: Path) -> Iterator[str]:
    """A server whose token is ``sesame``."""
    command = [sys.executable, "-m", "runwise_mcp", "--http", "--port", "0"]
    env = {**daemon_env, "RUNWISE_MCP_TOKEN": "sesame"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=env, cwd=project, text=True) as process:
        assert process.stderr is not None
        yield process.stderr.readline().strip()
        process.terminate()


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_tools_answer(mode: str, url: str) -> None:
    async def ask() -> types.CallToolResult:
        async with (
            httpx2.AsyncClient(headers=TOKEN) as http,
            Client(streamable_http_client(url, http_client=http), mode=mode) as client,
        ):
            return await client.call_tool("list_runs", {})

    (content,) = anyio.run(ask).content
    assert isinstance(content, types.TextContent)
    assert "gpt-base finished 1200" in content.text


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
