"""`since`: what is new since a cursor was given, run by run; the comparison is of positions, never of times."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Container, Mapping

from runwise_protocol.queries.since import Change, News, Since

from runwised.index.kept import Mark
from runwised.index.view import RunView, Unreadable
from runwised.queries.about import About
from runwised.queries.everywhere import Everywhere, home_of, known_as, known_by
from runwised.queries.findings import told
from runwised.queries.glance import latest
from runwised.queries.keysel import main_metrics
from runwised.queries.lately import curve_event, new_events
from runwised.queries.liveness import lives, numbers
from runwised.queries.moments import MAIN, began_anew, comparable, new_bests, new_errors
from runwised.queries.patience import Patience
from runwised.queries.project import ProjectView
from runwised.queries.resolve import handles, resolve
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
    wanted = {known_by(resolve(name, view)) for name in query.runs}
    if past is None or past.marks is None:
        return _whole(cursor, wanted, view, unknown=query.cursor is not None)
    then = past.marks
    runs = {known_by(run): run for run in view.runs}
    changes: list[Change] = []
    for name in (name for name, mark in now.items() if then.get(name) != mark and name in runs):
        if not wanted or name in wanted:
            found = _change(runs[name], then.get(name), view, past.unseen)
            if found is not None:
                changes.append(found)
    changes += [_gone(name, then[name]) for name in then.keys() - now.keys() if not wanted or name in wanted]
    return News(cursor=cursor, full=False, unknown=False, runs=sorted(changes, key=_rank), states={})


def _rank(change: Change) -> tuple[bool, int]:
    return change.was is None, _ORDER[change.change]


def _whole(cursor: str, wanted: set[str], view: ProjectView, *, unknown: bool) -> News:
    """All there is: every living run, and how many others."""
    runs = [run for run in view.runs if (not wanted or known_by(run) in wanted)]
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


def _change(run: RunView, mark: Mark | None, view: ProjectView, unseen: Container[str]) -> Change | None:
    """What is new of a run; None where nothing is that anybody wants to know.

    Of a project nobody had looked at yet only what goes on is news.
    """
    if mark is None:
        home = home_of(run)
        return None if home and home.root in unseen and not lives(run) else _told(run, None, view, "new")
    found = _told(run, mark, view, "went on")
    is_news = found.was or found.records or found.anew or found.restarts or found.events or found.errors
    return found if is_news else None


def _told(run: RunView, mark: Mark | None, view: ProjectView, what: str) -> Change:
    home = home_of(run)
    state, config = run.mark.state, (home or view).config
    anew = mark is not None and began_anew(run, mark)
    before = comparable(run, mark) if mark else None
    logged = _logged(run, before)
    errors, count, trouble = _errors(run, before) if before else ([], 0, None)
    moments = {key: latest(run, key) for key in main_metrics(run, config, MAIN)} if logged or anew or not mark else {}
    return Change(
        id=run.id,
        name=run.name,
        change=what,  # type: ignore[arg-type]
        state=state,
        proof=run.condition.proof,
        was=mark.state if mark and mark.state != state else None,
        step=run.step,
        from_step=before.step if before else None,
        records=logged,
        anew=anew,
        restarts=max(run.segments - mark.segments, 0) if mark else 0,
        metrics={key: moment.value for key, moment in moments.items() if moment},
        bests=list(new_bests(run, config, before)) if before and logged and before.records > 0 else [],
        events=[curve_event(event) for event in new_events(run, config, before)] if before and logged else [],
        errors=[redact(text) for text in errors],
        error_lines=count,
        trouble=trouble,
        root=home.root if home else None,
    )


def _logged(run: RunView, before: Mark | None) -> int:
    """Rows since; of a run that was not indexed then, steps."""
    if before is None:
        return 0
    if before.records < 0:
        return max((run.step or 0) - (before.step or 0), 0)
    return run.history.total_rows - before.records if run.indexed else 0


def _errors(run: RunView, before: Mark) -> tuple[list[str], int, str | None]:
    """The last new lines of error, how many there are, and why they cannot be read."""
    last: deque[str] = deque(maxlen=_ERRORS)
    count = 0
    try:
        for line in new_errors(run, before):
            last.append(line.text)
            count += 1
    except Unreadable as error:  # one console must not keep what is new of all other runs from being told
        return list(last), count, str(error)
    return list(last), count, None


def _gone(name: str, mark: Mark) -> Change:
    root, among, run_id = name.rpartition("\0")
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
        anew=False,
        restarts=0,
        metrics={},
        bests=[],
        events=[],
        errors=[],
        error_lines=0,
        trouble=None,
        root=root if among else None,
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
    told_of = {known_as(change.id, change.root) for change in reply.runs if change.change != "gone"}
    known = handles([run for run in view.runs if known_by(run) in told_of], view)
    for change in reply.runs:
        name = known.get(known_as(change.id, change.root), short(change.id)) + _at_home(change, view)
        page.line(f"{name} {_line(change)}", priority=90 if change.was or change.change == "new" else 75)
        for text in told(change.events, page.dress):
            page.line(f"! {name} {text}", priority=85)
        if change.errors:
            lines = plural(change.error_lines, "new line")
            page.quote(f"{name}: {lines} of error (quoted output)", change.errors, priority=70)
        if change.trouble:
            page.line(f"! {name} what it printed cannot be read: {clean(change.trouble)[:200]}", priority=80)
    if reply.cursor:
        page.line(reply.cursor, priority=99)


def _at_home(change: Change, view: ProjectView) -> str:
    """The run's project, where there are several."""
    labels = view.labels if isinstance(view, Everywhere) else {}
    return f" in {short(labels.get(change.root, change.root))}" if change.root else ""


def _line(change: Change) -> str:
    if change.change == "gone":
        return f"is gone (was {change.state})"
    parts = ["new," if change.change == "new" else "", "its log was begun anew:" if change.anew else ""]
    parts += [_state(change), _steps(change)]
    parts += ["restarted"] if change.restarts else []
    best = {found.key: found for found in change.bests}
    for key, text in zip(change.metrics, numbers(change.metrics), strict=True):
        found = best.get(key)
        parts.append(
            text + (f" (best {number(found.value)}@{found.step}, was {number(found.before)})" if found else "")
        )
    return " ".join(part for part in parts if part).removesuffix(":")


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
