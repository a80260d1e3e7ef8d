"""`compare`: runs side by side: last and best values, and what differs in their configuration."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries.compare import Compare, ComparedValue, Comparison
from runwise_protocol.query import Reply

from runwised.index.view import RunView
from runwised.queries.about import About
from runwised.queries.board import spelled, written
from runwised.queries.glance import Moment, best, latest, names_of, stats_of
from runwised.queries.keysel import direction, main_metrics, shown_as
from runwised.queries.project import ProjectView
from runwised.queries.resolve import handles, resolve
from runwised.queries.runs import entry, state_word
from runwised.queries.tabular import Objects, flat, plain
from runwised.render.numbers import exact
from runwised.render.page import Page
from runwised.render.untrusted import clean, hidden

_BEST_OF = 4
"""Of more runs than that, the table shows last values only."""
_LONGEST_VALUE = 60
_FEW = 12
"""Of more metrics than that, the main ones come first, in a table of their own."""
_MISSING = "‹missing›"


Values: TypeAlias = dict[str, list[ComparedValue]]


class Side(NamedTuple):
    """A run, and the step its values are taken at."""

    run: RunView
    step: int | None
    """None: its last values."""


def answer(query: Compare, view: ProjectView) -> Comparison:
    """Values of every metric that any of the runs has, and the config keys that differ.

    A reference ``RUN@STEP`` takes the last values at or before that step. Raises RunwiseError.
    """
    sides = sides_of(query, view)
    order = [name for side in sides for name in (*main_metrics(side.run, view.config), *names_of(side.run))]
    names = [name for name in dict.fromkeys(order) if query.filter is None or query.filter.lower() in name.lower()]
    return Comparison(
        runs=[entry(side.run) for side in sides],
        metrics={name: [_value(side, name, view) for side in sides] for name in names},
        config=_differences([side.run for side in sides]),
    )


def sides_of(query: Compare, view: ProjectView) -> list[Side]:
    """The runs to compare, in order. Raises RunwiseError."""
    if len(query.runs) < 2:
        message = f"compare takes two runs or more, found {len(query.runs)}"
        raise RunwiseError(Kind.USAGE, message, "runwise compare RUN RUN")
    return [_side(ref, view) for ref in query.runs]


def about(query: Compare, view: ProjectView) -> About:
    """The runs to compare, each once; all of them whole. Raises RunwiseError."""
    return About(list({run.id: run for run, _ in sides_of(query, view)}.values()), "whole")


def _side(ref: str, view: ProjectView) -> Side:
    name, mark, step = ref.rpartition("@")
    known = {text for run in view.runs for text in (run.id, run.name)}
    if ref in known or not mark or not step.isdecimal() or not name:
        return Side(resolve(ref, view), None)
    return Side(resolve(name, view), int(step))


def _value(side: Side, name: str, view: ProjectView) -> ComparedValue:
    moment = latest(side.run, name) if side.step is None else _at(side.run, name, side.step)
    way, _ = direction(name, side.run, view.config)
    top = best(stats_of(side.run, name), way)
    return ComparedValue(
        value=moment.value if moment else None,
        step=moment.step if moment else None,
        best=top.value if top else None,
        best_step=top.step if top else None,
    )


def _at(run: RunView, name: str, step: int) -> Moment | None:
    """The last value at or before a step."""
    if stats_of(run, name) is None:
        return None
    groups = run.history.sample(name, 1, 0, run.history.position(step + 1))
    return Moment(float(groups.last[-1]), int(groups.step_to[-1])) if len(groups.last) else None


def _differences(runs: Sequence[RunView]) -> dict[str, list[Any]]:
    """Config keys whose values are not the same in all runs; None where a run does not have the key."""
    configs = [dict(flat(run.config)) for run in runs]
    shown = [dict(flat(hidden(run.config)[0])) for run in runs]
    keys = dict.fromkeys(key for config in configs for key in config)
    differ = [key for key in keys if len({_canonical(config.get(key, _MISSING)) for config in configs}) > 1]
    return {key: [config.get(key) for config in shown] for key in differ}


def _canonical(value: Any) -> str:
    """Equal for values that are the same: NaN is the same as NaN, 1 as 1.0, true is not 1."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True, default=str)


def objects(reply: Reply) -> Objects:
    """One object for each metric and run."""
    found = plain(reply)
    return [
        {"key": key, "run": run["id"], **value}
        for key, values in found["metrics"].items()
        for run, value in zip(found["runs"], values, strict=True)
    ]


def render(reply: Comparison, page: Page, query: Compare, view: ProjectView) -> None:
    """What the runs are, their values in one table, their settings in another."""
    sides = sides_of(query, view)
    known = handles([side.run for side in sides], view)
    names = [known[side.run.id] for side in sides]
    title = [f"{name} {state_word(run)} step {run.step}" for name, (run, _) in zip(names, sides, strict=True)]
    page.line("; ".join(title), priority=100)
    main, others = _parted(reply, sides, view)
    _metrics(main, names, sides, page, view, priority=70)
    if not reply.metrics:
        filtered = "" if query.filter is None else f" with '{clean(query.filter)[:100]}' in its name"
        page.line(f"no metric{filtered}", priority=90)
    _settings(reply, names, sides, page)
    _metrics(others, names, sides, page, view, priority=50)


def _parted(reply: Comparison, sides: Sequence[Side], view: ProjectView) -> tuple[Values, Values]:
    """The main metrics and the others; all in one where they are few."""
    if len(reply.metrics) <= _FEW:
        return reply.metrics, {}
    main = {name for side in sides for name in main_metrics(side.run, view.config)}
    parts: tuple[Values, Values] = {}, {}
    for name, values in reply.metrics.items():
        parts[name not in main][name] = values
    return parts


def _metrics(
    metrics: Values, names: Sequence[str], sides: Sequence[Side], page: Page, view: ProjectView, *, priority: int
) -> None:
    heads = [name if side.step is None else f"{name}@{side.step}" for name, side in zip(names, sides, strict=True)]
    known = [direction(key, side.run, view.config) for key in metrics for side in sides]
    values = [value for row in metrics.values() for value in row]
    both = len(heads) <= _BEST_OF and any(v.best is not None and v.best_step != v.step for v in values)
    best_head = "best?" if any(guessed for _, guessed in known) else "best"
    head = ["metric", *heads, *(f"{best_head}:{name}" for name in names if both)]
    rows = [_row(key, values, sides, page, view, both=both) for key, values in metrics.items()]
    page.table(head, rows, priority=priority)


def _row(
    key: str, values: Sequence[ComparedValue], sides: Sequence[Side], page: Page, view: ProjectView, *, both: bool
) -> list[str]:
    lasts = [None if v.value is None else Moment(v.value, v.step) for v in values]
    tops = [None if v.best is None else Moment(v.best, v.best_step) for v in values]
    every = [moment.value for moment in (*lasts, *(tops if both else ())) if moment]
    cells = spelled(every, shown_as(key, view.config).format, page.dress, scale=False)[1]
    row = [key, *(written(last, cells, side.step or side.run.step) for last, side in zip(lasts, sides, strict=True))]
    if not both:
        return row
    same = [top is not None and top == last for top, last in zip(tops, lasts, strict=True)]
    return row + ["last" if like else written(top, cells, None) for top, like in zip(tops, same, strict=True)]


def _settings(reply: Comparison, heads: Sequence[str], sides: Sequence[Side], page: Page) -> None:
    if not reply.config:
        page.line("config: no difference", priority=55)
        return
    has = [{key for key, _ in flat(side.run.config)} for side in sides]
    rows = [
        [key, *(_spelled(value, page) if key in keys else "-" for value, keys in zip(values, has, strict=True))]
        for key, values in reply.config.items()
    ]
    page.table(["config", *heads], rows, priority=58)


def _spelled(value: Any, page: Page) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return exact(value, dress=page.dress)
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    text = clean(text)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
