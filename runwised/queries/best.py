"""`best`: runs in the order of the best value that a metric ever had in each.

Ranked by exact values, each the least or greatest finite one of the run's whole history; what is not finite never
counts, and is told. A run is *within noise* of the first one where their best values differ by no more than either
curve swings by itself (`runwised.queries.noise`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries.best import RankedRun, Ranking, RankRuns

from runwised.index.view import RunView, Stats
from runwised.queries.about import About
from runwised.queries.asked import asked
from runwised.queries.board import spelled
from runwised.queries.expression import known_metric
from runwised.queries.filters import chosen, counted, said_of
from runwised.queries.glance import Moment, best, stats_of
from runwised.queries.goal import judged_by, side_said
from runwised.queries.keysel import shown_as
from runwised.queries.noise import swing
from runwised.queries.onward import listing, propose, there
from runwised.queries.project import ProjectView
from runwised.queries.resolve import called
from runwised.queries.runs import painted
from runwised.render.layout import short
from runwised.render.numbers import number, plural
from runwised.render.page import Page
from runwised.render.untrusted import clean

_LOOKED_AT = 50
"""Runs at the top whose curves are looked at for what is within noise."""

_ROW_TOKENS = 8
"""No line of the table costs less."""


class _Found(NamedTuple):
    """A run that logged the metric."""

    run: RunView
    stats: Stats
    top: Moment | None
    """None: no value of it was finite."""


def about(query: RankRuns, view: ProjectView) -> About:
    """The runs without an index, where that is soon made: the ranking counts those that are left out."""
    del query
    return About([run for run in view.runs if not run.indexed], "short")


def answer(query: RankRuns, view: ProjectView) -> Ranking:
    """The runs that logged the metric, best first. Raises RunwiseError."""
    side_said(query, view)
    if not view.runs:
        raise RunwiseError(Kind.NOT_FOUND, f"no runs under {clean(view.root)}", listing(view))
    known_metric(query.key, view.runs)
    fitting = chosen(view, query.where)
    side, guessed = judged_by(query, query.key, view.runs, view)
    found = [_Found(run, stats, best(stats, side)) for run in fitting.runs if (stats := stats_of(run, query.key))]
    sign = -1 if side == "max" else 1
    ranked = sorted((one for one in found if one.top), key=lambda one: sign * one.top.value if one.top else 0.0)
    kept = ranked[: query.top] if query.top else ranked
    near = _near(kept[:_LOOKED_AT], query.key)
    return Ranking(
        key=query.key,
        direction=side,
        guessed=guessed,
        runs=[_ranked(one, near.get(one.run.id)) for one in kept],
        ranked=len(ranked),
        total=len(fitting.runs),
        filtered=fitting.filtered,
        undecided=fitting.undecided,
        never_finite=[one.run.id for one in found if one.top is None],
        unindexed=view.unindexed,
    )


def _near(ranked: Sequence[_Found], key: str) -> dict[str, str]:
    """By run id, what is as good as the first one. Values only get further off: the first that is not ends it."""
    near: dict[str, str] = {}
    first = ranked[0].top if ranked else None
    if first is None:
        return near
    leading = swing(ranked[0].run, key)
    for run, _, top in ranked[1:]:
        gap = abs(top.value - first.value) if top else math.inf
        own = None if gap == 0 or leading is None or gap > leading else swing(run, key)
        if gap == 0:
            near[run.id] = "tied"
        elif own is not None and gap <= own:
            near[run.id] = "within noise"
        elif leading is None or gap > leading:
            break
    return near


def _ranked(one: _Found, near: str | None) -> RankedRun:
    run, stats, top = one
    assert top is not None
    return RankedRun(
        id=run.id,
        name=run.name,
        value=top.value,
        step=0 if top.step is None else top.step,
        state=run.condition.state,
        last=stats.last,
        last_step=stats.last_step,
        nonfinite=stats.nonfinite,
        near=near,
    )


def render(reply: Ranking, page: Page, query: RankRuns, view: ProjectView) -> None:
    """What was ranked, then one line a run, best first."""
    page.line(_title(reply, query, view), priority=95)
    if reply.runs:
        _table(reply, page, query, view)
    for text in _left_out(reply, view):
        page.line(f"! {text}", priority=85)


def _title(reply: Ranking, query: RankRuns, view: ProjectView) -> str:
    """``lowest`` and ``highest`` where nobody said that this is best."""
    said = not reply.guessed and not query.max and not query.min
    extreme = "best" if said else {"min": "lowest", "max": "highest"}[reply.direction]
    runs = counted(reply.total, reply.filtered, reply.undecided, said_of(query.where))
    having = "" if reply.ranked == reply.total else f", {reply.ranked} ranked"
    indexing = " of those indexed so far" if view.unindexed else ""
    return f"{extreme} {short(reply.key)}{indexing}: {runs}{having}"


def _table(reply: Ranking, page: Page, query: RankRuns, view: ProjectView) -> None:
    fit = len(reply.runs) if page.room is None else min(len(reply.runs), page.room // _ROW_TOKENS + 1)
    shown = reply.runs[:fit]
    spec = shown_as(reply.key, view.config).format
    runs = called([found.id for found in shown], view)
    cells = spelled([value for found in shown for value in (found.value, found.last)], spec, page.dress, scale=False)[1]
    rows = [
        [name, f"{cells[found.value]}@{found.step}", _last(found, cells), painted(run, page), _note(found)]
        for found, (run, name) in zip(shown, runs, strict=True)
    ]
    head = ["run", f"{reply.direction}@step", "last", "state", "note"]
    if not any(row[-1] for row in rows):
        head, rows = head[:-1], [row[:-1] for row in rows]
    rest = reply.ranked - len(shown)
    whole = RankRuns(key=query.key, max=query.max, min=query.min, where=query.where, top=reply.ranked)
    again = f"runwise {asked(whole, *there(view))}"
    page.table(head, rows, priority=90, more=lambda dropped: f"{dropped + rest} more: {again}")
    if rest and fit == len(reply.runs):
        page.line(f"{rest} more: {again}", priority=80)
    propose(page, view, "history", runs[0][1], "-k", query.key)


def _last(found: RankedRun, cells: Mapping[float | None, str]) -> str:
    if found.step == found.last_step and found.value == found.last:
        return "same"
    return cells.get(found.last) or number(found.last)


def _note(found: RankedRun) -> str:
    bad = "" if not found.nonfinite else f"{found.nonfinite} nan or inf"
    bad = f"{bad}, to the end" if bad and not math.isfinite(found.last) else bad
    return ", ".join(part for part in (found.near, bad) if part)


def _left_out(reply: Ranking, view: ProjectView) -> Iterator[str]:
    """What the ranking does not hold."""
    if reply.never_finite:
        yield f"{plural(len(reply.never_finite), 'run')} never had a finite value"
    if reply.unindexed:
        yield f"{reply.unindexed} of {plural(len(view.runs), 'run')} not indexed yet, and not ranked"
