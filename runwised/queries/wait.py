"""`wait`: which clause of a condition came to hold, where; or how far things are when the time is over."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from msgspec.structs import replace
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.expression import parse
from runwise_protocol.expression_tree import Expression
from runwise_protocol.queries.wait import Progress, Waited, WaitFor
from runwise_protocol.query import Reply

from runwised.index.kept import Mark
from runwised.index.view import RunView
from runwised.queries.about import About
from runwised.queries.glance import latest
from runwised.queries.keysel import main_metrics
from runwised.queries.liveness import eta, lives, numbers
from runwised.queries.onward import propose
from runwised.queries.patience import Patience
from runwised.queries.project import ProjectView
from runwised.queries.resolve import handle, handles, resolve
from runwised.queries.tabular import Objects, plain
from runwised.queries.waiting import NO_HIT, Hit, check_waiting, hit, metrics_of, recheck_seconds, usage
from runwised.render.layout import short
from runwised.render.numbers import duration, number
from runwised.render.page import Page
from runwised.render.untrusted import clean

_NOTHING = Mark(0, None, "", None, 0, 0)
"""How far a run was before there was one."""
_OVER = ("finished", "failed", "crashed", "killed", "ended")
_MAIN = 3
_MOST = 8
"""Runs whose progress is told."""


@lru_cache(64)
def _tree(text: str) -> Expression:
    try:
        return parse(text)
    except RunwiseError as error:
        raise usage(error) from error


def meant(query: WaitFor, view: ProjectView) -> list[RunView]:
    """The runs that are waited for, newest first: those named; else those that live, were alive when the waiting began,
    or came after; else the newest. Raises RunwiseError.
    """
    if query.runs:
        return list({run.id: run for run in (resolve(name, view) for name in query.runs)}.values())
    began = _began(query, view)
    found = [run for run in view.runs if lives(run) or _was_alive(began.get(run.id, _NOTHING), began)]
    return found or list(view.runs[:1])


def _was_alive(mark: Mark, began: dict[str, Mark]) -> bool:
    return bool(began) and (mark is _NOTHING or mark.state == "running")


def _began(query: WaitFor, view: ProjectView) -> dict[str, Mark]:
    """How far every run was when the waiting began; empty: that was now."""
    if query.since is None:
        return {}
    past = view.past(query.since)
    if past is None:
        message = f"cursor {clean(query.since)[:40]} is not known (any more)"
        raise RunwiseError(Kind.USAGE, message, "leave out --since, or ask for one: runwise since")
    return dict(past.marks or {})


def answer(query: WaitFor, view: ProjectView) -> Waited:
    """What has come to pass, or how far things are. Raises RunwiseError."""
    _check(query, view)
    tree, runs = _tree(query.until), meant(query, view)
    run, shown = come_to_pass(query, view) or (None, NO_HIT)
    waiting = [] if run else [one for one in runs if lives(one)] or runs
    keys = metrics_of(tree)
    return Waited(
        fired=run is not None,
        clause=shown.clause,
        run=run.id if run else None,
        name=run.name if run else None,
        key=shown.key,
        step=shown.step,
        value=shown.value,
        over=run is None and is_hopeless(query, view),
        cursor=view.cursor(),
        runs=[_progress(one, keys, view) for one in waiting],
    )


def come_to_pass(query: WaitFor, view: ProjectView) -> tuple[RunView, Hit] | None:
    """A run for which the condition holds, or has held, and what shows it; with `all` the last, once it is so for each.

    Raises RunwiseError.
    """
    tree, runs, began = _tree(query.until), meant(query, view), _began(query, view)
    found: tuple[RunView, Hit] | None = None
    for run in runs:
        shown = hit(tree, run, view, began.get(run.id, _NOTHING) if query.since else run.mark)
        if shown is None and query.all:
            return None
        if shown is not None:
            found = run, shown
            if not query.all:
                break
    return found


def is_hopeless(query: WaitFor, view: ProjectView) -> bool:
    """Whether it can come to pass no more: all the runs are over, of which one was named or alive when this began."""
    runs, began = meant(query, view), _began(query, view)
    known = query.runs or any(_was_alive(began.get(run.id, _NOTHING), began) for run in runs)
    return bool(known) and all(run.condition.state in _OVER for run in runs)


def _progress(run: RunView, keys: Sequence[str], view: ProjectView) -> Progress:
    found = {key: latest(run, key) for key in keys or main_metrics(run, view.config, _MAIN)}
    total, left = eta(run)
    return Progress(
        id=run.id,
        name=run.name,
        state=run.condition.state,
        step=run.step,
        total_steps=total,
        eta_seconds=left,
        metrics={key: moment.value for key, moment in found.items() if moment},
        missing=[key for key, moment in found.items() if moment is None],
    )


def render(reply: Waited, page: Page, query: WaitFor, view: ProjectView) -> None:
    """One line; where the time was over, one more for each run."""
    if reply.fired and reply.run is not None:
        run = resolve(reply.run, view)
        page.line(f"{short(reply.clause or '')}: {handle(run, view)}{_evidence(reply)} {reply.cursor}", priority=100)
        if run.condition.state in ("failed", "crashed", "killed"):
            propose(page, view, "diagnose", handle(run, view))
        return
    when = "no more" if reply.over else f"not within {query.timeout}"
    page.line(f"{when}: {short(query.until)} {reply.cursor}", priority=100)
    told = reply.runs[:_MOST]
    known = handles([resolve(found.id, view) for found in told], view)
    for found in told:
        page.line(f"{known[found.id]} {_far(found)}", priority=90)
        if found.missing:
            page.line(f"! {known[found.id]} has not logged {', '.join(map(short, found.missing))}", priority=95)
    if len(reply.runs) > _MOST:
        page.line(f"{len(reply.runs) - _MOST} more runs", priority=80)


def _evidence(reply: Waited) -> str:
    """The metric or property with its value and step; the clause already says it where the two are one."""
    if reply.key is None:
        return ""
    value = short(reply.value) if isinstance(reply.value, str) else number(reply.value)
    if reply.key == "stalled" and isinstance(reply.value, float):
        value = duration(reply.value)
    step = "" if reply.step is None or reply.key == "step" else f" at step {reply.step}"
    return f" {short(reply.key)} {value}{step}"


def _far(found: Progress) -> str:
    parts = [found.state if found.state != "running" else ""]
    if found.step is not None:
        parts.append(f"step {found.step}" + (f" of {found.total_steps}" if found.total_steps else ""))
    parts += numbers(found.metrics)
    if found.eta_seconds is not None:
        parts.append(f"eta {duration(found.eta_seconds)}")
    return " ".join(part for part in parts if part)


def objects(reply: Reply) -> Objects:
    """The one that says what came to pass."""
    return [{key: value for key, value in plain(reply).items() if key != "runs"}]


def about(query: WaitFor, view: ProjectView) -> About:
    """The runs whose index is waited for: what is said of a value must stand on all of it."""
    _tree(query.until)
    return About(meant(query, view), "whole")


def _again(query: WaitFor, view: ProjectView) -> float | None:
    tree = _tree(query.until)
    waits = [recheck_seconds(tree, run, view) for run in meant(query, view) if lives(run)]
    return min((wait for wait in waits if wait is not None), default=None)


def _check(query: WaitFor, view: ProjectView) -> None:
    check_waiting(_tree(query.until), meant(query, view), view)


PATIENCE = Patience[WaitFor](
    check=_check,
    is_over=lambda asked, view: come_to_pass(asked, view) is not None or is_hopeless(asked, view),
    runs=lambda asked, view: [run.id for run in meant(asked, view)] if asked.runs else None,
    from_cursor=lambda asked, cursor: replace(asked, since=asked.since or cursor),
    again=_again,
)
