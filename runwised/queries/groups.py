"""`groups`: runs that differ in their seed alone as one group each, and which groups differ by more than chance.

A run counts by the best finite value of its whole history (or its last), whatever its state; what is not finite never
counts, and is told. Groups of three runs or more are compared by Welch's t test; as which of them is best was seen
in the same values, p is corrected for all pairs, shown or not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

from runwise_protocol.queries.groups import GroupDifference, GroupedRun, GroupRuns, Groups, RunGroup

from runwised.analysis.chance import ALPHA, FEWEST, Difference, Sample, holm, interval, sample, welch
from runwised.queries.filters import chosen
from runwised.queries.goal import Found, Goal, about, found_in, goal_of
from runwised.queries.groups_joining import Joined, join
from runwised.queries.groups_text import render
from runwised.queries.onward import there
from runwised.queries.project import ProjectView
from runwised.queries.varied import MISSING
from runwised.render.command import command

__all__ = ["about", "answer", "render"]

_ALL_PAIRS = 5
"""Of more groups, only the best one is compared with others."""
_AGAINST = 20
"""With how many: those that come next."""


def answer(query: GroupRuns, view: ProjectView) -> Groups:
    """The groups, best mean first, and their differences. Raises RunwiseError."""
    fitting = chosen(view, query.where)
    goal = goal_of(query, view, fitting.runs)
    found = found_in(fitting.runs, goal)
    placed = [one for one in found if one.config]
    joined = join([one.config for one in placed], query.vary, command("runwise", "sweep", *there(view)))
    groups = [_group([(at, placed[at]) for at in places], joined, goal, query) for places in joined.places]
    groups.sort(key=lambda group: math.inf if group.mean is None else goal.sign * group.mean)
    differences, tests = _differences(groups)
    shown = groups[: query.top]
    return Groups(
        key=goal.key,
        key_guessed=goal.key_guessed,
        direction=goal.side,
        guessed=goal.guessed,
        value="last" if query.last else "best",
        vary=[one.key for one in joined.varied],
        vary_guessed=joined.guessed,
        groups=shown,
        differences=[one for one in differences if max(one.first, one.second) < len(shown)],
        tests=tests,
        left_out=joined.left,
        grouped=len(groups),
        ranked=sum(group.n for group in groups),
        total=len(fitting.runs),
        filtered=fitting.filtered,
        undecided=fitting.undecided,
        without_config=len(found) - len(placed),
        unindexed=view.unindexed,
    )


def _group(members: Sequence[tuple[int, Found]], joined: Joined, goal: Goal, query: GroupRuns) -> RunGroup:
    runs = [_run(at, one, joined, last=query.last) for at, one in members]
    runs.sort(key=lambda run: math.inf if run.value is None else goal.sign * run.value)
    values = [run.value for run in runs if run.value is not None]
    config = {one.key: one.of(members[0][0]) for one in joined.settings}
    known = sample(values) if values else None
    low, high = (known and interval(known)) or (None, None)
    return RunGroup(
        config={key: value for key, value in config.items() if value is not MISSING},
        n=len(values),
        mean=known.mean if known else None,
        std=known.std if known else None,
        low=low,
        high=high,
        runs=runs,
    )


def _run(at: int, one: Found, joined: Joined, *, last: bool) -> GroupedRun:
    run, stats, _, top = one
    value, step = (stats.last, stats.last_step) if last else (top.value, top.step) if top else (None, None)
    varied = {setting.key: setting.of(at) for setting in joined.varied}
    counts = value is not None and math.isfinite(value)
    return GroupedRun(
        id=run.id,
        name=run.name,
        value=value if counts else None,
        step=step if counts else None,
        state=run.condition.state,
        nonfinite=stats.nonfinite,
        varied={key: value for key, value in varied.items() if value is not MISSING},
    )


def _differences(groups: Sequence[RunGroup]) -> tuple[list[GroupDifference], int]:
    """Those between groups, and how many pairs could be tested in all."""
    samples = [Sample(group.n, group.mean, group.std) for group in groups if group.mean is not None]
    enough = [at for at, one in enumerate(samples) if one.n >= FEWEST]
    if len(samples) <= _ALL_PAIRS:
        pairs = list(combinations(range(len(samples)), 2))
    else:
        pairs = [(enough[0], at) for at in range(len(samples)) if at != enough[0]][:_AGAINST] if enough else []
    tests = len(enough) * (len(enough) - 1) // 2
    found = [welch(samples[first], samples[second]) for first, second in pairs]
    corrected = iter(holm([one.p for one in found if one], tests))
    rows = [
        _difference(pair, one, next(corrected), tests) if one else _untested(pair, groups)
        for pair, one in zip(pairs, found, strict=True)
    ]
    return rows, tests


def _difference(pair: tuple[int, int], found: Difference, corrected: float, tests: int) -> GroupDifference:
    low, high = found.interval
    shown = corrected < ALPHA
    return GroupDifference(
        first=pair[0],
        second=pair[1],
        difference=found.difference,
        low=low,
        high=high,
        p=found.p,
        corrected=corrected,
        detectable=found.detectable(tests),
        verdict="larger than chance" if shown else "not shown",
    )


def _untested(pair: tuple[int, int], groups: Sequence[RunGroup]) -> GroupDifference:
    first, second = groups[pair[0]], groups[pair[1]]
    assert first.mean is not None
    assert second.mean is not None
    return GroupDifference(
        first=pair[0],
        second=pair[1],
        difference=first.mean - second.mean,
        verdict="too few runs" if min(first.n, second.n) < FEWEST else "no spread",
    )
