"""The SDK's client over stdio, in both eras: every tool says what the command says."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
import pytest

from runwise_mcp.tools import INSTRUCTIONS, TOOLS

OWN_DAEMON = True
"""One of the tests needs one that knows no project."""
AGE = re.compile(r"\b\d+(s|m|h|d)\d*h?\b")
CALLS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "list_runs": ({"limit": 3}, ["list", "-n", "3"]),
    "analyze_run": ({"run": "gpt-wide"}, ["run", "gpt-wide"]),
    "analyze_latest": ({}, ["latest"]),
    "compare_runs": (
        {"runs": "gpt-base,gpt-wide", "filter": "loss"},
        ["compare", "gpt-base", "gpt-wide", "-f", "loss"],
    ),
    "live_status": ({}, ["live"]),
    "analyze_local_log": ({"path": "wandb", "run": "gpt-base"}, ["local", "wandb", "-r", "gpt-base"]),
    "get_history": (
        {"run": "gpt-hot", "keys": ["train/loss", "grad_norm"], "samples": 12},
        ["history", "gpt-hot", "-k", "train/loss,grad_norm", "-n", "12"],
    ),
    "get_stats": ({"run": "gpt-wide", "keys": "*loss"}, ["stats", "gpt-wide", "-k", "*loss"]),
    "list_keys": ({"run": "gpt-wide"}, ["keys", "gpt-wide"]),
    "find_best_run": ({"key": "val/loss", "max": True}, ["best", "val/loss", "--max"]),
    "diagnose_run": ({"run": "gpt-long"}, ["diagnose", "gpt-long"]),
    "get_raw": ({"run": "gpt-hot", "step": "720:770"}, ["raw", "gpt-hot", "--step", "720:770"]),
    "health_check": ({}, ["health"]),
    "wait_for": (
        {"until": "val/loss < 1.7 and finished", "runs": "gpt-base"},
        ["wait", "gpt-base", "-u", "val/loss < 1.7 and finished"],
    ),
    "changes_since": ({}, ["since"]),
    "annotate_run": ({"run": "gpt-base", "tags": "good,old"}, ["tag", "gpt-base", "good", "old"]),
}

HINTS: dict[str, dict[str, str]] = {
    "list_runs": {"runwise list -n 6": "list_runs limit=6"},
    "analyze_run": {
        "has notes: runwise notes gpt-wide": "has notes",
        "6 more: runwise config gpt-wide": "6 more",
        "runwise stats gpt-wide": "get_stats run=gpt-wide",
    },
    "live_status": {"next: run e7c3": "next: analyze_run run=e7c3"},
    "analyze_local_log": {
        "runwise local wandb -r gpt-base --stats": "analyze_local_log path=wandb run=gpt-base stats=true"
    },
    "get_history": {
        "next: history gpt-hot -k grad_norm --from 690 --to 750": (
            "next: get_history run=gpt-hot keys=grad_norm start=690 end=750"
        )
    },
    "find_best_run": {"next: history gpt-hot -k val/loss": "next: get_history run=gpt-hot keys=val/loss"},
    "diagnose_run": {"next: log gpt-long --errors\n": ""},
    "health_check": {"next: diagnose gpt-long": "next: diagnose_run run=gpt-long"},
}
"""What the command hands on, and what the tool does in its place: a call, or nothing where no tool asks that."""


def text_of(result: types.CallToolResult) -> str:
    """The one text a tool gave."""
    (content,) = result.content
    assert isinstance(content, types.TextContent)
    return content.text


def test_every_tool_is_among_the_calls() -> None:
    assert list(CALLS) == list(TOOLS)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_every_tool_says_what_the_command_says(
    mode: str,
    connect: Callable[..., Any],
    runwise: Callable[..., subprocess.CompletedProcess[str]],
    project: Path,
) -> None:
    async def ask() -> dict[str, types.CallToolResult]:
        async with connect(mode=mode) as client:
            assert client.instructions == INSTRUCTIONS
            assert client.protocol_version == ("2026-07-28" if mode == "auto" else "2025-11-25")
            listed = await client.list_tools()
            assert [tool.name for tool in listed.tools] == list(CALLS)
            return {name: await client.call_tool(name, given) for name, (given, _) in CALLS.items()}

    for run in ("gpt-base", "gpt-wide", "gpt-hot", "gpt-seed-2", "gpt-long"):
        runwise("stats", run, cwd=project)  # what is not indexed yet is answered in a shorter form
    runwise("tag", "gpt-base", "good", "old", cwd=project)
    said = anyio.run(ask)
    for name, (_, argv) in CALLS.items():
        done = runwise(*argv, cwd=project)
        assert (done.returncode, done.stderr) == (0, ""), name
        assert not said[name].is_error
        assert said[name].structured_content is None
        expected = done.stdout
        for command, call in HINTS.get(name, {}).items():
            assert command in expected, name
            expected = expected.replace(command, call)
        assert AGE.sub("AGE", text_of(said[name])) == AGE.sub("AGE", expected), name


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_what_is_wrong_with_a_call_is_one_line_for_the_model(mode: str, connect: Callable[..., Any]) -> None:
    calls: list[tuple[str, dict[str, Any]]] = [
        ("get_history", {"kesy": "loss"}),
        ("get_history", {"samples": 0}),
        ("compare_runs", {}),
        ("get_raw", {"step": "soon"}),
        ("find_best_run", {"key": "val/loss", "max": "maybe"}),
        ("analyze_run", {"run": "gpt-wied"}),
        ("get_stats", {"run": "gpt-wide", "keys": "val/los"}),
        ("list_runs", {"where": "loss <"}),
        ("list_runs", {"budget": "a lot"}),
        ("list_runs", {"project": "/nowhere/at/all"}),
        ("analyze_local_log", {"path": "no-such.jsonl"}),
    ]

    async def ask() -> list[str]:
        async with connect(mode=mode) as client:
            results = [await client.call_tool(name, given) for name, given in calls]
            told = [f"{text_of(result)}{'' if result.is_error else ' (no error)'}" for result in results]
            return [line.partition("; known: ")[0] for line in told]

    told = anyio.run(ask)
    assert told == [
        "error: get_history has no argument 'kesy'; nearest: keys; "
        "valid: run, keys, samples, start, end, around, window, x, budget, project",
        "error: samples: expected a whole number from 1 to 100000, found 0",
        "error: compare_runs needs runs: Runs: ids, unique prefixes or names",
        "error: step: expected step, or first:last (inclusive), found 'soon'",
        "error: max: expected true or false, found 'maybe'",
        "error: no run 'gpt-wied'; nearest: gpt-wide, gpt-seed-2, gpt-base; try list_runs",
        "error: no metric 'val/los'; nearest: val/loss, train/loss; try list_keys run=gpt-wide",
        "error: at character 7: expected a metric, a property or a number, found the end; "
        "try for example: min(val/loss) < 2 and state == finished",
        "error: budget: expected a whole number from 20 to 1000000, found 'a lot'",
        "error: no folder '/nowhere/at/all', and no known project's path ends so",
        "error: no-such.jsonl: no such file or folder",
    ]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_tool_that_does_not_exist_is_an_error_the_model_can_read(mode: str, connect: Callable[..., Any]) -> None:
    async def ask() -> types.CallToolResult:
        async with connect(mode=mode) as client:
            return await client.call_tool("list_run", {})

    result = anyio.run(ask)
    assert result.is_error
    assert text_of(result).startswith("error: no tool 'list_run'; nearest: list_runs; valid: list_runs, analyze_run,")


def test_thirty_calls_at_once_are_all_answered(connect: Callable[..., Any]) -> None:
    async def ask() -> None:
        async with connect() as client, anyio.create_task_group() as tasks:
            for _ in range(30):
                tasks.start_soon(partial(client.call_tool, "list_runs", {}))

    anyio.run(ask)


def test_a_file_is_read_where_there_is_no_project(connect: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "m.jsonl").write_text('{"step": 1, "loss": 2.5}\n{"step": 2, "loss": 1.5}\n')

    async def ask() -> tuple[str, str]:
        async with connect(cwd=tmp_path / "empty") as client:
            read = await client.call_tool("analyze_local_log", {"path": "m.jsonl"})
            return text_of(read), text_of(await client.call_tool("list_runs", {}))

    read, refused = anyio.run(ask)
    assert "loss 2.5→1.5" in read
    assert refused == (
        f"error: no project in {tmp_path}/empty or above it, and none was asked about before; "
        "try project=/its/folder, or set RUNWISE_PROJECT_ROOT"
    )
