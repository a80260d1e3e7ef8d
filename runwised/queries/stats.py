"""`stats`: exact statistics of metrics over every served point."""

from __future__ import annotations

from collections.abc import Sequence

from runwise_protocol.queries.metrics import ShowStats, StatsTable
from runwise_protocol.queries.run import MetricStats

from runwised.index.view import RunView
from runwised.queries.keysel import direction, main_metrics, select
from runwised.queries.onward import onward
from runwised.queries.project import ProjectView
from runwised.queries.resolve import handle, resolve
from runwised.render.layout import short
from runwised.render.numbers import number
from runwised.render.page import Page
from runwised.settings import RunwiseConfig

_MOST_DIGITS = 10


def metric_stats(run: RunView, name: str, config: RunwiseConfig) -> MetricStats:
    """Statistics of one metric, and its best value where it is known, or guessed, which way is better.

    Raises KeyError when the run has no such metric.
    """
    found = run.history.stats(name)
    side, guessed = direction(name, run, config)
    best = {"min": (found.min, found.min_step), "max": (found.max, found.max_step), None: (None, None)}[side]
    return MetricStats(
        count=found.count,
        nonfinite=found.nonfinite,
        first=found.first,
        last=found.last,
        last_finite=found.last_finite,
        last_step=found.last_step,
        min=found.min,
        min_step=found.min_step,
        max=found.max,
        max_step=found.max_step,
        mean=found.mean,
        std=found.std,
        best=best[0],
        best_step=best[1],
        direction=f"{side}{'?' * guessed}" if side else None,
    )


def answer(query: ShowStats, view: ProjectView) -> StatsTable:
    """Statistics of the selected metrics, all of them by default. Raises RunwiseError."""
    run = resolve(query.run, view)
    names = select(query.keys, run.history.names, hint=onward(view, "keys", handle(run, view)))
    return StatsTable(run=run.id, metrics={name: metric_stats(run, name, view.config) for name in names})


def render(reply: StatsTable, page: Page, query: ShowStats, view: ProjectView) -> None:
    """One metric a line, those that matter most first; the best value is starred."""
    run = resolve(query.run, view)
    name = handle(run, view)
    if not reply.metrics:
        page.line(f"{name} has logged no numbers", priority=100)
        return
    first = [] if query.keys else main_metrics(run, view.config)
    order = list(dict.fromkeys([*first, *reply.metrics]))
    marks = _legend(list(reply.metrics.values()))
    page.line(f"{name} exact over {run.history.row_count} rows{marks}", priority=100)
    part = onward(view, "stats", name, "-k", "GLOB")
    page.table(
        ["metric", "n", "first", "last", "min@step", "max@step", "mean", "std"],
        [[short(key), *_cells(reply.metrics[key], run.step, page)] for key in order],
        priority=90,
        more=lambda dropped: f"cut: {dropped} of {len(order)} metrics; {part}",
    )


def _legend(shown: Sequence[MetricStats]) -> str:
    """What the marks in the table mean, those that are there."""
    sides = {found.direction for found in shown if found.best is not None}
    marks = [
        ("; * best", bool(sides & {"min", "max"})),
        ("; *? best if the name tells", bool(sides & {"min?", "max?"})),
        ("; !n not finite, left out of the rest", any(found.nonfinite for found in shown)),
    ]
    return "".join(text for text, there in marks if there)


def _cells(found: MetricStats, last_step: int | None, page: Page) -> list[str]:
    values = [found.first, found.last, found.min, found.max]
    first, last, low, high = _told_apart(values, page)
    star = f"*{(found.direction or '')[3:]}"
    least, most = f"{low}@{found.min_step}", f"{high}@{found.max_step}"
    return [
        f"{found.count}!{found.nonfinite}" if found.nonfinite else str(found.count),
        first,
        last if found.last_step == last_step else f"{last}@{found.last_step}",
        "-" if found.min is None else least + star * _is_best(found, "min"),
        "-" if found.max is None else most + star * _is_best(found, "max"),
        number(found.mean, dress=page.dress),
        number(found.std, dress=page.dress),
    ]


def _is_best(found: MetricStats, side: str) -> bool:
    return (found.direction or "").startswith(side) and found.min != found.max


def _told_apart(values: Sequence[float | None], page: Page) -> list[str]:
    """Numbers with as many digits as it takes for different ones to look different."""
    distinct = len({value for value in values if value is not None and value == value})
    for digits in range(4, _MOST_DIGITS + 1):
        cells = [number(value, digits=digits, dress=page.dress) for value in values]
        if len({cell for cell in cells if cell not in ("-", "nan")}) >= distinct:
            break
    return cells
