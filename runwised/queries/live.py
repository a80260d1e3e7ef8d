"""`live`: what is running now."""

from __future__ import annotations

import math

from runwise_protocol.queries.live import Live, LiveRun, LiveStatus

from runwised.index.view import RunView
from runwised.queries.freshness import unread
from runwised.queries.glance import latest
from runwised.queries.keysel import main_metrics
from runwised.queries.onward import propose
from runwised.queries.project import ProjectView
from runwised.queries.resolve import handle, handles, resolve
from runwised.queries.runs import state_word
from runwised.render.layout import short
from runwised.render.numbers import age, formatted, number
from runwised.render.page import Page

_ROWS = 100
"""Last rows over which the rate is taken."""
_METRICS = 4


def answer(query: Live, view: ProjectView) -> LiveStatus:
    """Every running run, newest first."""
    del query
    return LiveStatus(runs=[_status(run, view) for run in view.runs if _lives(run)])


def _lives(run: RunView) -> bool:
    """Whether it runs; W&B writes nothing for the first seconds, but its process is there."""
    state, _, _, pid = run.condition
    return state == "running" or (state == "empty" and pid is not None)


def _status(run: RunView, view: ProjectView) -> LiveRun:
    rate, last = _pace(run)
    heard = run.updated if last is None else last
    moments = {key: latest(run, key) for key in main_metrics(run, view.config, _METRICS)}
    return LiveRun(
        id=run.id,
        name=run.name,
        state=run.condition.state,
        proof=run.condition.proof,
        step=run.step,
        steps_per_second=rate,
        silent_seconds=None if heard is None else max(0.0, view.now - heard),
        metrics={key: moment.value for key, moment in moments.items() if moment},
    )


def _pace(run: RunView) -> tuple[float | None, float | None]:
    """Steps per second over the last rows, and when the last of them was logged; None where the log does not tell."""
    table = run.history
    start, stop = max(0, table.row_count - _ROWS), table.row_count
    rows = zip(table.steps(start, stop).tolist(), table.times(start, stop).tolist(), strict=True)
    timed = [(step, time) for step, time in rows if math.isfinite(time)]
    if not timed:
        return None, None
    (first_step, first), (last_step, last) = timed[0], timed[-1]
    seconds = last - first
    return ((last_step - first_step) / seconds if seconds > 0 else None), last


def render(reply: LiveStatus, page: Page, query: Live, view: ProjectView) -> None:
    """One line a run: step, rate, last sign of life, latest main metrics."""
    del query
    if not reply.runs:
        _nothing(page, view)
        return
    runs = [resolve(found.id, view) for found in reply.runs]
    known = handles(runs, view)
    for at, (found, run) in enumerate(zip(reply.runs, runs, strict=True)):
        page.line(f"{known[run.id]} {_progress(found)}{_values(found, page, view)}", priority=90 if at else 100)
        for text in unread(run):
            page.line(f"! {known[run.id]}: {text}", priority=70)


def _nothing(page: Page, view: ProjectView) -> None:
    page.line("nothing is running", priority=100)
    if view.runs:
        run = view.runs[0]
        when = "" if run.updated is None else f" {age(view.now - run.updated)}"
        page.line(f"latest: {handle(run, view)} {state_word(run)}{when}", priority=90)
        propose(page, view, "run", handle(run, view))


def _progress(found: LiveRun) -> str:
    parts = [f"({short(found.proof)})" if found.proof else ""]
    parts.append("no step yet" if found.step is None else f"step {found.step}")
    if found.steps_per_second is not None:
        parts.append(f"{number(found.steps_per_second, digits=2)} steps/s")
    if found.silent_seconds is not None:
        parts.append(f"last row {age(found.silent_seconds)}")
    return " ".join(part for part in parts if part)


def _values(found: LiveRun, page: Page, view: ProjectView) -> str:
    formats = view.config.schema.metrics
    said = [
        f"{short(key)} {formatted(value, formats[key].format if key in formats else None, dress=page.dress)}"
        for key, value in found.metrics.items()
    ]
    return f"; {' '.join(said)}" if said else ""
