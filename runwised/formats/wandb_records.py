"""What each W&B record says, as batches."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from runwised.formats.json_value import decode_json
from runwised.formats.protowire import (
    LEN,
    Shape,
    fields,
    length_delimited,
    shaped,
    signed,
    text,
    timestamp,
    var,
)
from runwised.formats.record import Alert, Batch, Definition, Exit, Facts, Identity, Link, Mark, Patch, Text, escape
from runwised.formats.wandb_facts import decode_environment, decode_git, decode_header, decode_telemetry
from runwised.formats.wandb_items import decode_item, regroup

HISTORY, SUMMARY, OUTPUT, CONFIG, STATS, TENSORBOARD = 2, 3, 4, 5, 7, 9
ALERT, TELEMETRY, METRIC, OUTPUT_RAW, RUN, EXIT = 10, 11, 12, 13, 17, 18
FINAL, HEADER, FOOTER, PREEMPTING, ENVIRONMENT, OUTPUT_LOGGER = 20, 21, 22, 23, 26, 27

CONSOLE = frozenset({OUTPUT, OUTPUT_RAW, OUTPUT_LOGGER})

_NUM = var(1)
_UPDATE = length_delimited(1)
_REMOVE = length_delimited(2)


class Envelope(NamedTuple):
    """A serialized ``Record``, opened."""

    num: int
    """Its number in the log, from 1; 0 before wandb 0.13."""
    kind: int
    """Field number of what it holds; 0 when that is nothing known here."""
    body: bytes


def open_record(payload: bytes) -> Envelope:
    """What a serialized ``Record`` holds. Raises WireError."""
    num = kind = 0
    body = b""
    for tag, value in fields(payload):
        if tag == _NUM:
            num = value
        elif tag & 7 == LEN and tag >> 3 in _KNOWN:
            kind, body = tag >> 3, value
    return Envelope(num, kind, body)


def decode_record(kind: int, body: bytes, offset: int) -> list[Batch]:
    """Batches of one record that is no row, no console chunk and no summary. Raises WireError."""
    if kind in _MARKS:
        return [Mark(offset, _MARKS[kind]), *_facts(decode_header(body) if kind == HEADER else {})]
    if kind == EXIT:
        return [_exit(body, offset)]
    if kind == TENSORBOARD:
        folder = shaped(body, _TENSORBOARD).get("log_dir")
        return [Link(offset, folder)] if folder else []
    if kind == ALERT:
        return [_alert(body, offset)]
    decode = _DECODERS.get(kind)
    return decode(body) if decode else []


def decode_patch(body: bytes) -> Patch:
    """The changes in a ``SummaryRecord``. Raises WireError."""
    sets = []
    removes = []
    for tag, value in fields(body):
        if tag == _UPDATE:
            sets.append(decode_item(value))
        elif tag == _REMOVE:
            removes.append(decode_item(value)[0])
    return Patch("summary", regroup(sets), removes)


def _config(body: bytes) -> Patch:
    patch = decode_patch(body)
    return Patch(
        "config",
        [(path, value) for path, value in patch.sets if path[0] != "_wandb"],
        [path for path in patch.removes if path[0] != "_wandb"],
    )


def decode_chunk(kind: int, body: bytes) -> tuple[float, bool, bytes]:
    """Time, whether it is stderr, and bytes of a console chunk. Raises WireError."""
    if kind == OUTPUT_LOGGER:
        return float("nan"), False, shaped(body, _LOGGER).get("line", b"")
    chunk = shaped(body, _OUTPUT)
    return chunk.get("time", float("nan")), chunk.get("stream", 0) != 1, chunk.get("line", b"")


def decode_text(kind: int, body: bytes) -> Text:
    """A console chunk with its text. Raises WireError."""
    time, stderr, line = decode_chunk(kind, body)
    return Text(time, stderr, text(line))


def decode_stats(body: bytes) -> tuple[float, dict[str, Any]]:
    """Time and values of a system sample, keys as they are. Raises WireError."""
    stats = shaped(body, _STATS)
    values = {}
    for item in stats.get("items", ()):
        pair = shaped(item, _STATS_ITEM)
        values[pair.get("key", "")] = decode_json(pair["value"]) if pair.get("value") else None
    return stats.get("time", float("nan")), values


def _run(body: bytes) -> list[Batch]:
    run = shaped(body, _RUN)
    batches: list[Batch] = [_identity(run)]
    git = {"git": run["git"]} if run.get("git") else {}
    batches += _facts(run.get("telemetry", {}) | git)
    if (config := _config(run.get("config", b""))).sets:
        batches.append(config)
    if (summary := decode_patch(run.get("summary", b""))).sets:
        batches.append(summary)
    return batches


def _identity(run: Mapping[str, Any]) -> Identity:
    """A text that is absent says nothing; tags are always complete."""
    told = {name: run[name] or None for name in _RUN_TEXTS.values() if name in run}
    return Identity(
        **told,
        tags=tuple(run.get("tags", ())),
        start_time=run.get("start_time"),
        starting_step=run.get("starting_step"),
        resumed=run.get("resumed"),
        forked_from=run.get("branch", {}).get("run") or None,
    )


def _exit(body: bytes, offset: int) -> Exit:
    end = shaped(body, _EXIT)
    runtime = end.get("runtime")
    seconds = None if runtime is None else float(runtime)
    return Exit(offset, end.get("code", 0), seconds, end.get("not_complete", False))


def _alert(body: bytes, offset: int) -> Alert:
    alert = shaped(body, _ALERT)
    return Alert(offset, alert.get("title", ""), alert.get("text", ""), alert.get("level", ""))


def _metric(body: bytes) -> list[Batch]:
    metric = shaped(body, _METRIC)
    glob = bool(metric.get("glob_name"))
    key = metric.get("glob_name") or metric.get("name")
    step_key = metric.get("step_metric")
    wanted = {name for name, value in metric.get("summary", {}).items() if value}
    if not key:
        return []
    definition = Definition(
        key=_key(key),
        glob=glob,
        step_key=_key(step_key) if step_key else None,
        goal=_GOALS.get(metric.get("goal", 0)),
        summary=tuple(name for name in _SUMMARIES.values() if name in wanted),
        hidden=bool(metric.get("options", {}).get("hidden")),
    )
    return [definition]


def _key(name: str) -> str:
    r"""A metric's name in a definition, where ``\.`` is a dot inside an element, as a key."""
    return escape([part.replace("\\.", ".") for part in re.split(r"(?<!\\)\.", name)])


def _facts(told: dict[str, Any]) -> list[Batch]:
    return [Facts(told)] if told else []


_RUN_TEXTS = {
    1: "run_id",
    2: "entity",
    3: "project",
    6: "group",
    7: "job_type",
    8: "name",
    9: "notes",
    12: "sweep_id",
    13: "host",
}
_RUN: Shape = {
    **{length_delimited(number): (name, text) for number, name in _RUN_TEXTS.items()},
    length_delimited(4): ("config", bytes),
    length_delimited(5): ("summary", bytes),
    length_delimited(10): ("tags[]", text),
    var(14): ("starting_step", signed),
    length_delimited(17): ("start_time", timestamp),
    var(18): ("resumed", bool),
    length_delimited(19): ("telemetry", decode_telemetry),
    length_delimited(21): ("git", decode_git),
    length_delimited(23): ("branch", lambda body: shaped(body, {length_delimited(1): ("run", text)})),
}
_EXIT: Shape = {var(1): ("code", signed), var(2): ("runtime", signed), var(3): ("not_complete", bool)}
_ALERT: Shape = {length_delimited(n): (name, text) for n, name in ((1, "title"), (2, "text"), (3, "level"))}
_OUTPUT: Shape = {
    var(1): ("stream", int),
    length_delimited(2): ("time", timestamp),
    length_delimited(3): ("line", bytes),
}
_TENSORBOARD: Shape = {length_delimited(1): ("log_dir", text)}
_LOGGER: Shape = {length_delimited(1): ("line", bytes)}
_STATS: Shape = {length_delimited(2): ("time", timestamp), length_delimited(3): ("items[]", bytes)}
_STATS_ITEM: Shape = {length_delimited(1): ("key", text), length_delimited(16): ("value", bytes)}
_SUMMARIES = {1: "min", 2: "max", 3: "mean", 4: "best", 5: "last", 6: "none", 7: "copy", 8: "first"}
_METRIC: Shape = {
    length_delimited(1): ("name", text),
    length_delimited(2): ("glob_name", text),
    length_delimited(4): ("step_metric", text),
    length_delimited(6): ("options", lambda body: shaped(body, {var(2): ("hidden", bool)})),
    length_delimited(7): (
        "summary",
        lambda body: shaped(body, {var(n): (name, bool) for n, name in _SUMMARIES.items()}),
    ),
    var(8): ("goal", int),
}
_GOALS: dict[int, Any] = {1: "minimize", 2: "maximize"}

_MARKS: dict[int, Any] = {HEADER: "header", FINAL: "closed", FOOTER: "closed", PREEMPTING: "preempting"}
_DECODERS: dict[int, Callable[[bytes], list[Batch]]] = {
    CONFIG: lambda body: [_config(body)],
    TELEMETRY: lambda body: _facts(decode_telemetry(body)),
    METRIC: _metric,
    RUN: _run,
    ENVIRONMENT: lambda body: _facts(decode_environment(body)),
}
_KNOWN = frozenset({HISTORY, SUMMARY, STATS, EXIT, ALERT, TENSORBOARD, *CONSOLE, *_MARKS, *_DECODERS})
