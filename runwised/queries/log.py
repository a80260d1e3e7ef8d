"""`log`: what a program printed: its last lines, the lines with a text, or its last traceback."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable

from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries.log import Log, LogLine, LogLines

from runwised.index.view import Line
from runwised.queries.project import ProjectView
from runwised.queries.resolve import handle, resolve
from runwised.queries.tracebacks import HEAD, last_traceback, speaks_of_error
from runwised.render.numbers import age
from runwised.render.page import Page
from runwised.render.untrusted import clean, redact

_LINES = 20
_LONGEST = 65_536
"""Characters of one line that are handed on."""


def answer(query: Log, view: ProjectView) -> LogLines:
    """The lines asked for, in the order they were printed; secrets in them are hidden.

    `matched` counts all that fit, shown or not; the plain last lines are counted as they are shown, since counting
    the rest would mean reading the whole output. Raises RunwiseError.
    """
    run = resolve(query.run, view)
    if query.errors and query.grep is not None:
        raise RunwiseError(Kind.USAGE, "--errors and --grep exclude each other", "runwise log --errors")
    most = query.tail or _LINES
    newest_first = run.console(newest_first=True)
    if query.grep is not None:
        wanted = query.grep.casefold()
        lines, matched = _last(newest_first, most, lambda line: wanted in line.text.casefold())
    elif query.errors:
        lines = last_traceback(newest_first)
        matched = len(lines)
        if not lines:
            lines, matched = _last(run.console(newest_first=True), most, speaks_of_error)
    else:
        lines = [line for line, _ in zip(newest_first, range(most), strict=False)][::-1]
        matched = len(lines)
    return LogLines(run=run.id, lines=[_told(line) for line in lines], matched=matched)


def _last(newest_first: Iterable[Line], most: int, fits: Callable[[Line], bool]) -> tuple[list[Line], int]:
    """The last `most` lines that fit, in the order they were printed, and how many fit in all."""
    kept: deque[Line] = deque()
    matched = 0
    for line in newest_first:
        if fits(line):
            matched += 1
            if matched <= most:
                kept.appendleft(line)
    return list(kept), matched


def _told(line: Line) -> LogLine:
    text = line.text
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}… ({len(text) - _LONGEST} more characters)"
    return LogLine(
        time=line.time if math.isfinite(line.time) else None,
        stream="stderr" if line.stderr else "stdout",
        text=redact(text),
    )


def render(reply: LogLines, page: Page, query: Log, view: ProjectView) -> None:
    """One quoted block: everything in it was written by the program."""
    run = resolve(query.run, view)
    name = handle(run, view)
    if not reply.lines:
        page.line(f"{name} {_nothing(query)}", priority=100)
        if query.grep is not None or query.errors:
            page.next(f"log {name}")
        return
    found = _found(reply, query)
    if reply.matched > len(reply.lines):
        found = f"last {len(reply.lines)} of {reply.matched} {found}"
    page.quote(f"{name}: {found}{_when(reply, view.now)} (quoted output)", _stamped(reply, view.now), priority=90)


def _nothing(query: Log) -> str:
    if query.grep is not None:
        return f"printed no line with '{clean(query.grep)[:100]}'"
    return "printed no traceback and no line that speaks of an error" if query.errors else "printed nothing"


def _found(reply: LogLines, query: Log) -> str:
    if query.grep is not None:
        return f"lines with '{clean(query.grep)[:100]}'"
    if not query.errors:
        count = len(reply.lines)
        return f"{'last' if count == (query.tail or _LINES) else 'all'} {count} line{'s' * (count > 1)}"
    return "last traceback" if any(HEAD in line.text for line in reply.lines) else "lines that speak of an error"


def _when(reply: LogLines, now: float) -> str:
    """Age of the lines, when it is one and the same for all of them."""
    ages = {_age(line, now) for line in reply.lines}
    return f", {only}" if len(ages) == 1 and (only := ages.pop()) else ""


def _age(line: LogLine, now: float) -> str:
    return "" if line.time is None else age(now - line.time)


def _stamped(reply: LogLines, now: float) -> list[str]:
    """The lines, the age before those where it changes."""
    ages = [_age(line, now) for line in reply.lines]
    if len(set(ages)) == 1:
        return [line.text for line in reply.lines]
    before = ["", *ages]
    return [
        f"[{stamp}] {line.text}" if stamp and stamp != last else line.text
        for line, stamp, last in zip(reply.lines, ages, before, strict=False)
    ]
