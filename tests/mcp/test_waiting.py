"""Tools that wait: early answers, notices of progress, cancellation, and what the command says."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
import pytest
from mcp import Client

from tests.mcp.daemons import DEADLINE_SECONDS, grow, live_project, until_answering

Connect = Callable[..., Any]
Runwise = Callable[..., subprocess.CompletedProcess[str]]
LONG = {"until": "loss < 1", "runs": "grow", "timeout": "9m"}
BOTH = pytest.mark.parametrize("mode", ["auto", "legacy"])


@pytest.fixture
def live(tmp_path: Path) -> Path:
    """A project whose run has logged three rows a moment ago."""
    return live_project(tmp_path / "live")


def text_of(result: types.CallToolResult) -> str:
    assert not result.is_error, result
    (content,) = result.content
    assert isinstance(content, types.TextContent)
    return content.text


@BOTH
def test_it_answers_as_soon_as_the_condition_holds(
    mode: str, connect: Connect, live: Path, daemon_env: dict[str, str]
) -> None:
    async def work() -> str:
        async with connect(mode=mode, cwd=live) as client, anyio.create_task_group() as tasks:
            said: list[str] = []

            async def wait() -> None:
                said.append(text_of(await client.call_tool("wait_for", LONG)))

            tasks.start_soon(wait)
            await anyio.to_thread.run_sync(until_answering, 1, daemon_env)
            grow(live, 0.5)
            with anyio.fail_after(DEADLINE_SECONDS):
                while not said:
                    await anyio.lowlevel.checkpoint()
            return said[0]

    assert anyio.run(work).startswith("loss < 1: grow loss .5 at step 9 @")


def test_it_says_how_far_it_is_while_it_waits_and_ends_as_the_command_does(
    connect: Connect, live: Path, runwise: Runwise
) -> None:
    given = {"until": "loss < 1", "runs": "grow", "timeout": "11s"}
    notices: list[tuple[float, float | None, str | None]] = []

    async def heed(progress: float, total: float | None, message: str | None) -> None:
        notices.append((progress, total, message))

    async def wait(mode: str, said: list[str]) -> None:
        async with connect(mode=mode, cwd=live) as client:
            said.append(text_of(await client.call_tool("wait_for", given, progress_callback=heed)))

    command = partial(runwise, "wait", "grow", "-u", "loss < 1", "-t", "11s", cwd=live)

    async def work() -> tuple[list[str], subprocess.CompletedProcess[str]]:
        said: list[str] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait, "auto", said)
            tasks.start_soon(wait, "legacy", said)
            done = await anyio.to_thread.run_sync(command)
        return said, done

    texts, done = anyio.run(work)
    assert [(total, message) for _, total, message in notices] == [(11.0, "grow running step 2; 1 s left")] * 2
    assert (done.returncode, texts) == (1, [done.stdout, done.stdout])
    assert done.stdout.startswith("not within 11s: loss < 1 @")


def test_the_cursor_it_ends_with_is_one_to_go_on_from(connect: Connect, live: Path) -> None:
    async def work() -> list[str]:
        async with connect(cwd=live) as client:
            call = partial(client.call_tool, "wait_for")
            first = text_of(await call({**LONG, "timeout": "1s"}))
            cursor = first.splitlines()[0].rpartition(" ")[2]
            grow(live, 0.5)
            grow(live, 3.0, step=10)
            second = text_of(await call({**LONG, "since": cursor, "timeout": "20s"}))
            news = text_of(await client.call_tool("changes_since", {"cursor": cursor}))
            nothing = text_of(await client.call_tool("changes_since", {"cursor": news.split()[-1]}))
            return [second, news, nothing]

    second, news, nothing = anyio.run(work)
    assert second.startswith("loss < 1: grow loss .5 at step 9 @")
    assert news.startswith("grow step 2→10 loss 3")
    assert nothing == "nothing new\n"


@BOTH
def test_a_wait_that_is_cancelled_ends_at_once(
    mode: str, connect: Connect, live: Path, daemon_env: dict[str, str]
) -> None:
    async def work() -> str:
        async with connect(mode=mode, cwd=live) as client:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(client.call_tool, "wait_for", LONG)
                await anyio.to_thread.run_sync(until_answering, 1, daemon_env)
                tasks.cancel_scope.cancel()
            await anyio.to_thread.run_sync(until_answering, 0, daemon_env)
            return text_of(await client.call_tool("list_runs", {}))

    assert "grow" in anyio.run(work)


def test_a_wait_ends_with_its_client(lines: Callable[..., Any], live: Path, daemon_env: dict[str, str]) -> None:
    client = lines(cwd=live).initialize()
    client.send(id=7, method="tools/call", params={"name": "wait_for", "arguments": LONG})
    until_answering(1, daemon_env)
    client.process.kill()
    until_answering(0, daemon_env)


def test_other_questions_do_not_wait_behind_those_that_wait(
    connect: Connect, live: Path, daemon_env: dict[str, str]
) -> None:
    async def work(client: Client) -> str:
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(client.call_tool, "wait_for", LONG)
            await anyio.to_thread.run_sync(until_answering, 20, daemon_env)
            said = text_of(await client.call_tool("list_runs", {}))
            tasks.cancel_scope.cancel()
        return said

    async def connected() -> str:
        async with connect(cwd=live) as client:
            return await work(client)

    assert "grow" in anyio.run(connected)


def test_commas_in_tags_and_notes_stay_where_they_are(connect: Connect, live: Path, runwise: Runwise) -> None:
    given = {"run": "grow", "tags": ["lr=1,2", "good"], "note": "first, second, third"}

    async def work() -> str:
        async with connect(cwd=live) as client:
            return text_of(await client.call_tool("annotate_run", given))

    said = anyio.run(work)
    assert "tags lr=1,2,good" in said.splitlines()[0]
    assert "| first, second, third" in said.splitlines()
    told = json.loads(runwise("run", "grow", "--format", "json", cwd=live).stdout)["run"]
    assert told["tags"] == ["lr=1,2", "good"]
    runwise("note", "grow", "--clear", cwd=live)
    runwise("tag", "grow", *given["tags"], "--remove", cwd=live)  # a project may come by the words of one that is gone


def test_a_run_is_tagged_and_noted_in_the_commands_words(connect: Connect, live: Path, runwise: Runwise) -> None:
    async def work() -> list[str]:
        async with connect(cwd=live) as client:
            call = partial(client.call_tool, "annotate_run")
            given = [
                {"tags": "good,slow", "note": "the one to keep"},
                {"tags": "slow", "remove": True},
                {"clear": True},
            ]
            return [text_of(await call({"run": "grow", **each})) for each in given]

    both, untagged, cleared = anyio.run(work)
    assert runwise("tag", "grow", "slow", "--remove", cwd=live).stdout == untagged
    assert runwise("note", "grow", "--clear", cwd=live).stdout == f"{cleared}next: notes grow\n"
    tagged = runwise("tag", "grow", "good", "slow", cwd=live).stdout
    assert tagged + runwise("note", "grow", "the one to keep", cwd=live).stdout == both
