"""`since`: what is new since a cursor was given, run by run; the comparison is of positions, never of times."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping

from runwise_protocol.queries.since import Change, News, Since

from runwised.index.kept import Mark
from runwised.index.view import RunView
from runwised.queries.about import About
from runwised.queries.findings import told
from runwised.queries.glance import latest
from runwised.queries.keysel import main_metrics
from runwised.queries.lately import curve_event, new_events
from runwised.queries.liveness import lives, numbers
from runwised.queries.moments import MAIN, new_bests, new_errors
from runwised.queries.patience import Patience
from runwised.queries.project import ProjectView
from runwised.queries.resolve import called, resolve
from runwised.render.layout import short
from runwised.render.numbers import number, plural
from runwised.render.page import Page
from runwised.render.untrusted import clean, redact

_ERRORS = 5
"""Lines of error that are handed on, the last ones."""
_ORDER = {"gone": 1, "new": 2, "went on": 3, "is": 4}
_NONE: Mapping[str, Mark] = {}


def answer(query: Since, view: ProjectView) -> News:
    """What is new; all that there is where there is no cursor to go from. Raises RunwiseError."""
    cursor = view.cursor()
    now = (past.marks if (past := view.past(cursor)) else None) or _NONE
    past = view.past(query.cursor) if query.cursor else None
    wanted = {resolve(name, view).id for name in query.runs}
    if past is None or past.marks is None:
        return _whole(cursor, wanted, view, unknown=query.cursor is not None)
    then = past.marks
    runs = {run.id: run for run in view.runs}
    changes: list[Change] = []
    for run_id in (name for name, mark in now.items() if then.get(name) != mark and name in runs):
        if not wanted or run_id in wanted:
            found = _change(runs[run_id], then.get(run_id), view)
            if found is not None:
                changes.append(found)
    changes += [_gone(name, then[name]) for name in then.keys() - now.keys() if not wanted or name in wanted]
    return News(cursor=cursor, full=False, unknown=False, runs=sorted(changes, key=_rank), states={})


def _rank(change: Change) -> tuple[bool, int]:
    return change.was is None, _ORDER[change.change]


def _whole(cursor: str, wanted: set[str], view: ProjectView, *, unknown: bool) -> News:
    """All there is: every living run, and how many others."""
    runs = [run for run in view.runs if (not wanted or run.id in wanted)]
    states = Counter(run.condition.state for run in runs)
    shown = runs if wanted else [run for run in runs if lives(run)]
    changes = [_told(run, None, view, "is") for run in shown]
    return News(
        cursor=cursor,
        full=True,
        unknown=unknown,
        runs=changes,
        states={str(state): count for state, count in states.items()},
    )


def _change(run: RunView, mark: Mark | None, view: ProjectView) -> Change | None:
    """What is new of a run; None where nothing is that anybody wants to know."""
    if mark is None:
        return _told(run, None, view, "new")
    found = _told(run, mark, view, "went on")
    is_news = found.was or found.records or found.restarts or found.events or found.errors
    return found if is_news else None


def _told(run: RunView, mark: Mark | None, view: ProjectView, what: str) -> Change:
    now = run.mark
    state = now.state
    logged = now.records - mark.records if mark and mark.records >= 0 and run.indexed else 0
    if mark and mark.records < 0:
        logged = max((run.step or 0) - (mark.step or 0), 0)
    errors: deque[str] = deque(maxlen=_ERRORS)
    count = 0
    for line in new_errors(run, mark) if mark else ():
        errors.append(line.text)
        count += 1
    moments = {key: latest(run, key) for key in main_metrics(run, view.config, MAIN)} if logged or not mark else {}
    return Change(
        id=run.id,
        name=run.name,
        change=what,  # type: ignore[arg-type]
        state=state,
        proof=run.condition.proof,
        was=mark.state if mark and mark.state != state else None,
        step=run.step,
        from_step=mark.step if mark else None,
        records=logged,
        restarts=run.segments - mark.segments if mark else 0,
        metrics={key: moment.value for key, moment in moments.items() if moment},
        bests=list(new_bests(run, view.config, mark)) if mark and logged > 0 and mark.records > 0 else [],
        events=[curve_event(event) for event in new_events(run, view.config, mark)] if mark and logged else [],
        errors=[redact(text) for text in errors],
        error_lines=count,
    )


def _gone(run_id: str, mark: Mark) -> Change:
    return Change(
        id=run_id,
        name=run_id,
        change="gone",
        state=mark.state,
        proof="its log is gone",
        was=None,
        step=mark.step,
        from_step=mark.step,
        records=0,
        restarts=0,
        metrics={},
        bests=[],
        events=[],
        errors=[],
        error_lines=0,
    )


def render(reply: News, page: Page, query: Since, view: ProjectView) -> None:
    """A line for each run, its findings, and what it printed of errors; nothing at all where nothing is new."""
    if not _is_news(reply):
        return
    if reply.unknown:
        page.line(
            f"! cursor {clean(query.cursor or '')[:40]} is not known (any more): this is all there is", priority=100
        )
    if reply.full:
        counts = ", ".join(f"{count} {state}" for state, count in reply.states.items())
        page.line(counts or f"no runs under {clean(view.root)}", priority=95)
    present = [change.id for change in reply.runs if change.change != "gone"]
    known = {run.id: name for run, name in called(present, view)}
    for change in reply.runs:
        name = known.get(change.id, short(change.id))
        page.line(f"{name} {_line(change)}", priority=90 if change.was or change.change == "new" else 75)
        for text in told(change.events, page.dress):
            page.line(f"! {name} {text}", priority=85)
        if change.errors:
            lines = plural(change.error_lines, "new line")
            page.quote(f"{name}: {lines} of error (quoted output)", change.errors, priority=70)
    page.line(reply.cursor, priority=99)


def _line(change: Change) -> str:
    if change.change == "gone":
        return f"is gone (was {change.state})"
    parts = ["new," if change.change == "new" else "", _state(change), _steps(change)]
    parts += ["restarted"] if change.restarts > 0 else []
    parts += ["its log was begun anew"] if change.records < 0 else []
    best = {found.key: found for found in change.bests}
    for key, text in zip(change.metrics, numbers(change.metrics), strict=True):
        found = best.get(key)
        parts.append(
            text + (f" (best {number(found.value)}@{found.step}, was {number(found.before)})" if found else "")
        )
    return " ".join(part for part in parts if part)


def _state(change: Change) -> str:
    proof = f" ({short(change.proof)})" if change.proof and change.was else ""
    if change.was:
        return f"{change.was}→{change.state}{proof}"
    return change.state if change.change in ("new", "is") else ""


def _steps(change: Change) -> str:
    if change.step is None:
        return ""
    if change.from_step is not None and change.from_step != change.step:
        return f"step {change.from_step}→{change.step}"
    return f"step {change.step}"


def about(query: Since, view: ProjectView) -> About:
    """The runs that may have news, where these are soon read."""
    if query.runs:
        return About([resolve(name, view) for name in query.runs], "short")
    return About([run for run in view.runs if lives(run)], "short")


def _is_news(reply: News) -> bool:
    return bool(reply.runs) or reply.full


PATIENCE = Patience[Since](
    is_over=lambda asked, view: _is_news(answer(asked, view)),
    runs=lambda asked, view: [resolve(name, view).id for name in asked.runs] or None,
)
