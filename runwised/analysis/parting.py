"""Owns the question since when two curves differ by more than their own noise, and lastingly."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from runwised.analysis.curve import Flags, Floats, Ints
from runwised.analysis.rolling import mostly, noise_of
from runwised.index.view import Buckets, Table

_FINE = 1024
"""Groups of points each curve is read in."""
_CELLS = 64
"""Cells of the common grid of steps."""
_FEWEST = 16
"""Cells below which nothing is said."""
_SIGMAS = 2.0
_FEW = 6.0
"""Noise that few cells show often lies below the true one: it is raised by this share over the cells."""
_LASTING = 5, 6
"""A difference lasts for at least so many cells, and at least one in so many of all of them."""
_SAME = 1e-6
"""A difference by a smaller share than that is rounding."""
_LARGEST = 1e100


class Span(NamedTuple):
    """Where one curve is off another one."""

    step: int
    """Where it begins."""
    until: int | None
    """Where they are together again, or have changed sides; None: it lasts to the end of what both have logged."""
    gap: float
    """Median difference; NaN where one of them is not finite."""


class Parting(NamedTuple):
    """What two curves show of each other."""

    spans: list[Span]
    """In order; none: they keep together."""
    within: int
    """Steps of one cell: no place is known more closely."""
    last_step: int
    """No later step was looked at."""


class _Cells(NamedTuple):
    """A curve on the grid; shape (c,) each, empty cells left out."""

    begins: Ints
    """First logged step."""
    middles: Floats
    """Mean step."""
    levels: Floats
    """Mean of the finite values; NaN where there is none."""


def parting(one: Table, other: Table, key: str, last_step: int | None = None) -> Parting | None:
    """Where `other`'s curve of a metric is off `one`'s, over the steps that both have logged; None: too little to tell.
    No step after `last_step` counts.

    Both are averaged over up to 64 cells of equal width in steps. They are apart where they differ by more than
    twice the noise of both (`rolling.noise_of`), or one alone is finite, for at least five cells and a sixth of all,
    four in five of them: two runs that differ by chance alone seldom do so.
    Costs two samples, whatever the length. Raises KeyError when one of them has no such metric.
    """
    known = one.stats(key), other.stats(key)
    low, high = max(found.first_step for found in known), min(found.last_step for found in known)
    high = high if last_step is None else min(high, last_step)
    if low >= high:
        return None
    groups = [table.sample(key, _FINE, table.position(low), table.position(high + 1)) for table in (one, other)]
    count = min(_CELLS, *(int((found.n - found.nonfinite).sum()) for found in groups))
    if count < _FEWEST:
        return None
    first, second = (_cells(found, low, high, count) for found in groups)
    common = (first.middles >= second.middles[0]) & (first.middles <= second.middles[-1])
    first = _Cells(*(array[common] for array in first))
    if min(len(first.levels), len(second.levels)) < _FEWEST:
        return None
    return Parting(list(_spans(first, second)), -(-(high - low + 1) // count), high)


def _cells(groups: Buckets, low: int, high: int, count: int) -> _Cells:
    """The groups in `count` cells over the steps [low, high]."""
    middles = groups.step_from + (groups.step_to - groups.step_from) / 2
    cells = ((middles - low) / (high - low + 1) * count).astype(np.int64)
    kept, starts = np.unique(cells, return_index=True)
    finite = groups.n - groups.nonfinite
    values = np.where(finite > 0, np.clip(groups.mean, -_LARGEST, _LARGEST), 0.0)
    points, fine = (np.bincount(cells, weights)[kept] for weights in (groups.n, finite))
    totals = np.bincount(cells, finite * values)[kept]
    return _Cells(
        groups.step_from[starts],
        np.bincount(cells, groups.n * middles)[kept] / points,
        np.divide(totals, fine, out=np.full(len(kept), np.nan), where=fine > 0),
    )


def _spans(one: _Cells, other: _Cells) -> Iterator[Span]:
    levels = np.interp(one.middles, other.middles, other.levels)
    gaps = levels - one.levels
    n = len(gaps)
    first, second = (noise_of(each[np.isfinite(each)]) for each in (one.levels, other.levels))
    noise = math.hypot(first, second) * (1 + _FEW / n)
    limit = np.maximum(_SIGMAS * noise, _SAME * np.fmax(np.abs(one.levels), np.abs(levels)))
    alone = np.isfinite(one.levels) != np.isfinite(levels)
    at = 0
    for start, stop in sorted({*_lasting((gaps > limit) | alone), *_lasting((gaps < -limit) | alone)}):
        if start < at:
            continue  # what is alone is off to both sides
        at = stop
        known = gaps[start:stop][np.isfinite(gaps[start:stop])]
        gap = float(np.median(known)) if len(known) else np.nan
        yield Span(int(one.begins[start]), int(one.begins[stop]) if stop < n else None, gap)


def _lasting(flags: Flags) -> Iterator[tuple[int, int]]:
    """[start, stop) of what lasts; an end needs to last as well."""
    n = len(flags)
    count = max(_LASTING[0], n // _LASTING[1])
    starts, ends = (np.flatnonzero(mostly(each, count)[: n - count + 1]) for each in (flags, ~flags))
    at = 0
    while len(later := starts[starts >= at]):
        start = int(later[0])
        after = ends[ends > start]
        at = int(after[0]) if len(after) else n
        yield start, at
