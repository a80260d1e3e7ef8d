"""The text of a comparison: a column a run, or a line a run where there are many."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self, TypeAlias

import msgspec
from runwise_protocol.queries.compare import Alignment, Compare, ComparedValue, Comparison, Parted, RunPoint

from runwised.index.view import RunView
from runwised.queries.asked import asked
from runwised.queries.board import spelled, written
from runwised.queries.glance import Moment
from runwised.queries.keysel import direction, shown_as
from runwised.queries.onward import there
from runwised.queries.project import ProjectView
from runwised.queries.resolve import handles
from runwised.queries.runs import state_word
from runwised.queries.tabular import flat
from runwised.render.layout import short
from runwised.render.numbers import duration, exact, number, plural
from runwised.render.page import Page
from runwised.render.untrusted import clean

_ABREAST = 8
"""More runs than that have a line each, not a column."""
_BEST_OF = 4
"""Of more runs than that, tables show no best values."""
_LONGEST_VALUE = 60
_COMMIT = 10
_FEW = 12
"""Of more metrics than that, the main ones come first, in a table of their own."""
_WIDEST = 6
"""Metrics, or configuration keys, that a line of a run shows."""
_PREFIXES = 20
"""Prefixes that have a table of their own."""
_NOTES = 8
"""Runs of which a line tells why they are not there."""

Values: TypeAlias = Mapping[str, Sequence[ComparedValue]]


class Shown(NamedTuple):
    """What the text is made of beside the reply; sequences are in the order of the runs."""

    view: ProjectView
    runs: Sequence[RunView]
    names: Sequence[str]
    points: Sequence[RunPoint]
    main: Mapping[str, None]
    aligned: bool
    """Whether all are taken at a point that is the same for all."""

    @classmethod
    def of(cls, reply: Comparison, runs: Sequence[RunView], main: Mapping[str, None], view: ProjectView) -> Self:
        """`main`: the runs' main metrics."""
        known = handles(runs, view)
        aligned = reply.at.point not in ("end", "given")
        return cls(view, runs, [known[run.id] for run in runs], reply.at.runs, main, aligned)

    @property
    def together(self) -> int | None:
        """The step at which all runs are taken, where it is one, and not the end of each."""
        steps = {point.step for point in self.points if point.reached}
        return steps.pop() if self.aligned and len(steps) == 1 else None


def write(reply: Comparison, page: Page, shown: Shown, query: Compare) -> None:
    """Which runs, where they are compared, what they needed, their values, where they part, what else differs."""
    abreast = len(shown.runs) <= _ABREAST
    if abreast:
        words = zip(shown.names, shown.runs, strict=True)
        page.line("; ".join(f"{name} {state_word(run)} step {run.step}" for name, run in words), priority=100)
    else:
        page.line(plural(len(shown.runs), "run"), priority=100)
    if query.diff:
        _settings("config", reply.config, page, shown, 90)
        return
    _point(reply.at, page, shown)
    if reply.to:
        _needed(reply.to, page, shown)
    first, rest = _halves(reply, shown, query)
    if abreast:
        _tables(first, page, shown, 70, grouped=query.group)
    else:
        _lines(reply, page, shown)
    _nothing(reply, page, query)
    _parting(reply, page, shown)
    _settings("config", reply.config, page, shown, 58)
    packages, news = _news(reply)
    _settings("differs", news, page, shown, 56)
    if abreast:
        _tables(rest, page, shown, 50, grouped=query.group)
    _settings("package", packages, page, shown, 45)
    steps = {run.step for run in shown.runs}
    if reply.at.point == "end" and len(steps) > 1:
        page.next(asked(msgspec.structs.replace(query, at="now"), *there(shown.view)))


def _point(at: Alignment, page: Page, shown: Shown) -> None:
    """Where values are taken, and which runs were not there."""
    notes = _noted((name, point.note) for name, point in zip(shown.names, shown.points, strict=True) if point.note)
    if at.point in ("end", "given"):
        said = ""
    elif at.point == "now":
        said = "at the furthest step all have reached" + ("" if shown.together is None else f", {shown.together}")
    else:
        kind, _, value = at.point.rpartition("=")
        said = {"step": f"at step {value}", "time": f"{value} after each run's start"}.get(
            kind.strip(), f"where {short(kind)} first was {clean(value)[:60]} or more"
        )
    if said or notes:
        page.line("; ".join(part for part in (said, notes) if part), priority=96)


def _noted(notes: Iterable[tuple[str, str | None]]) -> str:
    told = [f"{name} {note}" for name, note in notes]
    rest = f" and {len(told) - _NOTES} more" if len(told) > _NOTES else ""
    return "; ".join(told[:_NOTES]) + rest


def _needed(to: Alignment, page: Page, shown: Shown) -> None:
    """Steps and time until the condition held."""
    rows = [
        [name, str(point.step), duration(point.seconds), number(point.value)]
        if point.reached
        else [name, "-", "-", str(point.note)]
        for name, point in zip(shown.names, to.runs, strict=True)
    ]
    page.table([f"until {short(to.point)}", "step", "time", "value"], rows, priority=85)


def _halves(reply: Comparison, shown: Shown, query: Compare) -> tuple[Values, Values]:
    """The metrics that come first, and those that come last: the main ones and the others, where these are many."""
    if len(reply.metrics) <= _FEW or query.group:
        return reply.metrics, {}
    main = {name: values for name, values in reply.metrics.items() if name in shown.main}
    return main, {name: values for name, values in reply.metrics.items() if name not in main}


def _tables(metrics: Values, page: Page, shown: Shown, priority: int, *, grouped: bool) -> None:
    parts = _grouped(metrics, shown) if grouped else {"": metrics}
    for at, (prefix, values) in enumerate(parts.items()):
        _metrics(prefix, values, page, shown, priority - at)


def _grouped(metrics: Values, shown: Shown) -> dict[str, dict[str, Sequence[ComparedValue]]]:
    """By what stands before the first slash, groups with main metrics first; what is beyond 20 groups in one."""
    prefixes = list(dict.fromkeys(name.partition("/")[0] + "/" if "/" in name else "" for name in metrics))
    leading = {name.partition("/")[0] + "/" for name in shown.main if "/" in name}
    prefixes.sort(key=lambda prefix: prefix not in leading)
    own = set(prefixes[:_PREFIXES])
    groups: dict[str, dict[str, Sequence[ComparedValue]]] = {prefix: {} for prefix in prefixes[:_PREFIXES]}
    for name, values in metrics.items():
        prefix = name.partition("/")[0] + "/" if "/" in name else ""
        groups.setdefault(prefix if prefix in own else "", {})[name] = values
    return groups


def _metrics(prefix: str, metrics: Values, page: Page, shown: Shown, priority: int) -> None:
    """A row a metric: the value of each run, then the best of each where that says more."""
    if not metrics:
        return
    values = [value for row in metrics.values() for value in row]
    both = len(shown.runs) <= _BEST_OF and any(v.best is not None and v.best_step != v.step for v in values)
    ways = [_way(key, shown) for key in metrics] if both else []
    sides = {way for way in ways if way}
    extremes = [f"{name}:{sides.copy().pop() if len(sides) == 1 else 'best'}" for name in shown.names if both]
    mixed = ["best_is"] if len(sides) > 1 else []
    rows = [_row(key, key.removeprefix(prefix), row, page, shown, both=both) for key, row in metrics.items()]
    if mixed:
        at = 1 + len(shown.names)
        rows = [[*row[:at], way or "-", *row[at:]] for row, way in zip(rows, ways, strict=True)]
    page.table([prefix or "metric", *_heads(shown), *mixed, *extremes], rows, priority=priority)


def _way(key: str, shown: Shown) -> str | None:
    return next((way for run in shown.runs if (way := direction(key, run, shown.view.config)[0])), None)


def _heads(shown: Shown) -> list[str]:
    """The runs, each with the step its values are taken at, unless that is its last one, or said before."""
    return [
        name if point.step in (None, run.step) or point.step == shown.together else f"{name}@{point.step}"
        for name, run, point in zip(shown.names, shown.runs, shown.points, strict=True)
    ]


def _row(key: str, label: str, values: Sequence[ComparedValue], page: Page, shown: Shown, *, both: bool) -> list[str]:
    moments = [None if v.value is None else Moment(v.value, v.step) for v in values]
    tops = [None if v.best is None or not both else Moment(v.best, v.best_step) for v in values]
    spec = shown_as(key, shown.view.config).format
    cells = spelled([moment.value for moment in (*moments, *tops) if moment], spec, page.dress, scale=False)[1]
    row = [label, *(written(one, cells, at.step) for one, at in zip(moments, shown.points, strict=True))]
    if not both:
        return row
    same = [top is not None and top == one for top, one in zip(tops, moments, strict=True)]
    return row + ["same" if like else written(top, cells, None) for top, like in zip(tops, same, strict=True)]


def _lines(reply: Comparison, page: Page, shown: Shown) -> None:
    """A row a run: its state and step, and the first metrics; the others are named."""
    keys = list(reply.metrics)[:_WIDEST]
    columns = [_column(key, reply.metrics[key], page, shown) for key in keys]
    steps = [
        number(run.step if point.step is None else point.step)
        for run, point in zip(shown.runs, shown.points, strict=True)
    ]
    words = [state_word(run) for run in shown.runs]
    rows = [list(row) for row in zip(shown.names, words, steps, *columns, strict=True)]
    page.table(["run", "state", "step", *map(short, keys)], rows, priority=70)
    if len(reply.metrics) > len(keys):
        more = plural(len(reply.metrics) - len(keys), "more metric")
        which = "-f TEXT chooses, --format csv has all" if page.spelling is None else "filter=TEXT chooses"
        page.line(f"{more}: {which}", priority=75)


def _column(key: str, values: Sequence[ComparedValue], page: Page, shown: Shown) -> list[str]:
    spec = shown_as(key, shown.view.config).format
    cells = spelled([value.value for value in values], spec, page.dress, scale=False)[1]
    moments = (None if v.value is None else Moment(v.value, v.step) for v in values)
    return [written(moment, cells, point.step) for moment, point in zip(moments, shown.points, strict=True)]


def _nothing(reply: Comparison, page: Page, query: Compare) -> None:
    """What was asked to be left out."""
    filtered = "" if query.filter is None else f" with '{clean(query.filter)[:100]}' in its name"
    if reply.alike:
        rest = "" if reply.metrics else f": no metric{filtered} differs by more"
        said = f"{plural(reply.alike, 'metric')} left out, less than {str(query.threshold).rstrip('%')}% apart{rest}"
        page.line(said, priority=90)
    elif not reply.metrics:
        page.line(f"no metric{filtered}", priority=90)


def _parting(reply: Comparison, page: Page, shown: Shown) -> None:
    """One line a run: where its curves leave the first one's, and up to where that was looked for, if not all over."""
    for run, name in zip(shown.runs[1:], shown.names[1:], strict=True):
        own = [each for each in reply.parting if each.run == run.id]
        if own:
            until = "" if reply.at.point == "end" else f" up to step {max(each.last_step for each in own)}"
            page.line(f"{name} parts from {shown.names[0]}{until}: {'; '.join(_parted(own))}", priority=66)


def _parted(found: Sequence[Parted]) -> Iterator[str]:
    for key in dict.fromkeys(each.key for each in found):
        spans = [each for each in found if each.key == key]
        yield f"{short(key)} {', '.join(_span(span) for span in spans)}"


def _span(span: Parted) -> str:
    if span.step is None:
        return "nowhere beyond noise"
    until = "" if span.until is None else f" until {span.until}"
    gap = number(span.gap, digits=2)
    return f"at {span.step}±{span.within}{until} ({f'+{gap}' if gap[0] in '.0123456789' else gap})"


def _news(reply: Comparison) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """Packages that differ, and what else does; an argument that is a configuration key as well is told there."""

    def told(key: str, values: Sequence[Any]) -> bool:
        name = key.removeprefix("args.").replace("-", "_")
        same = reply.config.get(name, ())
        return key.startswith("args.") and [str(value) for value in same] == [str(value) for value in values]

    mark = "packages."
    packages = {key.removeprefix(mark): each for key, each in reply.differs.items() if key.startswith(mark)}
    others = {key: each for key, each in reply.differs.items() if not key.startswith(mark) and not told(key, each)}
    return packages, others


def _settings(what: str, found: Mapping[str, Sequence[Any]], page: Page, shown: Shown, priority: int) -> None:
    """A row a key, or a row a run where there are many."""
    if not found:
        if what == "config":
            page.line("config: no difference", priority=priority - 3)
        return
    has = [{key for key, _ in flat(run.config)} for run in shown.runs] if what == "config" else None
    rows = [[key, *_cells(key, values, has, page)] for key, values in found.items()]
    if len(shown.runs) <= _ABREAST:
        page.table([what, *shown.names], rows, priority=priority)
        return
    few = rows[:_WIDEST]
    lines = [list(line) for line in zip(shown.names, *(row[1:] for row in few), strict=True)]
    page.table([what, *(short(row[0]) for row in few)], lines, priority=priority)
    if len(rows) > len(few):
        more = f"{plural(len(rows) - len(few), 'more difference')} in {what}"
        page.line(more if page.spelling else f"{more}: --format json", priority=priority + 1)


def _cells(key: str, values: Sequence[Any], has: Sequence[set[str]] | None, page: Page) -> list[str]:
    """A run without the key has a dash; one that says null says so."""
    known = [value is not None for value in values] if has is None else [key in keys for keys in has]
    return [_spelled(key, value, page) if is_known else "-" for value, is_known in zip(values, known, strict=True)]


def _spelled(key: str, value: Any, page: Page) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return exact(value, dress=page.dress)
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    text = clean(text[:_COMMIT] if key == "git.commit" else text)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
