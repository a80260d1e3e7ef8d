"""Finds the step at which a curve turns from one straight line to another: a least-squares fit of two that meet."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from runwised.analysis.curve import Floats

_PLACES = 96


class Kink(NamedTuple):
    """Where two lines meet, and their slopes in units of value per step."""

    step: float
    before: float
    after: float


def kink(steps: Floats, values: Floats, *, flat_after: bool = False) -> Kink | None:
    """The best of up to 96 places between the points; None for fewer than six.

    `flat_after`: the second line is level and the first a parabola, its slope the mean one. Steps and values of shape
    (n,); the cost is that of 96 sums of squares.
    """
    if len(steps) < 6:
        return None
    begin, length = steps[0], steps[-1] - steps[0]
    x = (steps - begin) / length
    size = float(np.max(np.abs(values))) or 1.0
    y = values / size
    places = np.unique(x[1:-1][np.linspace(0, len(x) - 3, min(_PLACES, len(x) - 2)).astype(int)])
    place, found = _best(x, y, places, flat_after)
    unit = size / length
    before = -float(found[1] + found[2] * place if flat_after else found[1])
    return Kink(begin + place * length, before * unit, 0.0 if flat_after else float(found[2]) * unit)


def _best(x: Floats, y: Floats, places: Floats, flat_after: bool) -> tuple[float, Floats]:
    """The place with the least sum of squares missed, and its coefficients."""
    left = np.maximum(0.0, places[:, None] - x)
    right = left * left if flat_after else np.maximum(0.0, x - places[:, None])
    columns = np.stack([np.ones_like(left), left, right], axis=1)
    # All places at once, by normal equations: near enough to choose one, which is then fitted as it should be.
    squares = columns @ columns.transpose(0, 2, 1) + 1e-12 * np.eye(3)
    found = np.linalg.solve(squares, columns @ y[:, None])
    missed = np.sum((y - (found.transpose(0, 2, 1) @ columns)[:, 0]) ** 2, axis=1)
    at = int(np.argmin(missed))
    return float(places[at]), np.linalg.lstsq(columns[at].T, y, rcond=None)[0]
