"""What a line of text says of one metric: its last value, its extremes and its trend."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from runwised.index.view import RunView, Stats
from runwised.render.numbers import Dress
from runwised.render.trend import POINTS, trend

_KEPT = frozenset(("min", "max", "mean", "best", "first", "last"))
"""What a metric's summary may keep of it."""


class Moment(NamedTuple):
    """A value, and the step it stands at."""

    value: float
    step: int | None


def numbers_in(run: RunView) -> dict[str, float]:
    """The numbers of a run's summary by dotted key, bookkeeping left out."""
    return dict(_numbers(run.summary, ""))


def _numbers(nested: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
    """The numeric leaves under dotted keys; a medium's own (width, size …) are none, nor a metric's extremes."""
    for key, found in nested.items():
        value = _last_of(found)
        if isinstance(value, Mapping) and "_type" not in value:
            yield from _numbers(value, f"{prefix}{key}.")
        elif _is_number(value) and not (prefix or key).startswith("_"):
            yield prefix + key, value


def _last_of(value: Any) -> Any:
    """What a metric last was, of a summary that keeps its minimum, mean or such beside; other values as they are."""
    return value.get("last") if isinstance(value, Mapping) and value and _KEPT.issuperset(value) else value


def names_of(run: RunView) -> list[str]:
    """The run's metrics; while it is not indexed, the numbers of its summary."""
    return list(run.history.names) if run.indexed else list(numbers_in(run))


def stats_of(run: RunView, key: str) -> Stats | None:
    """Statistics, where there are any."""
    try:
        return run.history.stats(key)
    except KeyError:
        return None


def latest(run: RunView, key: str) -> Moment | None:
    """A metric's last value; while the run is not indexed, that of the summary."""
    found = stats_of(run, key)
    if found:
        return Moment(found.last, found.last_step)
    value = None if run.indexed else _in_summary(run.summary, key)
    return None if value is None else Moment(value, run.step)


def _in_summary(summary: Mapping[str, Any], key: str) -> float | None:
    """A number of the summary by its dotted key, without looking at all the others."""
    value: Any = summary.get(key)
    if value is None:
        value = summary
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
    value = _last_of(value)
    return value if _is_number(value) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def best(found: Stats | None, side: str | None) -> Moment | None:
    """The least or the greatest finite value."""
    if found is None or side is None:
        return None
    value, step = (found.min, found.min_step) if side == "min" else (found.max, found.max_step)
    return None if value is None else Moment(value, step)


class Shape(NamedTuple):
    """A metric's curve over the whole run in a few groups of points: their means, and how many were not finite."""

    means: list[float]
    nonfinite: list[int]

    def drawn(self, dress: Dress) -> str:
        """As a trend; empty for fewer than three groups."""
        return trend(self.means, self.nonfinite, dress=dress)


class _Shown(NamedTuple):
    """A shape that was shown before, and the statistics it goes with: most runs do not change between two questions."""

    found: Stats
    shape: Shape


def shape_of(run: RunView, key: str, found: Stats) -> Shape:
    """The metric's shape; `found` are its statistics."""
    place = f"shape {key}"
    known: _Shown | None = run.memory.folds.get(place)
    if known is None or known.found != found:
        groups = run.history.sample(key, POINTS)
        known = run.memory.folds[place] = _Shown(found, Shape(groups.mean.tolist(), groups.nonfinite.tolist()))
    return known.shape


def spark(run: RunView, key: str, dress: Dress) -> str:
    """The metric's trend over the whole run."""
    found = stats_of(run, key)
    return shape_of(run, key, found).drawn(dress) if found else ""


def outlier(found: Stats, shape: Shape) -> Moment | None:
    """The greatest value, where it stands far off the trend's line: by more than the line itself spans."""
    means = [mean for mean in shape.means if math.isfinite(mean)]
    if found.max is None or len(means) < 3:
        return None
    top, span = max(means), max(means) - min(means)
    return Moment(found.max, found.max_step) if found.max - top > max(span, abs(top) / 2) else None
