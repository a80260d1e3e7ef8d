"""`live`: what is running now, how fast, until when, and whether it goes on as it usually does."""

from __future__ import annotations

from runwise_protocol.queries.live import BestYet, Live, LiveRun, LiveStatus

from runwised.index.view import RunView
from runwised.queries.cadence import cadence
from runwised.queries.freshness import unread
from runwised.queries.glance import best, latest, stats_of
from runwised.queries.keysel import direction, main_metrics, shown_as
from runwised.queries.liveness import lives, seconds_left
from runwised.queries.onward import propose
from runwised.queries.project import ProjectView
from runwised.queries.resolve import handle, handles, resolve
from runwised.queries.runs import state_word
from runwised.queries.totals import rate, total_steps
from runwised.render.layout import short
from runwised.render.numbers import age, duration, formatted, number
from runwised.render.page import Page

_METRICS = 4
_ALIKE = 0.2
"""Up to this share of difference the overall rate says no more than the present one."""


def answer(query: Live, view: ProjectView) -> LiveStatus:
    """Every running run, newest first; of those that are named, each. Raises RunwiseError."""
    named = {resolve(name, view).id for name in query.runs}
    return LiveStatus(runs=[_status(run, view) for run in view.runs if (run.id in named if named else lives(run))])


def _status(run: RunView, view: ProjectView) -> LiveRun:
    pace, usual = rate(run), cadence(run)
    total = total_steps(run)
    silent = _silence(run, view)
    moments = {key: latest(run, key) for key in main_metrics(run, view.config, _METRICS)}
    return LiveRun(
        id=run.id,
        name=run.name,
        state=run.condition.state,
        proof=run.condition.proof,
        pid=run.condition.pid,
        step=run.step,
        steps_per_second=pace.recent,
        overall_steps_per_second=pace.overall,
        total_steps=total.steps if total else None,
        total_source=total.source if total else None,
        eta_seconds=seconds_left(run, total, pace),
        silent_seconds=silent,
        usual_seconds=usual.usual,
        stalled=usual.stalled(silent) if lives(run) else None,
        heard_seconds=None if run.heard is None else max(0.0, view.now - run.heard),
        metrics={key: moment.value for key, moment in moments.items() if moment},
        best=dict(_best(run, list(moments), view)),
    )


def _best(run: RunView, keys: list[str], view: ProjectView) -> list[tuple[str, BestYet]]:
    found = [(key, best(stats_of(run, key), direction(key, run, view.config)[0])) for key in keys]
    return [(key, BestYet(value=top.value, step=top.step)) for key, top in found if top]


def _silence(run: RunView, view: ProjectView) -> float | None:
    """Seconds since the last row, or where it has none, since anything came of the run."""
    table = run.history
    last = float(table.times(table.row_count - 1, table.row_count)[0]) if table.row_count else run.updated
    return None if last is None or last != last else max(0.0, view.now - last)


def render(reply: LiveStatus, page: Page, query: Live, view: ProjectView) -> None:
    """One line a run: proof of life, step, rate, ETA, last row; latest and best main metrics; one more if it stalls."""
    del query
    if not reply.runs:
        _nothing(page, view)
        return
    runs = [resolve(found.id, view) for found in reply.runs]
    known = handles(runs, view)
    for at, (found, run) in enumerate(zip(reply.runs, runs, strict=True)):
        page.line(f"{known[run.id]} {_progress(found)}{_values(found, page, view)}", priority=90 if at else 100)
        if found.stalled is not None:
            page.line(f"! {known[run.id]} {_stalled(found)}", priority=85)
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
    parts = [_life(found)]
    parts.append("no step yet" if found.step is None else f"step {found.step}" + _share(found))
    pace, overall = found.steps_per_second, found.overall_steps_per_second
    if pace is not None:
        differs = overall is not None and abs(overall - pace) > _ALIKE * pace
        parts.append(
            f"{number(pace, digits=2)} steps/s" + (f" ({number(overall, digits=2)} overall)" if differs else "")
        )
    if found.eta_seconds is not None:
        parts.append(f"eta {duration(found.eta_seconds)}")
    if found.silent_seconds is not None:
        parts.append(f"last row {age(found.silent_seconds)}")
    return " ".join(part for part in parts if part)


def _life(found: LiveRun) -> str:
    """How it is known that it runs."""
    state = "" if found.state in ("running", "empty") else found.state
    if not found.proof:
        return state
    silence = ", by silence" if found.pid is None and not state else ""
    return " ".join(part for part in (state, f"({short(found.proof)}{silence})") if part)


def _share(found: LiveRun) -> str:
    return f" of {found.total_steps}" if found.total_steps else ""


def _stalled(found: LiveRun) -> str:
    usual, silent = duration(found.usual_seconds), duration(found.silent_seconds)
    if (found.usual_seconds or 0) < 1:
        usual = f"{number(found.usual_seconds, digits=2)}s"
    text = f"stalled {number(found.stalled, digits=2)}×: no row for {silent}, usually every {usual}"
    heard = found.heard_seconds
    printed = heard is not None and found.silent_seconds is not None and heard < found.silent_seconds - 1
    return text + (f"; it printed something {age(heard)}" if printed else "")


def _values(found: LiveRun, page: Page, view: ProjectView) -> str:
    said = []
    for key, value in found.metrics.items():
        spec = shown_as(key, view.config).format
        text = f"{short(key)} {formatted(value, spec, dress=page.dress)}"
        top = found.best.get(key)
        if top is not None and top.value != value:
            text += f" (best {formatted(top.value, spec, dress=page.dress)}@{top.step})"
        said.append(text)
    return f"; {' '.join(said)}" if said else ""
