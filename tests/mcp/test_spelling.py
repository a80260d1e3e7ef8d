"""A model reads of tools and their arguments, never of commands and flags: in errors, and in what answers hand on."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from runwise_protocol.argv import scan
from runwise_protocol.errors import RunwiseError
from runwise_protocol.queries import BY_COMMAND
from runwise_protocol.queries.compare import Compare
from runwise_protocol.queries.local import Local
from runwise_protocol.queries.raw import Raw
from runwise_protocol.query import Query
from runwise_protocol.schema import Parameter, parameters
from runwise_protocol.spelling import ToolSpelling

from runwise_mcp.tools import TOOLS

FLAG = re.compile(r"(?<![\w./-])--?[a-z][a-z-]*\b")
COMMAND = re.compile(rf"\brunwise [a-z]|^next: ({'|'.join(BY_COMMAND)})\b", re.MULTILINE)
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("line", "call"),
    [
        ("runwise history a -k loss,lr --from 5 --to 9", "get_history run=a keys=loss,lr start=5 end=9"),
        ("stats 'a run' -k 'val/*' --budget 90", 'get_stats run="a run" keys=val/* budget=90'),
        ("local 'x y.jsonl' --stats -C /data", 'analyze_local_log path="x y.jsonl" stats=true project=/data'),
        ("note a 'so; and = so'", 'annotate_run run=a note="so; and = so"'),
        ("list --all", "list_runs all=true"),
        ("log a --errors", ""),
        ("list --format json", ""),
        ("list --nonsense", ""),
        ("list 'open", ""),
        ("", ""),
    ],
)
def test_a_command_line_is_a_tool_call(line: str, call: str) -> None:
    assert ToolSpelling().call(line) == call


@pytest.mark.parametrize(
    ("kind", "text", "hint"),
    [
        (Raw, "--step and --row exclude each other", "step and row exclude each other"),
        (Local, "-n goes with --history or --stability", "samples goes with history or stability"),
        (Compare, "--at: expected now, found '--to x'", "at: expected now, found '--to x'"),
        (Local, "FILE: expected a path", "path: expected a path"),
        (Raw, "runwise best val/loss --max, or --min", "find_best_run key=val/loss max=true, or --min"),
        (Raw, "3 more: runwise list -n 6", "3 more: list_runs limit=6"),
        (Raw, "10 lines; runwise log 'a; b' --grep TEXT", "10 lines"),
        (Raw, "cd to a project, or try runwise demo", "cd to a project"),
        (Raw, "runwise raw --help", ""),
        (Raw, "a run named runwise", "a run named runwise"),
        (Raw, "val-loss -5 e-3 a--step", "val-loss -5 e-3 a--step"),
    ],
)
def test_a_hint_speaks_of_tools(kind: type[Query], text: str, hint: str) -> None:
    assert ToolSpelling(kind).hint(text) == hint


def test_every_question_a_tool_asks_is_spelled_by_its_command_too() -> None:
    for tool in TOOLS.values():
        assert tool.query.command in BY_COMMAND
        assert BY_COMMAND[tool.query.command].tool == tool.name
        assert scan(BY_COMMAND[tool.query.command], []) == {}


def values(parameter: Parameter) -> list[Any]:
    """Right ones and wrong ones."""
    if parameter.kind == "switch":
        return [True, "maybe"]
    if parameter.kind == "integer":
        return [3, 0, "many"]
    if parameter.name == "timeout" or parameter.name == "wait":
        return ["0s", "soon"]
    right = {
        "run": "gpt-base",
        "runs": "gpt-base,gpt-wide",
        "keys": "val/loss",
        "key": "val/loss",
        "metrics": "val/loss",
        "path": "wandb",
        "until": "loss < 1",
        "step": "700:710",
        "tags": "good",
    }
    return [*([right[parameter.argument]] if parameter.argument in right else []), "nonsense", "min(", "5\u0007"]


def calls(name: str) -> Iterator[dict[str, Any]]:
    """Every argument alone, and every two together, right and wrong."""
    tool = TOOLS[name]
    known = [*parameters(tool.query)]
    needed = {each.argument: values(each)[0] for each in known if each.required}
    waits = {"timeout": "0s"} if name == "wait_for" else {}
    yield {}
    for each in known:
        yield from ({**needed, **waits, each.argument: value} for value in values(each))
        yield {**waits, each.argument: values(each)[0]}
    for one, other in itertools.combinations(known, 2):
        yield {**needed, **waits, one.argument: values(one)[0], other.argument: values(other)[0]}
    yield {**needed, **waits, "nonsense": 1}
    yield {**needed, **waits, "budget": 20}
    yield {**needed, **waits, "budget": "little"}
    yield {**needed, **waits, "project": "nowhere"}


@pytest.mark.parametrize("name", list(TOOLS))
def test_no_flag_and_no_command_reaches_a_model(name: str, connect: Callable[..., Any]) -> None:
    async def ask() -> list[tuple[dict[str, Any], str, bool]]:
        async with connect() as client:
            return [(given, *await told(client, name, given)) for given in calls(name)]

    said = anyio.run(ask)
    assert {is_error for _, _, is_error in said} == {True, False}
    for given, text, is_error in said:
        plain = "\n".join(line for line in text.splitlines() if not line.startswith("| "))
        plain = re.sub(r"'[^']*'", "''", plain)
        assert not COMMAND.search(plain), (given, text)
        assert not FLAG.search(plain), (given, text)
        if is_error:
            assert len(text.splitlines()) == 1


async def told(client: Client, name: str, given: dict[str, Any]) -> tuple[str, bool]:
    result = await client.call_tool(name, given)
    texts = [content.text for content in result.content if content.type == "text"]
    return "\n".join(texts), bool(result.is_error)


def test_an_error_names_the_argument_that_the_tool_has() -> None:
    with pytest.raises(RunwiseError, match="path: expected"):
        TOOLS["analyze_local_log"].call({"path": "x" * 5000})
