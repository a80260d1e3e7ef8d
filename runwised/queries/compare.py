"""`compare`: runs side by side: values at one point of each, since when their curves part, and what else differs."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from functools import partial

from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries.compare import Compare, ComparedValue, Comparison, Parted
from runwise_protocol.query import Reply

from runwised.analysis.parting import parting
from runwised.index.view import RunView
from runwised.queries.about import About
from runwised.queries.asked import asked
from runwised.queries.at_step import best_at, last_at
from runwised.queries.compare_at import Side, named, needed, point_of, sides_of
from runwised.queries.compare_facts import config_differences, other_differences
from runwised.queries.compare_text import Shown, write
from runwised.queries.glance import best, latest, names_of, stats_of
from runwised.queries.keysel import direction, main_metrics
from runwised.queries.project import ProjectView
from runwised.queries.runs import entry
from runwised.queries.tabular import Objects, plain
from runwised.render.page import Page
from runwised.render.untrusted import clean

_PER_CENT = re.compile(r"(\d{1,15}\.?\d{0,15}|\.\d{1,15})%?", re.ASCII)
_ONLY_CONFIG = "diff"
"""Set on a reply that was asked for configurations alone."""


def about(query: Compare, view: ProjectView) -> About:
    """The runs to compare, each once; all of them whole. Raises RunwiseError."""
    return About(list({run.id: run for run, _ in named(query, view)}.values()), "whole")


def answer(query: Compare, view: ProjectView) -> Comparison:
    """Values of every metric that any of the runs has, and what differs. Raises RunwiseError."""
    if query.diff:
        return _only_config(query, view)
    sides = sides_of(query, view)
    runs = [side.run for side in sides]
    main = mains_of(runs, view)
    names = [name for name in dict.fromkeys((*main, *_all_names(runs))) if _wanted(name, query)]
    metrics = {name: [_value(side, name, name in main, view) for side in sides] for name in names}
    if query.threshold is not None:
        least = _per_cent(query.threshold)
        metrics = {name: values for name, values in metrics.items() if _spread(values) >= least}
    return Comparison(
        runs=[entry(run) for run in runs],
        at=point_of(query, sides),
        to=needed(query, runs),
        metrics=metrics,
        alike=len(names) - len(metrics),
        parting=[found for name in main if name in metrics for found in _partings(name, sides)],
        config=config_differences(runs),
        differs=other_differences(runs),
    )


def _only_config(query: Compare, view: ProjectView) -> Comparison:
    if query != Compare(runs=query.runs, diff=True):
        message = "--diff shows configurations only: no other option goes with it"
        raise RunwiseError(Kind.USAGE, message, f"runwise {asked(Compare(runs=query.runs, diff=True))}")
    sides = sides_of(query, view)
    runs = [side.run for side in sides]
    reply = Comparison(
        runs=[entry(run) for run in runs],
        at=point_of(query, sides),
        to=None,
        metrics={},
        alike=0,
        parting=[],
        config=config_differences(runs),
        differs={},
    )
    reply.__dict__[_ONLY_CONFIG] = True
    return reply


def mains_of(runs: Iterable[RunView], view: ProjectView) -> dict[str, None]:
    """The main metrics of any of the runs."""
    return dict.fromkeys(name for run in runs for name in main_metrics(run, view.config))


def _all_names(runs: Iterable[RunView]) -> Iterable[str]:
    return (name for run in runs for name in names_of(run))


def _wanted(name: str, query: Compare) -> bool:
    return query.filter is None or query.filter.lower() in name.lower()


def _value(side: Side, name: str, is_main: bool, view: ProjectView) -> ComparedValue:
    stats = stats_of(side.run, name)
    if stats is None or (side.stop is not None and not side.point.reached):
        return ComparedValue(value=None, step=None)
    way = direction(name, side.run, view.config)[0]
    top = best(stats, way)
    if side.stop is None:
        moment = latest(side.run, name)
    else:
        step = side.point.step
        assert step is not None
        moment = last_at(side.run, name, stats, step) if stats.first_step <= step else None
        if way and top and top.step is not None and top.step > step:
            top = best_at(side.run, name, stats, step, way) if is_main else None
    return ComparedValue(
        value=moment.value if moment else None,
        step=moment.step if moment else None,
        best=top.value if top else None,
        best_step=top.step if top else None,
    )


def _per_cent(text: str) -> float:
    found = _PER_CENT.fullmatch(text)
    if found is None:
        message = f"--threshold: expected per cent, such as 5, found '{clean(text)[:60]}'"
        raise RunwiseError(Kind.USAGE, message, "runwise compare RUN RUN -t 5")
    return float(found[1])


def _spread(values: Sequence[ComparedValue]) -> float:
    """By how many per cent of the one nearest to zero values differ; infinite where one is missing or not finite."""
    known = [value.value for value in values if value.value is not None and math.isfinite(value.value)]
    if len(known) < len(values):
        return math.inf if known else 0.0
    widest, least = max(known) - min(known), min(abs(value) for value in known)
    if not widest:
        return 0.0
    return 100 * widest / least if least else math.inf


def _partings(name: str, sides: Sequence[Side]) -> Iterable[Parted]:
    """Where each run's curve leaves the first run's, up to the points that both are compared at."""
    first, *others = sides
    if stats_of(first.run, name) is None:
        return
    for side in others:
        run, points = side.run, (first.point, side.point)
        if stats_of(run, name) is None or not all(point.reached for point in points):
            continue
        last_step = min(point.step for point in points if point.step is not None)
        found = parting(first.run.history, run.history, name, last_step)
        if found is None:
            continue
        told = partial(Parted, key=name, run=run.id, within=found.within, last_step=found.last_step)
        for span in found.spans:
            yield told(step=span.step, until=span.until, gap=span.gap)
        if not found.spans:
            yield told(step=None, until=None, gap=None)


def objects(reply: Reply) -> Objects:
    """One object for each metric and run, or for each configuration key and run."""
    found = plain(reply)
    if _ONLY_CONFIG in reply.__dict__:
        items = found["config"].items()
        return [
            {"key": key, "run": run["id"], "value": value}
            for key, values in items
            for run, value in zip(found["runs"], values, strict=True)
        ]
    return [
        {"key": key, "run": run["id"], **value}
        for key, values in found["metrics"].items()
        for run, value in zip(found["runs"], values, strict=True)
    ]


def render(reply: Comparison, page: Page, query: Compare, view: ProjectView) -> None:
    """What the runs are, where they are compared, their values, then what differs."""
    runs = [run for run, _ in named(query, view)]
    write(reply, page, Shown.of(reply, runs, mains_of(runs, view), view), query)
