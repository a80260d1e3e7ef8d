"""The text of `groups`: a line a group, then in words which of them differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from msgspec.structs import replace
from runwise_protocol.queries.groups import GroupDifference, GroupRuns, Groups, RunGroup

from runwised.analysis.chance import FEWEST
from runwised.queries.asked import asked
from runwised.queries.board import spelled
from runwised.queries.filters import counted, said_of
from runwised.queries.goal import extreme, probability
from runwised.queries.keysel import shown_as
from runwised.queries.onward import there
from runwised.queries.project import ProjectView
from runwised.queries.resolve import called
from runwised.queries.varied import MISSING, cells_of, told
from runwised.render.layout import short
from runwised.render.numbers import number, plural
from runwised.render.page import Page

_COLUMNS = 5
"""Keys that tell groups apart which the table shows."""
_ROW_TOKENS = 12
"""No line of the table costs less."""
_FEW = 3
"""Comparisons with one group that need no summing up."""
_NAMED = 10
"""Groups, or pairs of them, that a line names."""
_QUIET = frozenset({"finished", "ended"})
"""States that need no word."""


def render(reply: Groups, page: Page, query: GroupRuns, view: ProjectView) -> None:
    """What was grouped, a table of the groups, what can be said of their differences, and what was left out."""
    page.line(_title(reply, query), priority=95)
    if reply.groups:
        _table(reply, page, query, view)
        _differences(reply, page)
    for text in _left_out(reply, view):
        page.line(f"! {text}", priority=85)
    left = told(reply.left_out)
    if left:
        page.line(f"not told apart by {left}", priority=88)


def _title(reply: Groups, query: GroupRuns) -> str:
    runs = counted(reply.total, reply.filtered, reply.undecided, said_of(query.where))
    having = "" if reply.ranked == reply.total else f", {reply.ranked} with a value"
    what = "last" if query.last else extreme(reply, query)
    keys = ", ".join(short(key) for key in reply.vary[:_COLUMNS])
    more = f" and {len(reply.vary) - _COLUMNS} more" if len(reply.vary) > _COLUMNS else ""
    within = f"over {keys}{more}" if reply.vary else "of equal configuration"
    guess = " (guessed)" if reply.vary_guessed else ""
    title = f"{what} {short(reply.key)} per run: {runs}{having}"
    if not reply.groups:
        return title
    return f"{title} in {plural(reply.grouped, 'group')} {within}{guess}"


def _table(reply: Groups, page: Page, query: GroupRuns, view: ProjectView) -> None:
    fit = len(reply.groups) if page.room is None else min(len(reply.groups), page.room // _ROW_TOKENS + 1)
    shown = reply.groups[:fit]
    keys = list(dict.fromkeys(key for group in reply.groups for key in group.config))
    columns = [cells_of([group.config.get(key, MISSING) for group in shown], page.dress) for key in keys[:_COLUMNS]]
    names = [name for _, name in called([group.runs[0].id for group in shown], view)]
    values = [value for group in shown for value in (group.mean, group.low, group.high, group.runs[0].value)]
    cells = {None: "-", **spelled(values, shown_as(reply.key, view.config).format, page.dress, scale=False)[1]}
    rows = [
        [
            f"#{at + 1}",
            *(column[at] for column in columns),
            str(group.n),
            cells[group.mean],
            number(group.std, digits=2, dress=page.dress),
            "-" if group.low is None else f"{cells.get(group.low, '-inf')}~{cells.get(group.high, 'inf')}",
            "-" if group.runs[0].value is None else f"{cells[group.runs[0].value]}@{group.runs[0].step}",
            name,
            _note(group),
        ]
        for at, (group, name) in enumerate(zip(shown, names, strict=True))
    ]
    what = "last" if query.last else reply.direction
    head = ["#", *map(short, keys[:_COLUMNS]), "n", "mean", "std", "95%", f"{what}@step", "run", "note"]
    if not any(row[-1] for row in rows):
        head, rows = head[:-1], [row[:-1] for row in rows]
    rest = reply.grouped - fit
    again = f"runwise {asked(replace(query, top=reply.grouped), *there(view))}"
    page.table(head, rows, priority=90, more=lambda dropped: f"{plural(dropped + rest, 'more group')}: {again}")
    if rest and fit == len(reply.groups):
        page.line(f"{plural(rest, 'more group')}: {again}", priority=85)
    if len(keys) > _COLUMNS:
        page.line(f"{len(keys) - _COLUMNS} more keys differ: --format json", priority=70)


def _note(group: RunGroup) -> str:
    """What is not as it should be with runs of a group, counted."""
    states = Counter(run.state for run in group.runs if run.state not in _QUIET)
    without = sum(run.value is None for run in group.runs)
    some = sum(run.value is not None and run.nonfinite > 0 for run in group.runs)
    parts = [f"{count} {state}" for state, count in states.items()]
    parts += [f"{without} without a finite value"] if without else []
    parts += [f"{some} with nan or inf"] if some else []
    return ", ".join(parts)


def _differences(reply: Groups, page: Page) -> None:
    tested = [one for one in reply.differences if one.p is not None]
    if not reply.tests and len(reply.groups) > 1:
        page.line(f"no two groups have {FEWEST} runs: too few to tell a difference from chance", priority=80)
        return
    if len(tested) > _FEW and len({one.first for one in tested}) == 1:
        for text in _summed_up(tested):
            page.line(text, priority=92)
    head = ["groups", "differ_by", "95%", "p", "n", f"by Welch's t, p corrected for {plural(reply.tests, 'pair')}"]
    page.table(head, [_said(one, reply.groups, page) for one in tested], priority=80)
    for text in _untested(reply):
        page.line(text, priority=75)


def _summed_up(tested: Sequence[GroupDifference]) -> Iterator[str]:
    """What the best group was found to differ from, and what not."""
    best = f"#{tested[0].first + 1}"
    for verdict, words in (
        ("larger than chance", f"{best} differs by more than chance from"),
        ("not shown", f"{best} not shown to differ from"),
    ):
        others = [f"#{one.second + 1}" for one in tested if one.verdict == verdict]
        if others:
            yield f"{words} {_listed(others)}"


def _listed(names: Sequence[str]) -> str:
    rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + rest


def _said(one: GroupDifference, groups: Sequence[RunGroup], page: Page) -> list[str]:
    """One difference in numbers and words, the way round that makes it positive."""
    assert one.low is not None
    assert one.high is not None
    low, high = (one.low, one.high) if one.difference >= 0 else (-one.high, -one.low)
    by, least, most, missed = (
        number(value, digits=digits, dress=page.dress)
        for value, digits in ((abs(one.difference), 3), (low, 2), (high, 2), (one.detectable, 2))
    )
    return [
        f"#{one.first + 1},#{one.second + 1}",
        by,
        f"{least}~{most}",
        probability(one.corrected, page.dress),
        f"{groups[one.first].n},{groups[one.second].n}",
        "more than chance" if one.verdict == "larger than chance" else f"not shown; under {missed} may be missed",
    ]


def _untested(reply: Groups) -> Iterator[str]:
    few = {at for one in reply.differences if one.verdict == "too few runs" for at in (one.first, one.second)}
    names = [f"#{at + 1}" for at in sorted(few) if reply.groups[at].n < FEWEST]
    if names:
        yield f"too few runs to tell (fewer than {FEWEST}): {_listed(names)}"
    flat = [one for one in reply.differences if one.verdict == "no spread"]
    if flat:
        pairs = [f"#{one.first + 1} and #{one.second + 1}" for one in flat]
        yield f"not tested, for no value differs from another of its group: {_listed(pairs)}"


def _left_out(reply: Groups, view: ProjectView) -> Iterator[str]:
    """Runs that no group holds."""
    if reply.without_config:
        yield f"{plural(reply.without_config, 'run')} without a configuration in no group"
    if reply.unindexed:
        yield f"{reply.unindexed} of {plural(len(view.runs), 'run')} not indexed yet, and in no group"
