"""What clients do wrong, and what they do right without the SDK: the session copes, and the others do not notice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Start = Callable[..., Any]
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


def call(client: Any, name: str = "list_runs", request_id: int = 7) -> dict[str, Any]:
    client.send(id=request_id, method="tools/call", params={"name": name, "arguments": {}})
    answer: dict[str, Any] = client.receive()
    assert answer["id"] == request_id
    return answer


def test_ping_is_answered_before_and_after_the_handshake(lines: Start) -> None:
    client = lines()
    assert client.ask("ping") == {"jsonrpc": "2.0", "id": 1, "result": {}}
    client.initialize()
    assert client.ask("ping") == {"jsonrpc": "2.0", "id": 1, "result": {}}


def test_notifications_are_not_answered(lines: Start) -> None:
    client = lines().initialize()
    for method in ("notifications/initialized", "notifications/cancelled", "notifications/nobody/knows", "ping"):
        client.send(method=method)
    assert client.ask("ping")["id"] == 1
    assert client.end() == (b"", b"", 0)


@pytest.mark.parametrize(
    ("line", "code", "request_id"),
    [
        (b"garbage", -32700, None),
        (b'{"jsonrpc": "2.0", "id": 3', -32700, None),
        (b"\xff\xfe\x00", -32700, None),
        (b"[" * 100_000, -32700, None),
        (b"[]", -32600, None),
        (b"7", -32600, None),
        (b'{"id": 3, "method": "ping"}', -32600, 3),
        (b'{"jsonrpc": "1.0", "id": "x", "method": "ping"}', -32600, "x"),
        (b'{"jsonrpc": "2.0", "id": {}, "method": "ping"}', -32600, None),
        (b'{"jsonrpc": "2.0", "id": 3, "method": 5}', -32600, 3),
        (b'{"jsonrpc": "2.0", "id": 3, "method": "no/such"}', -32601, 3),
        (b'{"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {}}', -32602, 3),
        (b'{"jsonrpc": "2.0", "id": 3, "method": "' + b"x" * 10_000_000 + b'"}', -32600, None),
    ],
    ids=lambda value: value[:30].decode("latin1") if isinstance(value, bytes) else None,
)
def test_what_is_no_request_is_an_error_and_the_session_goes_on(
    line: bytes, code: int, request_id: object, lines: Start
) -> None:
    client = lines().initialize()
    client.write(line + b"\n")
    answer = client.receive()
    assert (answer["error"]["code"], answer["id"]) == (code, request_id)
    assert len(json.dumps(answer)) < 1000
    assert "Traceback" not in json.dumps(answer)
    assert client.ask("ping")["result"] == {}


def test_a_half_line_at_the_end_is_not_answered(lines: Start) -> None:
    client = lines().initialize()
    client.write(b'{"jsonrpc": "2.0", "id": 3, "method": "ping"}')
    assert client.end() == (b"", b"", 0)


def test_a_request_that_comes_byte_by_byte_is_answered(lines: Start) -> None:
    client = lines().initialize()
    for byte in b'{"jsonrpc": "2.0", "id": 3, "method": "ping"}\n':
        client.write(bytes((byte,)))
    assert client.receive() == {"jsonrpc": "2.0", "id": 3, "result": {}}


def test_a_line_that_does_not_end_disturbs_nobody(lines: Start) -> None:
    other, client = lines().initialize(), lines().initialize()
    client.write(b'{"jsonrpc": "2.0", "id": 3, "method": "' + b"x" * 10_000_000)
    assert client.receive()["error"]["code"] == -32600  # as soon as it is too long
    assert "gpt-base" in call(other)["result"]["content"][0]["text"]
    client.write(b'"}\n')
    assert client.ask("ping")["result"] == {}


@pytest.mark.parametrize("method", ["no/such", "tools/burn", "initialise", "tasks/list", ""])
def test_an_unknown_method_is_an_error_in_both_eras(method: str, lines: Start) -> None:
    older, newer = lines().initialize(), lines()
    assert older.ask(method)["error"]["code"] == -32601
    assert "result" in newer.ask("tools/list", {"_meta": META})
    assert newer.ask(method, {"_meta": META})["error"]["code"] == -32601
    assert older.ask("ping")["result"] == {}
    assert "result" in newer.ask("tools/list", {"_meta": META})


def test_answers_to_questions_that_were_not_asked_are_passed_over(lines: Start) -> None:
    client = lines().initialize()
    client.send(id=99, result={})
    client.send(id="x", error={"code": 1, "message": "no"})
    assert client.ask("ping")["result"] == {}


def test_a_client_that_is_killed_in_the_middle_of_a_line_disturbs_nobody(lines: Start) -> None:
    other, client = lines().initialize(), lines().initialize()
    client.write(b'{"jsonrpc": "2.0", "id": 3, "method": "tools/')
    os.kill(client.process.pid, signal.SIGKILL)
    client.process.wait()
    assert "gpt-base" in call(other)["result"]["content"][0]["text"]


def test_a_request_that_is_sent_just_before_the_end_is_answered(lines: Start) -> None:
    client = lines().initialize()
    client.send(id=9, method="tools/call", params={"name": "list_runs"})
    out, err, status = client.end()
    assert json.loads(out)["id"] == 9
    assert "gpt-base" in out.decode()
    assert (err, status) == (b"", 0)


def test_a_session_that_began_with_a_handshake_keeps_to_its_era(lines: Start) -> None:
    client = lines().initialize()
    assert client.ask("tools/list", {"_meta": META})["error"]["code"] == -32600
    assert "result" in client.ask("tools/list")


def test_a_session_that_began_without_a_handshake_keeps_to_its_era(lines: Start) -> None:
    client = lines()
    listed = client.ask("tools/list", {"_meta": META})["result"]
    assert (listed["ttlMs"], listed["cacheScope"]) == (86_400_000, "public")
    said = client.ask("initialize", {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {}})
    assert said["error"]["code"] == -32022
    assert client.ask("tools/list", {"_meta": META})["result"] == listed


def test_a_client_that_is_killed_in_the_middle_of_a_call_disturbs_nobody(lines: Start) -> None:
    other, client = lines().initialize(), lines().initialize()
    for number in range(200):
        client.send(id=number, method="tools/call", params={"name": "health_check"})
    os.kill(client.process.pid, signal.SIGKILL)
    client.process.wait()
    assert "gpt-base" in call(other)["result"]["content"][0]["text"]


def test_a_client_that_does_not_read_disturbs_nobody(lines: Start) -> None:
    other, client = lines().initialize(), lines().initialize()
    for number in range(300):
        client.send(id=number, method="tools/list")  # more than the pipes hold
    assert "gpt-base" in call(other)["result"]["content"][0]["text"]


def test_a_call_that_is_cancelled_is_not_answered(lines: Start) -> None:
    client = lines().initialize()
    request = {"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {"name": "list_runs"}}
    cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 5}}
    client.write(f"{json.dumps(request)}\n{json.dumps(cancel)}\n".encode())
    assert client.ask("ping")["id"] == 1
    assert client.end()[0] == b""


def test_it_works_from_anywhere_with_the_project_in_the_environment(lines: Start, project: Path) -> None:
    client = lines(cwd=Path("/"), RUNWISE_PROJECT_ROOT=str(project)).initialize()
    assert "gpt-base" in call(client)["result"]["content"][0]["text"]


def test_where_no_daemon_may_run_it_has_an_engine_of_its_own(lines: Start, short_path: Path) -> None:
    runtime = short_path / "none"
    client = lines(RUNWISE_NO_DAEMON="1", RUNWISE_RUNTIME_DIR=str(runtime)).initialize()
    assert "gpt-base" in call(client)["result"]["content"][0]["text"]
    assert client.end() == (b"", b"", 0)
    assert not runtime.exists()


def test_it_loads_exactly_these_modules(lines: Start, daemon_env: dict[str, str], project: Path) -> None:
    lines().initialize().end()  # so that a daemon runs
    code = (
        "import sys; bare = set(sys.modules)\n"
        "from runwise_mcp import __main__ as pump\n"
        "sys.argv = ['runwise-mcp']; status = pump.pump()\n"
        "print(status, *sorted(set(sys.modules) - bare), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=b"", env=daemon_env, cwd=project, capture_output=True, check=True
    )
    ours = {"runwise_mcp", "runwise_mcp.__main__", "runwise_mcp.journal", "runwise_mcp.pump", "runwise_protocol"}
    expected = {"_socket", "select", *ours, "runwise_protocol.frames", "runwise_protocol.paths"}
    assert done.stderr.decode().split() == ["0", *sorted(expected)]
