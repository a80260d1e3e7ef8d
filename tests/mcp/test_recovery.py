"""A session outlives its daemon: whatever ends it, the client is answered, and never waits for ever."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
import pytest
from mcp import Client
from mcp.client.subscriptions import ResourceUpdated

from tests.mcp.daemons import (
    DEADLINE_SECONDS,
    grow,
    kill,
    live_project,
    status,
    until_another_answers,
    until_answering,
)

OWN_DAEMON = True
"""It is killed again and again."""
Connect = Callable[..., Any]
Start = Callable[..., Any]
LONG = {"until": "loss < 1", "runs": "grow", "timeout": "9m"}
ROOT = Path(__file__).resolve().parents[2]
BOTH = pytest.mark.parametrize("mode", ["auto", "legacy"])
OLD = pytest.mark.filterwarnings("ignore::mcp.MCPDeprecationWarning")


@pytest.fixture
def live(tmp_path: Path) -> Path:
    """A project whose run has logged three rows a moment ago."""
    return live_project(tmp_path / "live")


def run(connect: Connect, mode: str, cwd: Path, work: Callable[[Client], Any]) -> Any:
    async def connected() -> Any:
        with anyio.fail_after(3 * DEADLINE_SECONDS):
            async with connect(mode=mode, cwd=cwd) as client:
                return await work(client)

    return anyio.run(connected)


def text_of(result: types.CallToolResult) -> str:
    assert not result.is_error, result
    (content,) = result.content
    assert isinstance(content, types.TextContent)
    return content.text


async def grown_until(heard: anyio.Event, project: Path) -> None:
    """Log row after row until somebody has heard of one: what was logged before the next daemon looked is no news."""
    step = 9
    while not heard.is_set():
        grow(project, 0.5, step)
        step += 1
        with anyio.move_on_after(0.2):
            await heard.wait()


def wait_for(client: Any, request_id: int) -> None:
    client.send(id=request_id, method="tools/call", params={"name": "wait_for", "arguments": LONG})


def said(answer: dict[str, Any]) -> str:
    text: str = answer["result"]["content"][0]["text"]
    return text


@BOTH
def test_a_daemon_that_was_killed_between_two_calls_is_not_missed(
    mode: str, connect: Connect, live: Path, daemon_env: dict[str, str]
) -> None:
    async def work(client: Client) -> list[str]:
        texts = [text_of(await client.call_tool("list_runs", {}))]
        for _ in range(2 if mode == "legacy" else 1):
            kill(daemon_env)
            texts.append(text_of(await client.call_tool("list_runs", {})))
        return texts

    assert all("grow" in text for text in run(connect, mode, live, work))


@BOTH
def test_a_call_is_answered_by_the_next_daemon_when_one_is_killed_in_the_middle_of_it(
    mode: str, connect: Connect, live: Path, daemon_env: dict[str, str]
) -> None:
    async def work(client: Client) -> list[str]:
        texts: list[str] = []

        async def wait(given: dict[str, str]) -> None:
            texts.append(text_of(await client.call_tool("wait_for", given)))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait, LONG)
            tasks.start_soon(wait, {**LONG, "until": "loss < 0.9"})
            await anyio.to_thread.run_sync(until_answering, 2, daemon_env)
            pid = await anyio.to_thread.run_sync(kill, daemon_env)
            await anyio.to_thread.run_sync(until_another_answers, pid, daemon_env)
            grow(live, 0.5)
        return texts

    texts = run(connect, mode, live, work)
    assert sorted(text.partition(":")[0] for text in texts) == ["loss < 0.9", "loss < 1"]


def test_a_call_that_two_daemons_went_with_is_an_error(lines: Start, live: Path, daemon_env: dict[str, str]) -> None:
    client = lines(cwd=live).initialize()
    wait_for(client, 7)
    until_answering(1, daemon_env)
    until_another_answers(kill(daemon_env), daemon_env)
    kill(daemon_env)
    answer = client.receive()
    assert (answer["id"], answer["error"]) == (7, {"code": -32603, "message": "the daemon went away; ask again"})
    assert client.ask("ping")["result"] == {}


def test_what_was_under_way_is_done_once(lines: Start, live: Path, daemon_env: dict[str, str]) -> None:
    client = lines(cwd=live).initialize()
    note = {"name": "annotate_run", "arguments": {"run": "grow", "note": "again", "append": True}}
    said(client.ask("tools/call", note))
    pid = status(daemon_env)["pid"]
    os.kill(pid, signal.SIGSTOP)
    client.send(id="w", method="tools/call", params=note)
    client.send(id="r", method="tools/call", params={"name": "list_runs"})
    os.kill(pid, signal.SIGKILL)
    answers = {answer["id"]: answer for answer in (client.receive(), client.receive())}
    assert said(answers["w"]).count("| again") == 1
    assert "grow" in said(answers["r"])


def test_a_line_in_the_middle_of_which_the_daemon_went_arrives_whole(
    lines: Start, live: Path, daemon_env: dict[str, str]
) -> None:
    client = lines(cwd=live).initialize()
    request = b'{"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {"name": "list_runs"}}\n'
    client.write(request[:40])
    kill(daemon_env)
    client.write(request[40:])
    assert "grow" in said(client.receive())


def test_a_session_without_questions_starts_no_daemon(
    lines: Start, live: Path, daemon_env: dict[str, str], wait_until_ended: Callable[[Path], None]
) -> None:
    client = lines(cwd=live).initialize()
    other = lines(cwd=live).initialize()
    subprocess.run([sys.executable, "-m", "runwise_cli", "daemon", "stop"], env=daemon_env, check=True)
    runtime = Path(daemon_env["RUNWISE_RUNTIME_DIR"])
    wait_until_ended(runtime)
    assert client.end() == (b"", b"", 0)
    with (runtime / "daemon.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert other.ask("ping")["result"] == {}
    assert status(daemon_env)["mcp_sessions"] == 1


@OLD
def test_a_subscription_outlives_the_daemon(connect: Connect, live: Path, daemon_env: dict[str, str]) -> None:
    told: list[str] = []

    async def connected() -> None:
        heard = anyio.Event()

        async def heed(message: Any) -> None:
            if isinstance(message, types.ResourceUpdatedNotification):
                told.append(str(message.params.uri))
                heard.set()

        with anyio.fail_after(3 * DEADLINE_SECONDS):
            async with connect(mode="legacy", cwd=live, message_handler=heed) as client:
                uri = (await client.list_resources()).resources[0].uri
                await client.subscribe_resource(uri)
                await anyio.to_thread.run_sync(kill, daemon_env)
                await grown_until(heard, live)
                assert told == [uri]

    anyio.run(connected)


def test_a_newer_clients_subscription_outlives_it_too(connect: Connect, live: Path, daemon_env: dict[str, str]) -> None:
    async def work(client: Client) -> object:
        uri = (await client.list_resources()).resources[0].uri
        async with client.listen(resource_subscriptions=[uri]) as events:
            await anyio.to_thread.run_sync(kill, daemon_env)
            heard = anyio.Event()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(grown_until, heard, live)
                event = await anext(aiter(events))
                heard.set()
        return event

    assert isinstance(run(connect, "auto", live, work), ResourceUpdated)


def test_where_no_daemon_can_be_started_every_request_is_an_error_until_one_can(
    lines: Start, live: Path, daemon_env: dict[str, str]
) -> None:
    client = lines(cwd=live).initialize()
    wait_for(client, 7)
    until_answering(1, daemon_env)
    runtime = Path(daemon_env["RUNWISE_RUNTIME_DIR"])
    pid = status(daemon_env)["pid"]
    runtime.chmod(0o755)
    os.kill(pid, signal.SIGKILL)
    try:
        told = [client.receive()["error"]["message"], client.ask("tools/list")["error"]["message"]]
    finally:
        runtime.chmod(0o700)
    assert told == [f"the daemon went away; ask again ({runtime} has mode 0755, others must not get in)"] * 2
    assert client.ask("ping")["result"] == {}


@pytest.fixture
def installation(tmp_path: Path) -> Path:
    """A copy of the program that can be upgraded: a folder for PYTHONPATH."""
    folder = tmp_path / "installation"
    for package in ("runwised", "runwise_mcp", "runwise_cli", "protocol/runwise_protocol"):
        shutil.copytree(ROOT / package, folder / Path(package).name)
    return folder


def upgrade(installation: Path) -> None:
    page = installation / "runwise_protocol" / "__init__.py"
    page.write_text(page.read_text().replace('"0.', '"99.0.'))


@BOTH
def test_an_upgrade_in_the_middle_of_a_call_goes_unnoticed(
    mode: str,
    installation: Path,
    live: Path,
    connect: Connect,
    private_daemon: Callable[[], Any],
) -> None:
    with private_daemon() as env:
        env["PYTHONPATH"] = str(installation)

        async def connected() -> list[str]:
            texts: list[str] = []
            answered = anyio.Event()
            with anyio.fail_after(3 * DEADLINE_SECONDS):
                async with connect(mode=mode, cwd=live, env=env) as client, anyio.create_task_group() as tasks:

                    async def wait() -> None:
                        texts.append(text_of(await client.call_tool("wait_for", LONG)))
                        answered.set()

                    tasks.start_soon(wait)
                    await anyio.to_thread.run_sync(until_answering, 1, env)
                    upgrade(installation)
                    pid = kill(env)
                    await anyio.to_thread.run_sync(until_another_answers, pid, env)
                    grow(live, 0.5)
                    await answered.wait()
                    texts.append(text_of(await client.call_tool("list_runs", {})))
                    assert status(env)["version"].startswith("99.")
            return texts

        waited, listed = anyio.run(connected)
    assert waited.startswith("loss < 1: grow loss .5")
    assert "grow" in listed


def test_old_and_new_sessions_go_on_when_a_newer_program_has_started_its_daemon(
    installation: Path, live: Path, connect: Connect, private_daemon: Callable[[], Any]
) -> None:
    with private_daemon() as env:
        env["PYTHONPATH"] = str(installation)

        async def work() -> list[str]:
            texts: list[str] = []
            with anyio.fail_after(3 * DEADLINE_SECONDS):
                async with connect(mode="legacy", cwd=live, env=env) as old:
                    texts.append(text_of(await old.call_tool("list_runs", {})))
                    before = status(env)["pid"]
                    upgrade(installation)
                    async with connect(cwd=live, env=env) as new:
                        texts.append(text_of(await new.call_tool("list_runs", {})))
                        assert status(env)["pid"] != before
                        texts.append(text_of(await old.call_tool("list_runs", {})))
                        assert status(env)["version"].startswith("99.")
            return texts

        assert ["grow" in text for text in anyio.run(work)] == [True] * 3
