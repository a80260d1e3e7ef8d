"""`sweep`: the config keys that vary among runs against a metric: what was tried, what was best, what goes with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries.groups import LeftOut
from runwise_protocol.queries.sweep import Sweep, SweepRuns, SweptRun

from runwised.queries.filters import Chosen, chosen
from runwised.queries.goal import Found, about, found_in, goal_of
from runwised.queries.keysel import select
from runwised.queries.onward import there
from runwised.queries.project import ProjectView
from runwised.queries.sweep_keys import compared
from runwised.queries.sweep_text import render
from runwised.queries.varied import MISSING, Setting, telling, varying
from runwised.render.command import command

__all__ = ["about", "answer", "render"]

_FEWEST = 6
"""Runs below which there is no best quarter."""
_QUARTER = 3
"""Runs that the best quarter has at least."""


def answer(query: SweepRuns, view: ProjectView) -> Sweep:
    """The keys, and the runs with the best first. Raises RunwiseError."""
    fitting = _fitting(query, view)
    goal = goal_of(query, view, fitting.runs)
    found = found_in(fitting.runs, goal)
    finite = [(one.top.value, one) for one in found if one.top]
    finite.sort(key=lambda pair: goal.sign * pair[0])
    ranked = [(value, one) for value, one in finite if one.config]
    runs = [one.run for _, one in ranked]
    again = command("runwise", "sweep", *there(view))
    settings, left = _settings([one.config for _, one in ranked], query.over, again)
    top = max(_QUARTER, -(-len(runs) // 4)) if len(runs) >= _FEWEST else 0
    return Sweep(
        key=goal.key,
        key_guessed=goal.key_guessed,
        direction=goal.side,
        guessed=goal.guessed,
        keys=compared(settings, np.array([value for value, _ in ranked], np.float64), top),
        runs=[_run(at, one, settings) for at, (_, one) in enumerate(ranked[: query.top])],
        top=top,
        ranked=len(ranked),
        total=len(fitting.runs),
        filtered=fitting.filtered,
        undecided=fitting.undecided,
        never_finite=[one.run.id for one in found if one.top is None],
        without_config=len(finite) - len(ranked),
        left_out=left,
        sweeps=list(dict.fromkeys(run.sweep_id for run in runs if run.sweep_id)),
        unindexed=view.unindexed,
    )


def _fitting(query: SweepRuns, view: ProjectView) -> Chosen:
    """The runs that are asked about. Raises RunwiseError."""
    fitting = chosen(view, query.where)
    if query.sweep is None:
        return fitting
    hint = command("runwise", "sweep", *there(view))
    sweeps = dict.fromkeys(run.sweep_id for run in view.runs if run.sweep_id)
    if not sweeps:
        raise RunwiseError(Kind.NOT_FOUND, "no run belongs to a W&B sweep", hint)
    select([query.sweep], sweeps, what="sweep", hint=hint)
    runs = [run for run in fitting.runs if run.sweep_id == query.sweep]
    return Chosen(runs, fitting.undecided, len(view.runs) - len(runs))


def _settings(
    configs: Sequence[Mapping[str, Any]], over: Sequence[str], hint: str
) -> tuple[list[Setting], list[LeftOut]]:
    """The keys to look at, and those that vary but are left out. Raises RunwiseError."""
    settings = varying(configs)
    left: list[LeftOut] = []
    if over:
        names = select(over, [one.key for one in settings], what="config key that varies", hint=hint)
        known = {one.key: one for one in settings}
        settings = [known[name] for name in names]
    else:
        settings, seeds, left = telling(settings)
        left = [*left, *(LeftOut(key=one.key, reason="seed") for one in seeds)]
    told = [one for one in settings if len(one.different) > 1]
    return told, left + [LeftOut(key=one.key, reason="one value") for one in settings if len(one.different) < 2]


def _run(at: int, one: Found, settings: Sequence[Setting]) -> SweptRun:
    assert one.top is not None
    return SweptRun(
        id=one.run.id,
        name=one.run.name,
        value=one.top.value,
        step=one.top.step or 0,
        state=one.run.condition.state,
        config={key.key: key.of(at) for key in settings if key.values[at] is not MISSING},
    )
