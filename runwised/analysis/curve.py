"""Owns what a detector is given and what it gives back: a metric's curve, and an event on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from runwised.index.view import Series

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]

Kind: TypeAlias = Literal[
    "spike",
    "divergence",
    "nonfinite",
    "plateau",
    "overfitting",
    "gradient_explosion",
    "gradient_vanishing",
    "throughput_drop",
    "learning_rate",
    "frozen",
    "stalled",
    "memory",
    "low_utilisation",
]

LARGEST = 1e100
"""What is beyond is taken as that, so that squares stay finite."""


class Curve(NamedTuple):
    """All points of one metric, shape (n,) each: strictly increasing steps, and values with NaN and infinities kept."""

    steps: Floats
    values: Floats

    @classmethod
    def of(cls, steps: Sequence[float] | NDArray[Any], values: Sequence[float] | NDArray[Any]) -> Self:
        """Raises ValueError unless both have the same shape (n,) and the steps increase."""
        curve = cls(np.asarray(steps, np.float64), np.asarray(values, np.float64))
        if curve.steps.ndim != 1 or curve.steps.shape != curve.values.shape:
            raise ValueError(f"a curve needs (n,) steps and values, found {curve.steps.shape} and {curve.values.shape}")
        if not np.all(curve.steps[1:] > curve.steps[:-1]):
            raise ValueError("a curve needs strictly increasing steps")
        return curve

    @classmethod
    def of_series(cls, series: Series) -> Self:
        """The points an index serves."""
        return cls(series.steps.astype(np.float64), np.asarray(series.values, np.float64))

    def finite(self) -> Self:
        """Its points whose values are finite; what is beyond 1e100 is taken as that, so that squares stay finite."""
        fine = np.isfinite(self.values)
        kept = self if fine.all() else type(self)(self.steps[fine], self.values[fine])
        return type(self)(kept.steps, np.clip(kept.values, -LARGEST, LARGEST))

    def part(self, start: int, stop: int | None = None) -> Self:
        """The points with indices in [start, stop)."""
        return type(self)(self.steps[start:stop], self.values[start:stop])


class Event(NamedTuple):
    """One finding. Steps are those of logged points."""

    kind: Kind
    key: str
    step: int
    """Its onset: the first point that is not as it was."""
    end_step: int | None
    """The first point that is as before again; None: it lasts to the curve's end."""
    value: float
    """What shows it best: a spike's height, a plateau's level, the first NaN …"""
    normal: float
    """What was to be expected there; NaN when nothing was."""
    confidence: float
    """From 0 to 1: how far beyond its threshold it is, not a probability."""


def confidence(measured: float, threshold: float) -> float:
    """0.5 where a measure just reaches its threshold, and towards 1 the further it is beyond."""
    if not measured > threshold > 0:
        return 0.5
    return float(1 - 0.5 * threshold / measured)


def event(
    kind: Kind, key: str, curve: Curve, start: int, end: int | None, value: float, normal: float, sure: float
) -> Event:
    """The event at the points with these indices; an `end` at or after the curve's last point is None."""
    ended = None if end is None or end >= len(curve.steps) else int(curve.steps[end])
    return Event(
        kind, key, int(curve.steps[start]), ended, float(value), float(normal), float(min(1.0, max(0.0, sure)))
    )
