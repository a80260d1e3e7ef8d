"""What differs between runs beside their metrics: configurations, and how, where and with what they were run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from runwised.index.view import RunView
from runwised.queries.tabular import flat
from runwised.render.untrusted import hidden

_FACTS = ("program", "git", "docker", "python", "executable", "os", "cpu_count", "gpu", "gpu_count", "cuda_version")
_MACHINES = ("apple", "tpu", "trainium", "gpu_amd")
_MISSING = "‹missing›"
UNNAMED = "*"
"""Arguments that no option goes before."""


def config_differences(runs: Sequence[RunView]) -> dict[str, list[Any]]:
    """Config keys whose values are not the same in all runs; None where a run does not have the key."""
    configs = [dict(flat(run.config)) for run in runs]
    shown = [dict(flat(hidden(run.config)[0])) for run in runs]
    return {key: [config.get(key) for config in shown] for key in _differing(configs)}


def other_differences(runs: Sequence[RunView]) -> dict[str, list[Any]]:
    """The same of arguments, code, machines and packages, among the runs that tell of them; secrets hidden.

    A run that tells its arguments or packages, but not of one of them, did without; None for it too.
    """
    told = [_told(run) for run in runs]
    shown = [dict(flat(hidden(each)[0])) for each in told]
    found: dict[str, list[Any]] = {}
    for section in dict.fromkeys(key for each in told for key in each):
        leaves = [_leaves({section: each[section]}) for each in told if section in each]
        found |= {key: [each.get(key) for each in shown] for key in _differing(leaves)}
    return found


def _leaves(nested: Mapping[str, Any]) -> dict[str, Any]:
    """By dotted key; what is empty has none."""
    return {key: value for key, value in flat(nested) if value != {}}


def _differing(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    keys = dict.fromkeys(key for run in runs for key in run)
    return [key for key in keys if len({_canonical(run.get(key, _MISSING)) for run in runs}) > 1]


def _canonical(value: Any) -> str:
    """Equal for values that are the same: NaN is the same as NaN, 1 as 1.0, true is not 1."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True, default=str)


def _told(run: RunView) -> dict[str, Any]:
    """What a run tells of itself, by section."""
    facts = run.facts
    told: dict[str, Any] = {key: facts[key] for key in _FACTS if facts.get(key)}
    if "program" in facts:
        told["args"] = options([str(arg) for arg in facts.get("args", ())])
    if run.host:
        told["host"] = run.host
    if isinstance(cpu := facts.get("cpu"), Mapping) and cpu.get("model"):
        told["cpu"] = cpu["model"]
    told |= {key: facts[key] for key in (*_MACHINES, "wandb") if facts.get(key)}
    return told | ({"packages": dict(sorted(run.packages.items()))} if run.packages else {})


def options(args: Sequence[str]) -> dict[str, Any]:
    """A command line's arguments by name: ``--lr 3``, ``--lr=3`` and ``lr=3`` are one, an option alone is true.

    What is given several times is a list; so are the words without a name, under `UNNAMED`.
    """
    found: dict[str, list[Any]] = {}
    at = 0
    while at < len(args):
        word, following = args[at], args[at + 1] if at + 1 < len(args) else "-"
        name, mark, value = word.partition("=")
        at += 1
        if mark and name:
            found.setdefault(name.lstrip("-+~"), []).append(value)
        elif not _is_option(word):
            found.setdefault(UNNAMED, []).append(word)
        elif _is_option(following):
            found.setdefault(word.lstrip("-"), []).append(True)
        else:
            found.setdefault(word.lstrip("-"), []).append(following)
            at += 1
    return {name: values[0] if len(values) == 1 and name != UNNAMED else values for name, values in found.items()}


def _is_option(word: str) -> bool:
    """Whether a word is no value; a negative number is one."""
    return word.startswith("-") and not word.lstrip("-.")[:1].isdigit()
