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
    (n,); the cost is that of 96 fits of three unknowns.
    """
    if len(steps) < 6:
        return None
    begin, length = steps[0], steps[-1] - steps[0]
    x = (steps - begin) / length
    size = float(np.max(np.abs(values))) or 1.0
    y = values / size
    places = np.unique(x[1:-1][np.linspace(0, len(x) - 3, min(_PLACES, len(x) - 2)).astype(int)])
    _, place, found = min((_fit(x, y, place, flat_after) for place in places.tolist()), key=lambda fit: fit[0])
    unit = size / length
    before = -float(found[1] + found[2] * place if flat_after else found[1])
    return Kink(begin + place * length, before * unit, 0.0 if flat_after else float(found[2]) * unit)


def _fit(x: Floats, y: Floats, place: float, flat_after: bool) -> tuple[float, float, Floats]:
    """Sum of squares missed, the place, and the coefficients."""
    left = np.maximum(0.0, place - x)
    matrix = np.stack([np.ones_like(x), left, left * left if flat_after else np.maximum(0.0, x - place)], axis=1)
    found = np.linalg.lstsq(matrix, y, rcond=None)[0]
    return float(np.sum((y - matrix @ found) ** 2)), place, found
