"""The tools: which contract each one asks, under which name, and which of its fields a model is told of.

A tool takes every field of its contract, but its schema shows only those that are worth their tokens.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.harmless import clean
from runwise_protocol.queries.annotate import NoteRun, TagRun
from runwise_protocol.queries.best import RankRuns
from runwise_protocol.queries.compare import Compare
from runwise_protocol.queries.diagnose import CheckHealth, Diagnose
from runwise_protocol.queries.history import History
from runwise_protocol.queries.live import Live
from runwise_protocol.queries.local import Local
from runwise_protocol.queries.metrics import ListKeys, ShowStats
from runwise_protocol.queries.raw import Raw
from runwise_protocol.queries.run import Latest, ShowRun
from runwise_protocol.queries.runs import ListRuns
from runwise_protocol.queries.since import Since
from runwise_protocol.queries.wait import WaitFor
from runwise_protocol.query import Look, Query, checked
from runwise_protocol.schema import Parameter, parameters
from runwise_protocol.spelling import ToolSpelling

from runwise_mcp.annotating import Annotation
from runwise_mcp.waiting import USUAL, capped

INSTRUCTIONS = """\
ML training runs on this machine (W&B, TensorBoard, JSONL, CSV, consoles), live; never read logs yourself.
Zoom: list_runs or find_best_run, analyze_run, get_history or get_stats, get_raw.
Odd or failed run: diagnose_run; many: health_check.
run: id, its beginning, or name; default newest. keys: names or globs, comma-separated.
"next:" names the call that looks closer; cut: a greater budget shows all."""
"""What a model is told once: the way from the list to the rows, in five lines."""


class Call(NamedTuple):
    """A tool call, understood."""

    queries: tuple[Query, ...]
    """What is asked, one after the other."""
    look: Look
    project: str | None
    """The folder it names."""


class Tool(NamedTuple):
    """One tool."""

    query: type[Query]
    description: str
    shown: tuple[str, ...] = ()
    """Fields of the contract that the schema shows."""
    writes: bool = False
    defaults: Mapping[str, str] = {}
    """Values of its own for fields that are left out."""
    listed: tuple[str, ...] = ()
    """Fields that are lists in the schema: their texts may hold commas, so that one text could not be taken apart."""
    asked: Callable[[Any], tuple[Query, ...]] = lambda query: (query,)
    """The questions that what the arguments say is made of."""
    made_of: tuple[type[Query], ...] = ()
    """Of which contracts these are, where not of its own."""

    @property
    def name(self) -> str:
        """What clients call it."""
        return self.query.tool

    @property
    def names(self) -> Mapping[str, str]:
        """What it calls fields whose names would mean nothing to a model: {tool's: contract's}."""
        return {each.argument: each.name for each in parameters(self.query) if each.argument != each.name}

    @property
    def spelling(self) -> ToolSpelling:
        """How an answer or an error speaks of its arguments."""
        return ToolSpelling(self.query, *self.made_of)

    @property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the arguments that a model is told of."""
        known = self._known
        fields: dict[str, Any] = {
            name: _LIST if name in self.listed else {"type": _TYPES[known[name].kind]}
            for name in (*self.shown, "budget", "project")
        }
        required = [name for name in self.shown if known[name].required or name in self.names]
        return {"type": "object", "properties": fields, **({"required": required} if required else {})}

    @property
    def _known(self) -> dict[str, Parameter]:
        """Every argument that is taken, by the name it has here."""
        known = {parameter.argument: parameter for parameter in parameters(self.query)}
        return {**known, "budget": _BUDGET, "project": _PROJECT}

    def call(self, arguments: Mapping[str, Any]) -> Call:
        """What arguments of any kind ask for; null, "" and [] are left out.

        Raises RunwiseError (usage) that names the argument, what it may be and what is nearest.
        """
        known = self._known
        given = {name: value for name, value in arguments.items() if value not in (None, "", [])}
        for name in given:
            if name not in known:
                raise RunwiseError(Kind.USAGE, f"{self.name} has no argument {_short(name)}; {_nearest(name, known)}")
        for name, parameter in known.items():
            if name not in given and (parameter.required or name in self.names):
                raise RunwiseError(Kind.USAGE, f"{self.name} needs {name}: {parameter.help.rstrip('.')}")
        fields = {name: _value(known[name], value) for name, value in given.items()}
        look = self._checked(
            Look, {"calls": True, **{name: fields.pop(name) for name in ("budget",) if name in fields}}
        )
        project = self._checked(_Common, {name: fields.pop(name) for name in ("project",) if name in fields}).project
        queries = self.asked(self._checked(self.query, {**self.defaults, **fields}))
        return Call(tuple(map(capped, queries)), look, project)

    def _checked(self, contract: type[msgspec.Struct], fields: Mapping[str, Any]) -> Any:
        try:
            return checked(contract, {self.names.get(name, name): value for name, value in fields.items()})
        except msgspec.ValidationError as error:
            path = str(error).partition(" - at `$.")[2].partition("`")[0].partition("[")[0]
            name = next((mine for mine, theirs in self.names.items() if theirs == path), path)
            parameter = self._known.get(name)
            if parameter is None:
                raise RunwiseError(Kind.USAGE, f"{self.name}: {error}") from error
            found = fields[name]
            expected = "true or false" if parameter.kind == "switch" else parameter.expected
            if parameter.many:
                expected = "a list of texts, or one text with commas"
            near = f"; {_nearest(str(found), parameter.choices)}" if parameter.choices else ""
            raise RunwiseError(Kind.USAGE, f"{name}: expected {expected}, found {_short(found)}{near}") from error


class _Common(msgspec.Struct, frozen=True, kw_only=True):
    project: str | None = None


_TYPES = {"text": "string", "integer": "integer", "switch": "boolean"}
_LIST = {"type": "array", "items": {"type": "string"}}
_BUDGET = next(parameter for parameter in parameters(Look) if parameter.name == "budget")
_PROJECT = parameters(_Common)[0]


def _value(parameter: Parameter, value: Any) -> Any:
    """A value as the contract takes it: models write numbers as text, lists as text, and text as numbers."""
    if parameter.many and isinstance(value, str):
        value = _listed(value)
    if parameter.kind == "text" and isinstance(value, int | float) and not isinstance(value, bool):
        return [str(value)] if parameter.many else str(value)
    return value


def _listed(text: str) -> list[str]:
    if text.startswith("["):
        try:
            found = json.loads(text)
        except ValueError:  # a glob may begin like that
            found = None
        if isinstance(found, list) and all(isinstance(each, str) for each in found):
            return found
    return [part.strip() for part in text.split(",") if part.strip()]


def _nearest(word: str, valid: Mapping[str, Any] | tuple[str, ...]) -> str:
    close = difflib.get_close_matches(word, [*valid], n=1)
    return (f"nearest: {close[0]}; " if close else "") + "valid: " + ", ".join(valid)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"


_ALL = (
    Tool(ListRuns, "Runs: state, step, metric, trend.", ("where",)),
    Tool(ShowRun, "One run: state, metrics, oddities, config.", ("run",)),
    Tool(Latest, "The newest run."),
    Tool(Compare, "Runs side by side (RUN@STEP).", ("runs",)),
    Tool(Live, "What is running."),
    Tool(Local, "Any log file or folder.", ("path",)),
    Tool(History, "Curves; no spike is lost.", ("run", "keys", "start", "end")),
    Tool(ShowStats, "Exact min, max, mean, last.", ("run", "keys")),
    Tool(ListKeys, "What a run logged.", ("run",)),
    Tool(RankRuns, "Runs by best value of key.", ("key", "max")),
    Tool(Diagnose, "Why it failed, from when.", ("run",)),
    Tool(Raw, "Exact rows; step is N or N:M.", ("run", "keys", "step")),
    Tool(CheckHealth, "Trouble, by run."),
    Tool(
        WaitFor,
        "Wait (50s, max 9m) until val/loss<2, anomaly or end.",
        ("until", "runs", "timeout", "since"),
        defaults={"timeout": USUAL},
    ),
    Tool(Since, "News since a cursor (@c7).", ("cursor",)),
    Tool(
        Annotation,
        "Tag a run; write a note.",
        ("run", "tags", "remove", "note"),
        writes=True,
        listed=("tags",),
        asked=Annotation.asked,
        made_of=(TagRun, NoteRun),
    ),
)

TOOLS = {tool.name: tool for tool in _ALL}
"""By name, in the order they are listed."""


def tool_named(name: str) -> Tool:
    """The tool of this name. Raises RunwiseError (usage) that names the nearest."""
    if name not in TOOLS:
        raise RunwiseError(Kind.USAGE, f"no tool {_short(name)}; {_nearest(name, TOOLS)}")
    return TOOLS[name]


def told(error: RunwiseError, asked: str = "") -> str:
    """What a model reads of an error: one line, in the words of the tool it `asked`, with what else helps."""
    tool = TOOLS.get(asked)
    spelling = tool.spelling if tool else ToolSpelling()
    hint = spelling.hint(error.hint)
    return clean(f"error: {spelling.hint(error.message)}{f'; try {hint}' if hint and hint != asked else ''}")
