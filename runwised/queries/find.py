"""`find`: runs by a word that stands anywhere in what is known about them."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from runwise_protocol.queries.find import FindRuns, FoundRun, FoundRuns, Match

from runwised.index.view import RunView
from runwised.queries.asked import asked
from runwised.queries.onward import listing, there
from runwised.queries.project import ProjectView
from runwised.queries.resolve import called
from runwised.queries.runs import iso, painted
from runwised.queries.tabular import flat
from runwised.render.layout import cut, short
from runwised.render.numbers import duration, number, plural
from runwised.render.page import Page
from runwised.render.untrusted import HIDDEN, clean, redact, secret

_ROW_TOKENS = 10
"""No line of the table costs less."""
_MOST_SHOWN = 3
"""Places a line names; the rest are counted."""
_LONGEST_VALUE = 60
_LONGEST_KEPT = 200
"""Characters of a value in the typed answer."""
_MOST_SEARCHED = 100_000
"""Characters of one value that are looked through."""

Found: TypeAlias = Callable[[str], int | None]
"""Where in a text the pattern stands; None: nowhere."""


def answer(query: FindRuns, view: ProjectView) -> FoundRuns:
    """Every run once, newest first, with all the places where the pattern was found."""
    where = _finder(query.pattern)
    hits = [(run, matches) for run in view.runs if (matches := list(_matches(run, where)))]
    kept = hits[: query.limit] if query.limit else hits
    runs = [
        FoundRun(
            id=run.id,
            name=run.name,
            state=run.condition.state,
            step=run.step,
            updated=iso(run.updated),
            matches=matches,
        )
        for run, matches in kept
    ]
    return FoundRuns(runs=runs, total=len(hits), filtered=len(view.runs) - len(hits))


def _finder(pattern: str) -> Found:
    """Text stands anywhere; a glob (``*``, ``?``) fits the whole."""
    if any(mark in pattern for mark in "*?"):
        fits = re.compile(fnmatch.translate(pattern.replace("[", "[[]")), re.IGNORECASE).match
        return lambda text: 0 if fits(text) else None
    find = re.compile(re.escape(pattern), re.IGNORECASE).search

    def at(text: str) -> int | None:
        found = find(text)
        return found.start() if found else None

    return at


def _matches(run: RunView, where: Found) -> Iterator[Match]:
    """The places where it stands, in the order they are looked through."""
    said = [("name", run.name), ("id", run.id), *(("tag", tag) for tag in run.tags), ("group", run.group)]
    for field, text in (*said, ("job_type", run.job_type), ("notes", run.notes)):
        if text and (found := _around(text, where)) is not None:
            yield Match(field=field, value=found)
    for key, value in flat(run.config):
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        named, found = where(key) is not None, None
        if not _is_secret(key, value):
            found = cut(redact(text[:_MOST_SEARCHED]), _LONGEST_KEPT) if named else _around(text, where)
        elif named:
            found = HIDDEN
        if found is not None:
            yield Match(field=f"config.{key}", value=found)


def _is_secret(key: str, value: Any) -> bool:
    return any(secret(key, inner) for inner in (value if isinstance(value, list | tuple) else [value]))


def _around(text: str, where: Found) -> str | None:
    """The text, or what stands around the pattern where it is long; None where it is not in there.

    What looks like a secret is hidden, and cannot be found.
    """
    text = text[:_MOST_SEARCHED]
    if where(text) is None:
        return None
    text = redact(text)
    at = where(text)
    if at is None:
        return None
    start = max(0, at - _LONGEST_KEPT // 4) if len(text) > _LONGEST_KEPT else 0
    return ("…" if start else "") + cut(text[start:], _LONGEST_KEPT)


def render(reply: FoundRuns, page: Page, query: FindRuns, view: ProjectView) -> None:
    """One line a run, with where it matched."""
    total = reply.total + reply.filtered
    pattern = cut(clean(query.pattern), _LONGEST_VALUE)
    if not reply.runs:
        page.line(f"none of {plural(total, 'run')} has '{pattern}'", priority=100)
        page.next(listing(view))
        return
    fit = len(reply.runs) if page.room is None else min(len(reply.runs), page.room // _ROW_TOKENS + 1)
    shown = reply.runs[:fit]
    page.line(f"{reply.total} of {plural(total, 'run')} with '{pattern}'", priority=95)
    rows = [
        [name, painted(run, page), number(run.step), _age(run, view), _places(found)]
        for found, (run, name) in zip(shown, called([found.id for found in shown], view), strict=True)
    ]
    rest = reply.total - fit
    again = f"runwise {asked(FindRuns(pattern=query.pattern, limit=reply.total), *there(view))}"
    head = ["run", "state", "step", "age", "found in"]
    page.table(head, rows, priority=90, more=lambda dropped: f"{dropped + rest} more: {again}")
    if rest and fit == len(reply.runs):
        page.line(f"{rest} more: {again}", priority=80)


def _age(run: RunView, view: ProjectView) -> str:
    return "-" if run.updated is None else duration(view.now - run.updated)


def _places(found: FoundRun) -> str:
    """What it was found in; notes are only named, they are no line of a page."""
    said = [
        match.field if match.field == "notes" else f"{short(match.field)}={cut(clean(match.value), _LONGEST_VALUE)}"
        for match in found.matches[:_MOST_SHOWN]
    ]
    more = len(found.matches) - len(said)
    return "; ".join(said) + (f"; {more} more" if more else "")
