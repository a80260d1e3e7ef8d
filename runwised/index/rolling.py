"""Statistics that are exact over all of a column's points, whatever batches they came in.

Points are summed up in blocks of 4,096. After each whole block stands one `Tally` of everything up to there, so points
taken back cost no more than dropping tallies, and what is left over is summed up when asked for. The result depends on
the values alone. Blocks are put together as Chan, Golub and LeVeque do (Updating Formulae and a Pairwise Algorithm for
Computing Sample Variances, 1979).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from runwised.formats.record import Floats
from runwised.index.arrays import SLAB, Vector

BLOCK = 4096
LARGEST, SMALLEST = 2.0**400, 2.0**-400
"""Between these, squares and sums of them stay in the range of a float64."""


class Moments(NamedTuple):
    """Mean and spread of finite values; `m2` is in units of ``4**scale``."""

    finite: int
    mean: float
    m2: float
    scale: int


class Tally(NamedTuple):
    """What is known of a column's first points; places are indices of points, -1 where there is none."""

    moments: Moments
    low: float
    low_at: int
    high: float
    high_at: int
    nonfinite_at: int
    last_finite: float | None


NOTHING = Tally(Moments(0, 0.0, 0.0, 0), math.inf, -1, -math.inf, -1, -1, None)


class Rolling:
    """The tallies of one column."""

    __slots__ = ("_tallies",)

    def __init__(self) -> None:
        self._tallies = [NOTHING]

    def truncate(self, points: int) -> None:
        """The column has been cut back to so many points."""
        del self._tallies[points // BLOCK + 1 :]

    def cover(self, values: Floats) -> None:
        """Sum up the whole blocks of `values`, all points of the column."""
        self._tallies = self._covering(values)

    def total(self, values: Floats) -> Tally:
        """The tally of `values`, all points of the column."""
        tallies = self._tallies = self._covering(values)
        at = (len(tallies) - 1) * BLOCK
        rest = values[at:]
        return add(tallies[-1], rest, at, moments_of(rest)) if len(rest) else tallies[-1]

    def _covering(self, values: Floats) -> list[Tally]:
        """Tallies up to the last whole block; a list in use elsewhere is not touched."""
        end = len(values) // BLOCK * BLOCK
        at = (len(self._tallies) - 1) * BLOCK
        if at == end:
            return self._tallies
        tallies = self._tallies.copy()
        for start in range(at, end, 8 * BLOCK):
            blocks = values[start : min(start + 8 * BLOCK, end)].reshape(-1, BLOCK)
            for number, (block, moments) in enumerate(zip(blocks, _moments(blocks), strict=True)):
                tallies.append(add(tallies[-1], block, start + number * BLOCK, moments))
            if start % SLAB == 0:
                Vector.rooms.trim()
        return tallies


def add(before: Tally, block: Floats, at: int, moments: Moments) -> Tally:
    """The tally of the points before a block and those of the block, which begins at point `at`."""
    isfinite = None if moments.finite == len(block) else np.isfinite(block)
    if not moments.finite:
        return before._replace(nonfinite_at=at if before.nonfinite_at < 0 else before.nonfinite_at)
    lows = block if isfinite is None else np.where(isfinite, block, np.inf)
    highs = block if isfinite is None else np.where(isfinite, block, -np.inf)
    low_at, high_at = int(lows.argmin()), int(highs.argmax())
    low, high = float(block[low_at]), float(block[high_at])
    nonfinite_at = before.nonfinite_at
    if isfinite is not None and nonfinite_at < 0:
        nonfinite_at = at + int(isfinite.argmin())
    last = -1 if isfinite is None else len(block) - 1 - int(isfinite[::-1].argmax())
    return Tally(
        combine(before.moments, moments),
        *((low, at + low_at) if low < before.low else (before.low, before.low_at)),
        *((high, at + high_at) if high > before.high else (before.high, before.high_at)),
        nonfinite_at,
        float(block[last]),
    )


def combine(one: Moments, two: Moments) -> Moments:
    """Moments of both sets of values together: formulas (2.1) of Chan, Golub and LeVeque."""
    if not one.finite or not two.finite:
        return one if one.finite else two
    finite = one.finite + two.finite
    scale = max(one.scale, two.scale)
    mean = math.ldexp(one.mean, -scale)
    delta = math.ldexp(two.mean, -scale) - mean
    m2 = math.ldexp(one.m2, 2 * (one.scale - scale)) + math.ldexp(two.m2, 2 * (two.scale - scale))
    m2 += delta * delta * (one.finite * (two.finite / finite))
    mean = _unscaled(mean + delta * (two.finite / finite), scale, *sorted((one.mean, two.mean)))
    return Moments(finite, mean, m2, scale)


def moments_of(values: Floats) -> Moments:
    """Moments of any values, non-finite ones passed over, scaled where squares would leave the range."""
    values = values[np.isfinite(values)]
    if not len(values):
        return NOTHING.moments
    low, high = float(values.min()), float(values.max())
    size = max(-low, high)
    scale = 0 if SMALLEST < size < LARGEST else math.frexp(size)[1] if size else -1100
    if low == high:
        return Moments(len(values), low, 0.0, scale)
    scaled = np.ldexp(values, -scale) if scale else values
    mean = float(np.add.reduce(scaled)) / len(values)
    rest = scaled - mean
    m2 = float(np.add.reduce(rest * rest)) - float(np.add.reduce(rest)) ** 2 / len(values)
    return Moments(len(values), _unscaled(mean, scale, low, high), max(m2, 0.0), scale)


def _unscaled(mean: float, scale: int, low: float, high: float) -> float:
    """The mean in its own units, kept between `low` and `high` whatever rounding did."""
    with np.errstate(over="ignore"):
        return float(min(max(np.ldexp(mean, scale), low), high))


def _moments(blocks: Floats) -> list[Moments]:
    """Moments of the rows of a (k, BLOCK) array; as `moments_of` for each."""
    with np.errstate(all="ignore"):
        sums = np.add.reduce(blocks, axis=1)
        low, high = np.minimum.reduce(blocks, axis=1), np.maximum.reduce(blocks, axis=1)
        size = np.maximum(-low, high)
        plain = np.isfinite(sums) & (size > SMALLEST) & (size < LARGEST)
        means = np.where(low == high, low, sums / BLOCK)
        rest = blocks - means[:, None]
        m2 = np.add.reduce(rest * rest, axis=1) - np.add.reduce(rest, axis=1) ** 2 / BLOCK
    quick = zip(plain.tolist(), means.tolist(), np.maximum(m2, 0.0).tolist(), blocks, strict=True)
    return [Moments(BLOCK, mean, square, 0) if usual else moments_of(block) for usual, mean, square, block in quick]
