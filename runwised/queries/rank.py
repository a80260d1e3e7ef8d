"""`rank`: where a run stands among those that came before it, all of them at the same step.

That is the last step at which the run logged the metric, unless another one is named. Most of it headers tell; a run
whose curve goes on beyond the step costs one short read.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import median, median_high
from typing import NamedTuple

from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries.rank import Ahead, Endings, LeftOut, Place, Rank, StandingRun

from runwised.index.view import RunView, Stats
from runwised.queries.about import About
from runwised.queries.asked import asked
from runwised.queries.at_step import best_at, last_at, stands
from runwised.queries.filters import Chosen, chosen
from runwised.queries.glance import Moment, best, latest, names_of, stats_of
from runwised.queries.goal import judged_by, side_said
from runwised.queries.keysel import Direction, main_metric, select
from runwised.queries.onward import onward
from runwised.queries.project import ProjectView
from runwised.queries.rank_text import write
from runwised.queries.resolve import handle, resolve
from runwised.queries.totals import Total, rate, total_steps
from runwised.render.command import command
from runwised.render.layout import short
from runwised.render.numbers import plural
from runwised.render.page import Page

_NAMED = 3
"""Metrics that an error names."""
_NEAREST = 5
"""Runs whose endings are told."""
_TRACKED = ("wandb", "mlflow", "trackio")
"""What the formats of logs begin with whose projects a person named; those of others are folders."""
_GOING_ON = ("running", "empty", "unknown")


class Asked(NamedTuple):
    """What is compared."""

    run: RunView
    key: str
    side: Direction
    guessed: bool
    step: int
    own: Moment
    """The run's own value there."""


class There(NamedTuple):
    """A run as it was at the step."""

    run: RunView
    value: Moment
    top: Moment | None


def about(query: Rank, view: ProjectView) -> About:
    """The run, and those without an index where that is soon made: those that are left out are counted."""
    run = resolve(query.run, view)
    return About([run, *(other for other in view.runs if not other.indexed and other is not run)], "short")


def answer(query: Rank, view: ProjectView) -> Place:
    """The run's place. Raises RunwiseError."""
    what = asked_about(query, view)
    others, left = _comparable(what, chosen(view, query.where), view, so_far=query.best)
    worth = -1 if what.side == "max" else 1
    value = what.own.value
    is_ranked = math.isfinite(value)
    own = There(what.run, what.own, best(stats_of(what.run, what.key), what.side))
    every = sorted([own, *others] if is_ranked else others, key=lambda one: worth * one.value.value)
    return Place(
        run=what.run.id,
        name=what.run.name,
        key=what.key,
        direction=what.side,
        guessed=what.guessed,
        step=what.step,
        best_so_far=query.best,
        value=value,
        value_step=what.step if what.own.step is None else what.own.step,
        rank=1 + sum(worth * one.value.value < worth * value for one in others) if is_ranked else None,
        tied=sum(one.value.value == value for one in others),
        of=len(others) + 1,
        median=median(one.value.value for one in every) if every else None,
        runs=[_standing(one) for one in every],
        left_out=left,
        endings=_endings(value, others) if is_ranked else None,
        ahead=_ahead(what.run, others) if query.at == "now" else None,
    )


def asked_about(query: Rank, view: ProjectView) -> Asked:
    """What the question means. Raises RunwiseError."""
    side_said(query, view)
    run = resolve(query.run, view)
    key = _key(query, run, view)
    side, guessed = judged_by(query, key, [run, *view.runs], view)
    found = stats_of(run, key)
    if found is None:
        told = latest(run, key) if query.at == "now" else None
        if told is None or told.step is None:
            raise RunwiseError(Kind.NOT_FOUND, f"{handle(run, view)} is not indexed yet", f"runwise {asked(query)}")
        return Asked(run, key, side, guessed, told.step, told)
    step = found.last_step if query.at == "now" else int(query.at.removeprefix("step="))
    if found.first_step > step:
        name = handle(run, view)
        first = command("runwise", "rank", name, "-k", key, "--at", f"step={found.first_step}")
        raise RunwiseError(Kind.NOT_FOUND, f"{name} has no {short(key)} up to step {step}", first)
    own = best_at(run, key, found, step, side) if query.best else None
    return Asked(run, key, side, guessed, step, own or last_at(run, key, found, step))


def _key(query: Rank, run: RunView, view: ProjectView) -> str:
    """The metric. Raises RunwiseError."""
    main = main_metric(run, view.config) if query.key is None else query.key
    if main is not None and stats_of(run, main):
        return main
    name = handle(run, view)
    if query.key is None:
        if main is not None:
            return main
        raise RunwiseError(Kind.NOT_FOUND, f"{name} has logged no numbers", command("runwise", "run", name))
    found = select([query.key], names_of(run), hint=onward(view, "keys", name))
    if len(found) > 1:
        known = ", ".join(map(short, found[:_NAMED])) + (" …" if len(found) > _NAMED else "")
        again = command("runwise", "rank", name, "-k", found[0])
        raise RunwiseError(Kind.AMBIGUOUS, f"{short(query.key)} fits {len(found)} metrics: {known}", again)
    return found[0]


def _comparable(what: Asked, fitting: Chosen, view: ProjectView, *, so_far: bool) -> tuple[list[There], LeftOut]:
    """The earlier runs that have a finite value at the step, newest first, and a count of the others."""
    found: list[There] = []
    left: Counter[str] = Counter()
    fit = None if fitting.runs is view.runs else {run.id for run in fitting.runs}
    project = _tracked_project(what.run)
    for run, is_earlier in zip(view.runs, _earlier(what.run, view), strict=True):
        if run is what.run:
            continue
        if not is_earlier:
            left["later"] += 1
        elif project and (_tracked_project(run) or project) != project:
            left["other_project"] += 1
        elif fit is not None and run.id not in fit:
            left["filtered"] += 1
        else:
            there = _there(run, what, so_far=so_far)
            if isinstance(there, str):
                left[there] += 1
            else:
                found.append(there)
    return found, LeftOut(**left)


def _there(run: RunView, what: Asked, *, so_far: bool) -> There | str:
    """The run at the step, or why it cannot be compared."""
    if not run.indexed:
        return "unindexed"
    stats = stats_of(run, what.key)
    if stats is None:
        return "no_key"
    if not stands(stats, what.step):
        return "not_reached"
    value = _value(run, stats, what, so_far=so_far)
    return There(run, value, best(stats, what.side)) if value and math.isfinite(value.value) else "nonfinite"


def _value(run: RunView, found: Stats, what: Asked, *, so_far: bool) -> Moment | None:
    if so_far:
        return best_at(run, what.key, found, what.step, what.side)
    return last_at(run, what.key, found, what.step)


def _earlier(run: RunView, view: ProjectView) -> Iterator[bool]:
    """Of each run of the view, whether it was started no later.

    The view has them in the order of their latest starts: only where a run was resumed do the first ones matter.
    """
    behind = False
    for other in view.runs:
        behind = behind or other is run
        is_plain = (run if behind else other).segments <= 1
        yield behind if is_plain else _began(other) <= _began(run)


def _began(run: RunView) -> float:
    return math.inf if run.created is None else run.created


def _tracked_project(run: RunView) -> str | None:
    """The project that a person named; None for logs that know of none."""
    tracked = run.sources and run.sources[0].format.startswith(_TRACKED)
    return run.project if tracked else None


def _standing(one: There) -> StandingRun:
    run, value, top = one
    return StandingRun(
        id=run.id,
        name=run.name,
        state=run.condition.state,
        value=value.value,
        step=0 if value.step is None else value.step,
        best=top.value if top else None,
        best_step=top.step if top else None,
    )


def _endings(value: float, others: Sequence[There]) -> Endings | None:
    """How those ended, of the runs that are over, whose values were nearest."""
    over = [one for one in others if one.top and one.run.condition.state not in _GOING_ON]
    nearest = heapq.nsmallest(_NEAREST, over, key=lambda one: abs(one.value.value - value))
    finals = [one.top.value for one in nearest if one.top]
    if not finals:
        return None
    return Endings(runs=[one.run.id for one in nearest], low=min(finals), median=median(finals), high=max(finals))


def _ahead(run: RunView, others: Sequence[There]) -> Ahead | None:
    """What is left of a run that goes on: of its own plan, or else by the steps of those that finished."""
    if run.condition.state != "running" or run.step is None:
        return None
    total = total_steps(run) or _usual([one.run for one in others])
    if total is None or total.steps <= run.step:
        return None
    pace, left = rate(run).recent, total.steps - run.step
    return Ahead(
        total_steps=total.steps,
        source=total.source,
        left=left,
        steps_per_second=pace,
        seconds=left / pace if pace else None,
    )


def _usual(runs: Sequence[RunView]) -> Total | None:
    """The last step of runs that finished, the middle one."""
    steps = [run.step for run in runs if run.condition.state == "finished" and run.step is not None]
    return Total(median_high(steps), f"median of {plural(len(steps), 'finished run')}") if steps else None


def render(reply: Place, page: Page, query: Rank, view: ProjectView) -> None:
    """The place in a sentence, who stands around it, and what may come."""
    write(reply, page, query, view)
