"""`log`: what a program printed: its last lines, the lines with a text, its last traceback, or one of each kind."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable

from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries.log import Log, LogLine, LogLines

from runwised.index.view import Line, RunView
from runwised.queries.novel import Kinds, LineKind
from runwised.queries.onward import onward, propose
from runwised.queries.project import ProjectView
from runwised.queries.resolve import handle, resolve
from runwised.queries.tracebacks import HEAD, last_traceback, speaks_of_error
from runwised.render.numbers import age, plural
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
    if query.novel:
        return _novel(query, run)
    most = query.tail or _LINES
    newest_first = run.console(newest_first=True)
    if query.grep is not None:
        lines, matched = _last(newest_first, most, _holds(query.grep))
    elif query.errors:
        lines = last_traceback(newest_first)
        matched = len(lines)
        if not lines:
            lines, matched = _last(run.console(newest_first=True), most, speaks_of_error)
    else:
        lines = [line for line, _ in zip(newest_first, range(most), strict=False)][::-1]
        matched = len(lines)
    return LogLines(run=run.id, lines=[told(line) for line in lines], matched=matched)


def _novel(query: Log, run: RunView) -> LogLines:
    """The first line of each kind, in their order."""
    kinds = Kinds(_holds(query.grep) if query.grep is not None else speaks_of_error if query.errors else None)
    kinds.take(run.texts())
    found = kinds.found
    return LogLines(
        run=run.id,
        lines=[_first(kind) for kind in found[-query.tail if query.tail else 0 :]],
        matched=sum(kind.count for kind in found) + kinds.further,
        kinds=len(found),
        further=kinds.further,
    )


def _holds(wanted: str) -> Callable[[Line], bool]:
    wanted = wanted.casefold()
    return lambda line: wanted in line.text.casefold()


def _first(kind: LineKind) -> LogLine:
    line = told(kind.first)
    line.count, line.last_time = kind.count, _known(kind.last_time)
    return line


def _known(time: float) -> float | None:
    return time if math.isfinite(time) else None


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


def told(line: Line) -> LogLine:
    """A line as it is handed on: secrets hidden, what is endless cut."""
    text = line.text
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}… ({len(text) - _LONGEST} more characters)"
    return LogLine(
        time=_known(line.time),
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
            propose(page, view, "log", name)
        return
    found = _kinds(reply, query) if query.novel else _found(reply, query)
    if reply.further:
        hint = onward(view, "log", name, "--novel", "--grep", "TEXT")
        page.line(f"! {plural(reply.further, 'line')} of still other kinds are not told apart; {hint}", priority=95)
    if not query.novel and reply.matched > len(reply.lines):
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


def _kinds(reply: LogLines, query: Log) -> str:
    what = f"lines with '{clean(query.grep)[:100]}'" if query.grep is not None else "lines"
    what = "lines that speak of an error" if query.errors else what
    shown = f"last {len(reply.lines)} of " if len(reply.lines) < (reply.kinds or 0) else ""
    return (
        f"{shown}{plural(reply.kinds or 0, 'kind')} of {what}, {reply.matched} in all; how many and the first of each"
    )


def _when(reply: LogLines, now: float) -> str:
    """Age of the lines, when it is one and the same for all of them."""
    ages = {_age(line, now) for line in reply.lines}
    return f", {only}" if len(ages) == 1 and (only := ages.pop()) else ""


def _age(line: LogLine, now: float) -> str:
    return "" if line.time is None else age(now - line.time)


def _stamped(reply: LogLines, now: float) -> list[str]:
    """The lines, the age before those where it changes."""
    texts = [line.text if line.count is None else f"x{line.count} {line.text}" for line in reply.lines]
    ages = [_age(line, now) for line in reply.lines]
    if len(set(ages)) == 1:
        return texts
    before = ["", *ages]
    return [
        f"[{stamp}] {text}" if stamp and stamp != last else text
        for text, stamp, last in zip(texts, ages, before, strict=False)
    ]
