"""Owns mean and standard deviation of every window of a curve, in a number of passes that grows with the window's log.

What is known of windows of one width gives those twice as wide, each joined of two that follow one another (Chan, Golub
and LeVeque, Updating Formulae and a Pairwise Algorithm for Computing Sample Variances, 1979). No large sums are
subtracted from one another: values far from zero, or far from one another, cost no digits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from runwised.analysis.curve import Flags, Floats, Ints

_SLAB = 65_536
"""Windows that are made at a time: what is in between stays in the processor's cache."""
_LARGEST, _SMALLEST = 2.0**400, 2.0**-400
"""Between these, squares and sums of them stay in the range of a float64."""


class Windows(NamedTuple):
    """One window for each point that has enough points from there on; shape (k,)."""

    finite: Ints
    mean: Floats
    """Of the finite values; NaN where there is none."""
    std: Floats
    """Population standard deviation of the finite values; NaN where there are fewer than two."""


class _Moments(NamedTuple):
    """Of windows of one width, one for each point it begins at."""

    n: Floats | float
    """Finite values; one number where all are."""
    rise: Floats
    """The mean, less the window's first value: as many digits as the window's own values need."""
    m2: Floats

    def part(self, start: int, stop: int) -> _Moments:
        n = self.n if isinstance(self.n, float) else self.n[start:stop]
        return _Moments(n, self.rise[start:stop], self.m2[start:stop])


def rolling(values: Floats, width: int) -> Windows:
    """All windows of `width` (at least 1) of values of shape (n,), of which any may be NaN or infinite.

    Windows as wide as all values or wider are one; of no values there are none.
    """
    width = min(width, len(values))
    count = len(values) - width + 1 if width else 0
    finite = np.isfinite(values)
    clean = values if finite.all() else _filled(values, finite)
    exponent = _exponent(clean)
    clean = np.ldexp(clean, -exponent) if exponent else clean
    n, mean, std = np.empty(count), np.empty(count), np.empty(count)
    slab = max(_SLAB, 4 * width)
    for start in range(0, count, slab):
        stop = min(start + slab, count)
        part = slice(start, stop + width - 1)
        n[start:stop], rise, m2 = _joined_up(clean[part], finite[part], width)
        mean[start:stop] = clean[start:stop] + rise
        std[start:stop] = np.sqrt(m2 / np.maximum(n[start:stop], 1.0))
    if exponent:
        mean, std = np.ldexp(mean, exponent), np.ldexp(std, exponent)
    return Windows(n.astype(np.int64), np.where(n > 0, mean, np.nan), np.where(n > 1, std, np.nan))


def _filled(values: Floats, finite: Flags) -> Floats:
    """The last finite value in the place of each that is not, the first one before that, 0 where there is none."""
    last = np.maximum.accumulate(np.where(finite, np.arange(len(values)), -1))
    first = int(finite.argmax())
    return np.where(finite.any(), values[np.where(last < 0, first, last)], 0.0)


def _exponent(values: Floats) -> int:
    """The power of two that values are divided by, where their squares would leave the range; else 0."""
    size = float(np.max(np.abs(values), initial=0.0))
    return 0 if size == 0 or _SMALLEST < size < _LARGEST else int(np.frexp(size)[1])


def _joined_up(values: Floats, finite: Flags, width: int) -> _Moments:
    """The windows of `width` of some values: of the powers of two that it is the sum of."""
    known = _Moments(1.0 if finite.all() else finite.astype(np.float64), np.zeros_like(values), np.zeros_like(values))
    whole: _Moments | None = None
    covered, size = 0, 1
    while True:
        if width & size:
            whole = known if whole is None else _joined(whole, known, covered, values)
            covered += size
        if covered == width:
            assert whole is not None
            return whole
        known = _joined(known, known, size, values)
        size *= 2


def _joined(one: _Moments, two: _Moments, apart: int, values: Floats) -> _Moments:
    """Windows joined with those that begin so many points later: formulas (2.1) of Chan, Golub and LeVeque."""
    two = two.part(apart, len(two.rise))
    one = one.part(0, len(two.rise))
    n = one.n + two.n
    share = two.n / (n if isinstance(n, float) else np.maximum(n, 1.0))
    climbed = values[apart : apart + len(two.rise)] - values[: len(two.rise)]
    delta = climbed + (two.rise - one.rise)
    return _Moments(n, one.rise + delta * share, one.m2 + two.m2 + delta * delta * (one.n * share))
