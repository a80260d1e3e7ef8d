"""Finds averages that repeat because a NaN was hidden: stretches in which a curve that used to change stands still.

Trainers that replace a NaN by the mean of the others log the same average over and over. Values of few digits repeat
by chance, the more the flatter the curve: a stretch counts when ``n * p ** repeats`` is below one in a thousand, `p`
being how often neighbours are equal otherwise, or just before it when that is more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from runwised.analysis.curve import LARGEST, Curve, Event, Flags, Floats
from runwised.analysis.rolling import stretches

_LEAST_CONSTANT = 50
"""Points of a curve that never had but one value, to be called frozen."""
_STEPS_AWAY = 3.0
_MOST = 20
_CHANCE = 1e-3
_KEPT = 64
"""Stretches that are kept, the longest: whether chance makes one shows when the curve's end is known."""
_NEAR = 512
"""Points before a stretch that tell how often neighbours are equal there, at most."""
_BEFORE = 10
"""Points before a stretch that tell what was normal."""


class Stretch(NamedTuple):
    """Points in a row with one value, and what was before them."""

    start: int
    """Index of the first,"""
    step: float
    """and its step."""
    value: float
    normal: float
    """Median of the finite points before it; NaN where there is none."""
    to_zero: bool
    """Whether zero was where the curve was going."""
    near: Flags
    """Of the points before it, whether each was equal to its neighbour."""
    length: int = 0
    end_step: float | None = None
    """The step of the first point with another value; None: it lasts."""


class Repeats(NamedTuple):
    """What is known of a curve's stretches of one value."""

    least: int
    """Points that make a stretch worth telling."""
    total: int = 0
    equal: int = 0
    """Points that are equal to the one before."""
    recent: Curve = Curve(np.empty(0), np.empty(0))
    """The last points, enough for what a stretch that begins among the next ones is measured by."""
    current: Stretch | None = None
    """The one that the last point belongs to."""
    over: tuple[Stretch, ...] = ()

    def fed(self, points: Curve) -> Repeats:
        """The same after more points."""
        if not len(points.steps):
            return self
        steps, values = (np.concatenate(pair) for pair in zip(self.recent, points, strict=True))
        known, first = len(self.recent.steps), self.total - len(self.recent.steps)
        same = np.concatenate(([False], (values[1:] == values[:-1]) & np.isfinite(values[1:])))
        found = stretches(same[known:])
        begins, stops = found.starts + known - 1, found.stops + known
        over, current, more = list(self.over), self.current, list(zip(begins.tolist(), stops.tolist(), strict=True))
        if current is not None:
            # Its next points are the first of those found, if it goes on at all.
            stop = more.pop(0)[1] if more and more[0][0] == known - 1 else known
            if stop < len(steps):
                over.append(current._replace(length=first + stop - current.start, end_step=float(steps[stop])))
                current = None
        for start, stop in more:
            if stop == len(steps):
                current = _begun(steps, values, same, start, first)
            elif stop - start >= self.least:
                begun = _begun(steps, values, same, start, first)
                over.append(begun._replace(length=stop - start, end_step=float(steps[stop])))
        over = [stretch for stretch in over if stretch.length >= self.least]
        if len(over) > _KEPT:
            over = sorted(sorted(over, key=lambda stretch: (-stretch.length, stretch.start))[:_KEPT])
        tail = slice(max(0, len(steps) - _NEAR - 2), None)
        # Copies: a view would keep all that was fed at once.
        return self._replace(
            total=self.total + len(points.steps),
            equal=self.equal + int(same[known:].sum()),
            recent=Curve(steps[tail].copy(), values[tail].copy()),
            current=current,
            over=tuple(over),
        )

    def events(self, key: str) -> list[Event]:
        """Those that chance does not make, the surest first."""
        events = [self._event(key, stretch) for stretch in self._told()]
        return sorted(events, key=lambda found: -found.confidence)[:_MOST]

    def _told(self) -> Iterator[Stretch]:
        lasting = self.current._replace(length=self.total - self.current.start) if self.current is not None else None
        if lasting is not None and lasting.length == self.total:
            if self.total >= _LEAST_CONSTANT and lasting.value:
                yield lasting
            return
        for stretch in (*self.over, *([lasting] if lasting is not None else [])):
            # A curve that goes to zero by itself may stay there.
            told = stretch.start > 0 and stretch.length >= self.least and not np.isnan(stretch.normal)
            if told and not (stretch.value == 0 and stretch.to_zero) and self._is_unlikely(stretch):
                yield stretch

    def _event(self, key: str, stretch: Stretch) -> Event:
        constant = stretch.length == self.total
        sure = 0.5 if constant else 1 - 0.5 * self.least / stretch.length
        end = None if stretch.end_step is None else int(stretch.end_step)
        normal = np.nan if constant else stretch.normal
        return Event("frozen", key, int(stretch.step), end, stretch.value, normal, sure)

    def _is_unlikely(self, stretch: Stretch) -> bool:
        """Whether chance makes no such stretch."""
        repeats, pairs = stretch.length - 1, self.total - 1
        everywhere = (self.equal - repeats + 1) / (pairs - repeats + 2)
        near = stretch.near[-3 * repeats :]
        nearby = (int(near.sum()) + 0.5) / (len(near) + 1)
        return float((pairs + 1) * max(everywhere, nearby) ** repeats) < _CHANCE


def _begun(steps: Floats, values: Floats, same: Flags, start: int, first: int) -> Stretch:
    """The stretch that begins at this index of the arrays; the curve's index of their first point is `first`."""
    before = values[max(0, start - _BEFORE) : start]
    before = np.clip(before[np.isfinite(before)], -LARGEST, LARGEST)
    normal = float(np.median(before)) if len(before) else np.nan
    near = same[max(1, start - _NEAR) : start + 1].copy() if start else same[:0].copy()
    return Stretch(first + start, float(steps[start]), float(values[start]), normal, _leads_to_zero(before), near)


def _leads_to_zero(before: Floats) -> bool:
    """Whether zero is no further from the last of these values than they are from each other."""
    return len(before) < 2 or bool(abs(before[-1]) <= _STEPS_AWAY * np.median(np.abs(np.diff(before))))
