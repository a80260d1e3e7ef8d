"""What is odd in a run's numbers, as far as exact statistics and its coarse curves tell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from runwised.index.view import RunView, Stats
from runwised.queries.glance import Shape
from runwised.render.layout import short
from runwised.render.numbers import Dress, column, number, plural

_LEAST_GROUPS = 5
_TURNED = 0.1
"""Share of what a metric had gained that it must lose again to be worth a line,"""
_NOTICEABLE = 0.03
"""and the share of its best value."""
_LISTED = 3


class Oddity(NamedTuple):
    """One line, and the metric and step to look at."""

    text: str
    key: str
    step: int | None
    """None: the whole curve is worth a look."""


def nonfinite(run: RunView, names: Sequence[str]) -> list[Oddity]:
    """Those of the metrics with NaN or infinity in the order they turned: where, and how many of their points."""
    found = ((name, run.history.stats(name)) for name in names)
    bad = [(stats.first_nonfinite_step, name, stats) for name, stats in found if stats.first_nonfinite_step is not None]
    bad.sort(key=lambda item: item[0])
    shown = [Oddity(_turn(run, name, step, stats), name, step) for step, name, stats in bad[:_LISTED]]
    if len(bad) > _LISTED:
        rest = plural(len(bad) - _LISTED, "more metric")
        shown[-1] = shown[-1]._replace(text=f"{shown[-1].text}; {rest} with some")
    return shown


def _turn(run: RunView, name: str, step: int, stats: Stats) -> str:
    ends = "finite at the end" if math.isfinite(stats.last) else "last one too"
    first = f"first {_value_at(run, name, step)}@{step}"
    return f"{short(name)} {first}, {stats.nonfinite} of {plural(stats.count, 'point')}, {ends}"


def _value_at(run: RunView, name: str, step: int) -> str:
    at = run.history.position(step)
    return number(float(run.history.series(name, at, at + 1).values[0]))


def turned(key: str, side: str, stats: Stats, shape: Shape, dress: Dress) -> Oddity | None:
    """Whether a metric lost part of what it had gained: its curve's end lies well off its best part."""
    value, step = (stats.min, stats.min_step) if side == "min" else (stats.max, stats.max_step)
    if value is None or stats.last_finite is None or step == stats.last_step or not _lost(shape, side):
        return None
    now, then = column([stats.last_finite, value], dress=dress, scale=False)[1]
    return Oddity(f"{short(key)} {'up' if side == 'min' else 'down'} to {now} from {then}@{step}", key, None)


def _lost(shape: Shape, side: str) -> bool:
    sign = 1 if side == "min" else -1
    means = [sign * mean for mean in shape.means if math.isfinite(mean)]
    if len(means) < _LEAST_GROUPS:
        return False
    best = min(means)
    lost, gained = means[-1] - best, max(0.0, means[0] - best)
    # Two groups in a row, so that one unlucky end is not called a turn.
    least = max(_TURNED * gained, _NOTICEABLE * abs(best))
    return lost > least and means[-2] - best > least / 2 and means.index(best) < len(means) - 2
