"""Prompts: what a person picks from a menu, each the way through the tools for one question."""

from __future__ import annotations

from collections.abc import Mapping

import mcp_types as types
from runwise_protocol.errors import Kind, RunwiseError

from runwise_mcp.visible import shown


def _argument(name: str, description: str, required: bool = False) -> types.PromptArgument:
    return types.PromptArgument(name=name, description=description, required=required)


PROMPTS = [
    types.Prompt(
        name="diagnose",
        description="Find out why a run went wrong.",
        arguments=[_argument("run", "Run: id or name; the newest by default.")],
    ),
    types.Prompt(
        name="compare",
        description="Say which of several runs is better, and why.",
        arguments=[_argument("runs", "Runs: ids or names, comma-separated.", required=True)],
    ),
    types.Prompt(
        name="sweep-report",
        description="Report on many runs: the best, and what made them so.",
        arguments=[_argument("metric", "Metric to rank by; the main one by default.")],
    ),
]

_TEXTS = {
    "diagnose": """\
Diagnose {run}. Call diagnose_run; then get_history around the first bad step it names, with the metrics that went bad
and their causes (learning rate, gradient norm); then get_raw for the rows there. Say the cause, the evidence with
steps, the last good step or checkpoint, and one change to try. Say what could not be checked.""",
    "compare": """\
Compare the runs {runs}. Call compare_runs; judge by best values, not last ones, and at the same step where the runs
are not equally long (RUN@STEP). Say which is better and by how much, whether that is within noise, and which
differences of configuration could explain it.""",
    "sweep-report": """\
Report on the runs of this project, ranked by {metric}. Call find_best_run, then compare_runs for the first few and
the last one, then health_check. Say which run is best and whether the next ones are within noise of it, which
settings the good ones share, which runs failed or diverged, and what to try next.""",
}
_DEFAULTS = {"run": "the newest run", "metric": "the main metric"}


def written(name: str, arguments: Mapping[str, str]) -> types.GetPromptResult:
    """A prompt with its arguments filled in. Raises RunwiseError (usage)."""
    prompt = next((prompt for prompt in PROMPTS if prompt.name == name), None)
    if prompt is None:
        raise RunwiseError(Kind.USAGE, f"no prompt {name[:60]!r}; valid: {', '.join(_TEXTS)}")
    filled = {}
    for argument in prompt.arguments or ():
        value = shown(arguments.get(argument.name, ""))
        if argument.required and not value:
            raise RunwiseError(Kind.USAGE, f"{name} needs {argument.name}: {argument.description}")
        filled[argument.name] = f"`{value.replace('`', '')}`" if value else _DEFAULTS[argument.name]
    text = " ".join(_TEXTS[name].format_map(filled).split("\n"))
    return types.GetPromptResult(
        description=prompt.description,
        messages=[types.PromptMessage(role="user", content=types.TextContent(text=text))],
    )
