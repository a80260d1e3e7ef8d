"""What the tools cost, and what they make of the arguments models write."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries import QUERIES
from runwise_protocol.queries.annotate import NoteRun, TagRun
from runwise_protocol.queries.compare import Compare
from runwise_protocol.queries.history import History
from runwise_protocol.queries.local import Local
from runwise_protocol.queries.raw import Raw
from runwise_protocol.queries.since import Since
from runwise_protocol.queries.wait import WaitFor
from runwise_protocol.schema import parameters

from runwise_mcp.session import tools_listed
from runwise_mcp.tools import INSTRUCTIONS, TOOLS, told

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import bpe_openai

ENCODING = bpe_openai.get_encoding("o200k_base")


def test_tools_and_instructions_cost_at_most_1200_tokens() -> None:
    listed = tools_listed().model_dump_json(by_alias=True, exclude_none=True)
    assert len(ENCODING.encode(listed)) + len(ENCODING.encode(INSTRUCTIONS)) <= 1200


def test_the_readme_tells_of_every_tool() -> None:
    page = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    told = re.findall(r"\| `([a-z]+_[a-z_]+)` \| `(\w+)`", page)
    assert dict(told) == {name: tool.query.command for name, tool in TOOLS.items()}


def test_the_instructions_are_five_lines_that_no_client_cuts() -> None:
    assert len(INSTRUCTIONS.splitlines()) == 5
    assert len(INSTRUCTIONS.encode()) < 2048


def test_a_tool_promises_no_structure_and_says_that_it_only_reads() -> None:
    for tool in tools_listed().tools:
        assert tool.output_schema is None
        assert tool.annotations is not None
        reads = tool.name != "annotate_run"
        assert (tool.annotations.read_only_hint or False, tool.annotations.open_world_hint) == (reads, False)
        assert {"budget", "project"} <= set(tool.input_schema["properties"])


@pytest.mark.parametrize("name", list(TOOLS))
def test_a_tool_shows_only_what_its_contract_has(name: str) -> None:
    tool = TOOLS[name]
    assert tool.query in QUERIES or name == "annotate_run"
    known = {parameter.name for parameter in parameters(tool.query)}
    assert {tool.names.get(shown, shown) for shown in tool.shown} <= known
    required = {parameter.name for parameter in parameters(tool.query) if parameter.required}
    assert required <= {tool.names.get(shown, shown) for shown in tool.schema.get("required", [])}


@pytest.mark.parametrize(
    ("name", "given", "query"),
    [
        ("get_history", {}, History()),
        ("get_history", {"run": None, "keys": "", "samples": None}, History()),
        ("get_history", {"keys": "a, b/*"}, History(keys=("a", "b/*"))),
        ("get_history", {"keys": ["a,b"]}, History(keys=("a,b",))),
        ("get_history", {"keys": '["a", "b"]'}, History(keys=("a", "b"))),
        ("get_history", {"keys": "[ab]*"}, History(keys=("[ab]*",))),
        ("get_history", {"samples": "20", "start": 5.0}, History(samples=20, start=5)),
        ("get_raw", {"run": 2024, "step": 720}, Raw(run="2024", step="720")),
        ("compare_runs", {"runs": "a,b@5"}, Compare(runs=("a", "b@5"))),
        ("analyze_local_log", {"path": "x", "stats": "true"}, Local(file="x", stats=True)),
    ],
)
def test_arguments_are_taken_as_models_write_them(name: str, given: dict[str, Any], query: object) -> None:
    assert TOOLS[name].call(given).queries == (query,)


@pytest.mark.parametrize(
    ("given", "timeout"),
    [
        ({}, "50s"),
        ({"timeout": "90s"}, "90s"),
        ({"timeout": "9m"}, "9m"),
        ({"timeout": "9m1s"}, "9m"),
        ({"timeout": "3h"}, "9m"),
    ],
)
def test_no_wait_is_longer_than_clients_are_patient(given: dict[str, Any], timeout: str) -> None:
    assert TOOLS["wait_for"].call(given).queries == (WaitFor(timeout=timeout),)


def test_no_wait_for_news_is_either() -> None:
    assert TOOLS["changes_since"].call({"cursor": "@c7", "wait": "1d"}).queries == (Since(cursor="@c7", wait="9m"),)


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({"tags": "good, slow"}, (TagRun(run="a", tags=("good", "slow")),)),
        ({"tags": ["a,b"], "remove": "true"}, (TagRun(run="a", tags=("a,b",), remove=True),)),
        ({"note": "fine", "append": True}, (NoteRun(run="a", text="fine", append=True),)),
        ({"tags": "good", "note": "fine"}, (TagRun(run="a", tags=("good",)), NoteRun(run="a", text="fine"))),
        ({"clear": True, "note": ""}, (NoteRun(run="a", clear=True),)),
    ],
)
def test_tags_and_a_note_are_one_call(given: dict[str, Any], asked: tuple[object, ...]) -> None:
    assert TOOLS["annotate_run"].call({"run": "a", **given}).queries == asked


@pytest.mark.parametrize("given", [{}, {"remove": True}, {"append": True}])
def test_an_annotation_that_says_nothing_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(RunwiseError, match="annotate_run needs tags, note, or clear to take your note away"):
        TOOLS["annotate_run"].call({"run": "a", **given})


def test_budget_and_project_are_no_part_of_the_question() -> None:
    call = TOOLS["list_runs"].call({"budget": "300", "project": "/data"})
    assert (call.look.budget, call.project) == (300, "/data")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"keys": {"a": 1}}, "keys: expected a list of texts, or one text with commas, found {'a': 1}"),
        ({"keys": [1]}, "keys: expected a list of texts, or one text with commas, found [1]"),
        ({"run": "x" * 2000}, f"run: expected text of 1 to 1000 characters, found '{'x' * 58}…"),
    ],
)
def test_what_cannot_be_meant_is_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(RunwiseError) as caught:
        TOOLS["get_history"].call(given)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (RunwiseError(Kind.NOT_FOUND, "no run 'x'", "runwise list"), "error: no run 'x'; try list_runs"),
        (RunwiseError(Kind.NOT_FOUND, "no run 'x'", "runwise find x"), "error: no run 'x'"),
        (RunwiseError(Kind.INTERNAL, "a\nb", "see the log"), "error: a b; try see the log"),
        (RunwiseError(Kind.USAGE, "so not"), "error: so not"),
    ],
)
def test_an_error_is_one_line_that_names_a_tool_and_no_command(error: RunwiseError, line: str) -> None:
    assert told(error) == line


def test_texts_that_may_hold_commas_are_a_list_in_the_schema() -> None:
    fields = TOOLS["annotate_run"].schema["properties"]
    assert (fields["tags"], fields["note"]) == ({"type": "array", "items": {"type": "string"}}, {"type": "string"})


def test_the_schemas_are_json_that_does_not_change() -> None:
    assert json.dumps(TOOLS["compare_runs"].schema) == (
        '{"type": "object", "properties": {"runs": {"type": "string"}, '
        '"budget": {"type": "integer"}, "project": {"type": "string"}}, "required": ["runs"]}'
    )
