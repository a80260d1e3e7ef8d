"""The text of `sweep`: a line a key, then a line a run, best first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec.structs import replace
from runwise_protocol.queries.sweep import Sweep, SweepRuns, SweptKey

from runwised.queries.asked import asked
from runwised.queries.board import spelled
from runwised.queries.filters import counted, said_of
from runwised.queries.goal import extreme, probability
from runwised.queries.keysel import shown_as
from runwised.queries.onward import there
from runwised.queries.project import ProjectView
from runwised.queries.resolve import called
from runwised.queries.runs import painted
from runwised.queries.varied import MISSING, cells_of, told
from runwised.render.layout import short
from runwised.render.numbers import number, plural
from runwised.render.page import Page
from runwised.render.untrusted import clean

_COLUMNS = 5
"""Keys that the table of runs shows."""
_NAMED = 3
"""Values, keys or sweeps that are named."""
_ENDS = 2
"""Of so many numbers each lies at the edge."""
_ROW_TOKENS = 8
"""No line of the table of runs costs less."""


def render(reply: Sweep, page: Page, query: SweepRuns, view: ProjectView) -> None:
    """What was looked at, the keys with what can be said of them, and the runs."""
    page.line(_title(reply, query), priority=95)
    _keys(reply, page)
    for text in _remarks(reply):
        page.line(text, priority=88)
    _runs(reply, page, query, view)
    for text in _missing(reply, view):
        page.line(f"! {text}", priority=85)
    left = told(reply.left_out)
    if left:
        page.line(f"not looked at: {left}", priority=82)


def _title(reply: Sweep, query: SweepRuns) -> str:
    of = f"of sweep {short(query.sweep)}" if query.sweep else ""
    said = " ".join(part for part in (of, said_of(query.where)) if part)
    runs = counted(reply.total, reply.filtered, reply.undecided, said)
    having = "" if reply.ranked == reply.total else f", {reply.ranked} ranked"
    count = len(reply.keys)
    verb = "" if query.over else " that varies" if count == 1 else " that vary"
    keys = f" by {plural(count, 'config key')}{verb}" if count else ", no config key varies"
    return f"{extreme(reply, query)} {short(reply.key)}{keys}: {runs}{having}"


def _keys(reply: Sweep, page: Page) -> None:
    rows = [_row(key, page) for key in reply.keys]
    head = ["key", "n", "values", "tried", "best(next)", f"best{reply.top}", "effect", "p", short(reply.key)]
    if not reply.top:
        head, rows = [*head[:5], *head[6:]], [[*row[:5], *row[6:]] for row in rows]
    page.table(head, rows, priority=90)


def _row(key: SweptKey, page: Page) -> list[str]:
    effect = "-" if key.effect is None else f"{_MEASURES[key.measure]}{number(key.effect, digits=2, dress=page.dress)}"
    return [
        short(key.key),
        str(key.n),
        str(len(key.tried)),
        *(_numbers(key, page) if key.kind == "number" else _categories(key, page)),
        effect,
        probability(key.corrected, page.dress),
        key.verdict,
    ]


_MEASURES = {"spearman": "rho=", "eta2": "eta2="}


def _numbers(key: SweptKey, page: Page) -> list[str]:
    """What was tried, the best of it between its neighbours, and where the best quarter lies."""
    ends = [key.tried[0], key.tried[-1], key.best, key.below, key.above, *key.top[:1], *key.top[-1:]]
    low, high, best, below, above, *top = cells_of([MISSING if end is None else end for end in ends], page.dress)
    edge = "smallest" if key.below is None else "largest" if key.above is None else f"{below}~{above}"
    where = f"{best}({edge})" if len(key.tried) > _ENDS else best
    region = "-" if not top else top[0] if top[0] == top[1] else f"{top[0]}~{top[1]}"
    return [f"{low}~{high}", where, region]


def _categories(key: SweptKey, page: Page) -> list[str]:
    return [_several(key.tried, page), _several([key.best], page), _several(key.top, page) if key.top else "-"]


def _several(values: Sequence[Any], page: Page) -> str:
    named = "|".join(cells_of(values[:_NAMED], page.dress))
    return f"{named}|+{len(values) - _NAMED}" if len(values) > _NAMED else named


def _remarks(reply: Sweep) -> Iterator[str]:
    """How far what the table says can be trusted."""
    judged = sum(key.p is not None for key in reply.keys)
    if judged:
        alone = "; each key by itself, the others not held fixed" if len(reply.keys) > 1 else ""
        quarter = f"best{reply.top}: the best quarter; " if reply.top else ""
        yield f"{quarter}effects by ranks, p corrected for {plural(judged, 'key')}{alone}"
    pairs = list(dict.fromkeys(tuple(sorted((key.key, other))) for key in reply.keys for other in key.together))
    if pairs:
        named = "; ".join(f"{short(one)} and {short(other)}" for one, other in pairs[:_NAMED])
        rest = f" and {plural(len(pairs) - _NAMED, 'more pair')}" if len(pairs) > _NAMED else ""
        yield f"vary together, not to be told apart: {named}{rest}"
    if len(reply.sweeps) > 1:
        named = ", ".join(clean(one)[:40] for one in reply.sweeps[:_NAMED])
        yield f"runs of {len(reply.sweeps)} sweeps; one of them: --sweep {named}"


def _runs(reply: Sweep, page: Page, query: SweepRuns, view: ProjectView) -> None:
    if not reply.runs:
        return
    fit = len(reply.runs) if page.room is None else min(len(reply.runs), page.room // _ROW_TOKENS + 1)
    shown = reply.runs[:fit]
    keys = [key.key for key in reply.keys[:_COLUMNS]]
    columns = [cells_of([run.config.get(key, MISSING) for run in shown], page.dress) for key in keys]
    spec = shown_as(reply.key, view.config).format
    values = spelled([run.value for run in shown], spec, page.dress, scale=False)[1]
    rows = [
        [name, f"{values[swept.value]}@{swept.step}", *(column[at] for column in columns), painted(run, page)]
        for at, (swept, (run, name)) in enumerate(zip(shown, called([run.id for run in shown], view), strict=True))
    ]
    rest = reply.ranked - fit
    again = f"runwise {asked(replace(query, top=reply.ranked), *there(view))}"
    head = ["run", f"{reply.direction}@step", *map(short, keys), "state"]
    page.table(head, rows, priority=80, more=lambda dropped: f"{plural(dropped + rest, 'more run')}: {again}")
    if rest and fit == len(reply.runs):
        page.line(f"{plural(rest, 'more run')}: {again}", priority=70)


def _missing(reply: Sweep, view: ProjectView) -> Iterator[str]:
    """Runs that the answer does not hold."""
    if reply.never_finite:
        yield f"{plural(len(reply.never_finite), 'run')} never had a finite value"
    if reply.without_config:
        yield f"{plural(reply.without_config, 'run')} without a configuration"
    if reply.unindexed:
        yield f"{reply.unindexed} of {plural(len(view.runs), 'run')} not indexed yet, and not ranked"
