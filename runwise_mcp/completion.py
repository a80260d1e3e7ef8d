"""Completion: run names and ids, and metric keys, for the arguments of prompts and resource templates."""

from __future__ import annotations

import mcp_types as types
from runwise_protocol.queries.metrics import ListKeys
from runwise_protocol.queries.runs import ListRuns

from runwise_mcp.answering import Ask
from runwise_mcp.visible import shown

MOST = 100
"""Values in one answer; the protocol allows no more."""
_RUNS = {"run", "runs", "id"}
_KEYS = {"key", "metric"}


async def completed(ask: Ask, params: types.CompleteRequestParams) -> types.CompleteResult:
    """What may follow the value so far. Raises RunwiseError."""
    known = dict(params.context.arguments or {}) if params.context else {}
    argument = params.argument
    by_id = isinstance(params.ref, types.ResourceTemplateReference)
    found: list[str] = []
    if argument.name in _RUNS:
        begun, _, last = argument.value.rpartition(",") if argument.name == "runs" else ("", "", argument.value)
        found = [f"{begun},{name}" if begun else name for name in await _runs(ask, last.strip(), by_id)]
    elif argument.name in _KEYS:
        reply, _ = await ask(ListKeys(run=known.get("id") or known.get("run") or None))
        found = [entry.key for entry in reply.keys if entry.key.startswith(argument.value)]
    found = [value for value in found if shown(value) == value]
    return types.CompleteResult(
        completion=types.Completion(values=found[:MOST], total=len(found), has_more=len(found) > MOST)
    )


async def _runs(ask: Ask, begun: str, by_id: bool) -> list[str]:
    """Names that begin so, ids where two runs have one name or only ids will do; newest run first."""
    reply, _ = await ask(ListRuns())
    names = [run.name for run in reply.runs]
    found = []
    for run in reply.runs:
        plain = not by_id and names.count(run.name) == 1 and shown(run.name) == run.name
        found += [run.name] if plain and run.name.startswith(begun) else []
        found += [run.id] if run.id.startswith(begun) and (begun or not plain) else []
    return list(dict.fromkeys(found))
