"""A run's place among earlier ones as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec
from runwise_protocol.queries.rank import Ahead, Endings, Place, Rank, StandingRun

from runwised.queries.board import spelled
from runwised.queries.keysel import shown_as
from runwised.queries.onward import propose
from runwised.queries.project import ProjectView
from runwised.queries.resolve import called
from runwised.queries.runs import painted
from runwised.render.layout import short
from runwised.render.numbers import duration, number, plural
from runwised.render.page import Page

_TOP = 2
"""Rows of the table: the first ones, …"""
_AROUND = 2
"""… and those next to the run on either side."""
_REASONS = {
    "later": "started later",
    "other_project": "of another project",
    "filtered": "not where asked for",
    "unindexed": "not indexed yet",
    "no_key": "without the metric",
    "not_reached": "not at that step",
    "nonfinite": "nan or inf there",
}


def write(reply: Place, page: Page, query: Rank, view: ProjectView) -> None:
    """Write the answer to the page."""
    shown = [reply.runs[at] for at in _rows(reply)]
    cells = _cells(reply, shown, page, view)
    ends = reply.endings
    known = called([reply.run, *(run.id for run in shown), *(ends.runs[:1] if ends else [])], view)
    names = {run.id: name for run, name in known}
    page.line(_place(reply, query, names, cells), priority=100)
    if len(shown) > 1:
        states = {run.id: painted(run, page) for run, _ in known}
        _table(reply, page, [[names[run.id], *_row(run, reply, cells), states[run.id]] for run in shown])
    if ends:
        page.line(_endings(ends, names, cells), priority=85)
    if reply.ahead:
        page.line(_left(reply.ahead), priority=92)
    left = ", ".join(_left_out(reply))
    if left:
        page.line(f"not compared: {left}", priority=80)
    leader = next((run.id for run in reply.runs if run.id != reply.run), None)
    if leader:
        sides = (f"{names[run_id]}@{reply.step}" for run_id in (reply.run, leader))
        propose(page, view, "compare", *sides)


def _cells(reply: Place, shown: Sequence[StandingRun], page: Page, view: ProjectView) -> Mapping[float | None, str]:
    """How the values on the page are written."""
    values = [reply.value, reply.median, *(value for run in shown for value in (run.value, run.best))]
    ends = reply.endings
    values += [ends.low, ends.median, ends.high] if ends else []
    return spelled(values, shown_as(reply.key, view.config).format, page.dress, scale=False)[1]


def _rows(reply: Place) -> list[int]:
    """Places in the order of values of the runs that are listed."""
    order = [run.id for run in reply.runs]
    at = order.index(reply.run) if reply.run in order else 0
    near = range(max(0, at - _AROUND), min(len(order), at + _AROUND + 1))
    return sorted({*range(min(_TOP, len(order))), *near})


def _place(reply: Place, query: Rank, names: Mapping[str, str], cells: Mapping[float | None, str]) -> str:
    so_far = f"{_extreme(reply, query)} so far " if reply.best_so_far else ""
    value = cells.get(reply.value) or number(reply.value)
    value += "" if reply.value_step == reply.step else f"@{reply.value_step}"
    title = f"{names[reply.run]} at step {reply.step}: {so_far}{short(reply.key)} {value}"
    if reply.rank is None:
        return f"{title}, not ranked among {plural(reply.of - 1, 'run')}"
    if reply.of == 1:
        return f"{title}; no earlier run to compare with"
    tied = f", like {plural(reply.tied, 'other')}" if reply.tied else ""
    first = next(run for run in reply.runs if run.id != reply.run)
    which = f"{_extreme(reply, query)} at that step" if reply.rank > 1 else "then comes"
    beside = f"{which} {cells[first.value]} {names[first.id]}; median {cells[reply.median]}"
    return f"{title}, {_ordinal(reply.rank)} of {reply.of}{tied} ({beside})"


def _extreme(reply: Place, query: Rank) -> str:
    """``lowest`` and ``highest`` where nobody said that this is best."""
    said = not reply.guessed and not query.max and not query.min
    return "best" if said else {"min": "lowest", "max": "highest"}[reply.direction]


def _ordinal(place: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    return f"{place}{'th' if place % 100 in (11, 12, 13) else ending}"


def _table(reply: Place, page: Page, rows: Sequence[Sequence[str]]) -> None:
    """The first runs, and those around the one asked about."""
    places = [str(at + 1) for at in _rows(reply)]
    head = ["place", "run", "there", f"{reply.direction}@step", "state"]
    page.table(head, [[place, *row] for place, row in zip(places, rows, strict=True)], priority=60)


def _row(run: StandingRun, reply: Place, cells: Mapping[float | None, str]) -> list[str]:
    value = cells[run.value] if run.step == reply.step else f"{cells[run.value]}@{run.step}"
    return [value, "-" if run.best is None else f"{cells[run.best]}@{run.best_step}"]


def _endings(ends: Endings, names: Mapping[str, str], cells: Mapping[float | None, str]) -> str:
    """``the 5 nearest here, now over: best 1.51 to 1.7, median 1.62``."""
    if len(ends.runs) == 1:
        return f"the nearest here, {names[ends.runs[0]]}, is over: best {cells[ends.low]}"
    span = f"{cells[ends.low]} to {cells[ends.high]}, median {cells[ends.median]}"
    return f"the {len(ends.runs)} nearest here, now over: best {span}"


def _left(ahead: Ahead) -> str:
    """``about 2h10 left to step 10000 (max_steps) at .53 steps/s``."""
    goal = f"to step {ahead.total_steps} ({short(ahead.source)})"
    if ahead.seconds is None or ahead.steps_per_second is None:
        return f"{plural(ahead.left, 'step')} left {goal}; the log does not tell the rate"
    rate = number(ahead.steps_per_second, digits=2)
    return f"about {duration(ahead.seconds)} left {goal} at {rate} steps/s, the rate of the last rows"


def _left_out(reply: Place) -> Iterator[str]:
    """How many runs were not compared, by reason."""
    for reason, count in msgspec.structs.asdict(reply.left_out).items():
        if count:
            yield f"{count} {_REASONS[reason]}"
