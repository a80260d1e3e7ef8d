"""Finds learning rates that jump where no schedule would: neither a warm-up, a milestone nor a restart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from runwised.analysis.curve import Curve, Event, Floats, confidence

_UP = 1.5
_DOWN = 50.0
"""Factors from one row to the next that count as a jump. Milestones divide by ten or less."""
_MATTERS = 0.05
"""Share of the highest rate that a jump must bridge."""
_WARM_UP = 0.1
"""Share of a run in which a rate that has only risen so far may rise by leaps."""
_BOTTOM = 0.25
"""A restart follows on a fall to less than this share of the last peak."""
_ALIKE = 0.1
_ENDING = 0.05
_LEAST_POINTS = 5
_LEAST_RATE = 1e-100
_MOST = 100
"""A rate with more jumps than this is made that way."""
_MOST_KEPT = 400
"""Jumps that are kept: some of them turn out not to matter."""


class Jump(NamedTuple):
    """A row at which the rate is far from what it was, and what its judgement needs of the rows around it."""

    at: int
    """Index among the finite points."""
    step: float
    before: Floats
    """The rates of up to two rows before it, the last of them next to it."""
    value: float
    after: float
    """The rate of the row after it; NaN where there is none yet."""
    summit: float
    """The highest rate ever before it."""
    peak: float
    """The highest since the jump up before it, or the first row,"""
    peak_at: int
    """and where that was."""
    only_rose: bool
    """Whether the rate had never fallen before it."""
    back_step: float | None = None
    """Where the rate is near to what it was again;"""
    jumps_back: bool = False
    """whether it gets there by a jump."""

    @property
    def is_up(self) -> bool:
        """Whether the rate rises."""
        return self.value > float(self.before[-1])


class Rates(NamedTuple):
    """What is known of a learning rate."""

    total: int = 0
    recent: Floats = np.empty(0)
    """The last two."""
    lowest: float = np.inf
    highest: float = -np.inf
    only_rose: bool = True
    peak: float = -np.inf
    peak_at: int = 0
    """Since the last jump up."""
    jumps: tuple[Jump, ...] = ()

    def fed(self, points: Curve) -> Rates:
        """The same after more finite points."""
        if not len(points.steps):
            return self
        known = len(self.recent)
        rates = np.concatenate((self.recent, points.values))
        first = self.total - known
        so_far = np.maximum.accumulate(np.concatenate(([self.highest], points.values)))[1:]
        before, now = rates[max(known, 1) - 1 : -1], rates[max(known, 1) :]
        matters = np.abs(now - before) > _MATTERS * so_far[len(so_far) - len(now) :]
        odd = np.flatnonzero(matters & ((now > _UP * before) | (now < before / _DOWN))) + max(known, 1)
        rose = np.concatenate(([self.only_rose], np.logical_and.accumulate(now >= before) & self.only_rose))
        jumps = [_followed(jump, rates, points.steps, known, first) for jump in self.jumps]
        peak, peak_at, reached = self.peak, self.peak_at, known
        for at in odd.tolist()[: max(0, _MOST_KEPT - len(jumps))]:
            peak, peak_at = _higher(peak, peak_at, rates[reached:at], first + reached)
            jump = Jump(
                first + at,
                float(points.steps[at - known]),
                rates[max(0, at - 2) : at],
                float(rates[at]),
                np.nan,
                float(so_far[at - known - 1]) if at > known else self.highest,
                peak,
                peak_at,
                bool(rose[at - max(known, 1)]),
            )
            jumps.append(_followed(jump, rates[at:], points.steps[at - known :], 0, first + at))
            reached = at
            if jump.is_up:
                peak, peak_at = -np.inf, first + at
        peak, peak_at = _higher(peak, peak_at, rates[reached:], first + reached)
        return Rates(
            self.total + len(points.steps),
            rates[-2:],
            min(self.lowest, float(points.values.min())),
            float(so_far[-1]),
            bool(rose[-1]),
            peak,
            peak_at,
            tuple(jumps),
        )

    def events(self, key: str) -> list[Event]:
        """Rates below zero are no rates; nothing is said of them."""
        if self.total < _LEAST_POINTS or self.lowest < 0 or self.highest < _LEAST_RATE:
            return []
        least = _MATTERS * self.highest
        jumps = _joined(self.jumps, least)
        if len(jumps) > _MOST or len(self.jumps) >= _MOST_KEPT:
            return []
        ups = [jump for jump in jumps if jump.is_up]
        events: list[Event] = []
        told = -np.inf
        for jump in jumps:
            # The way back belongs to the jump it ends.
            if self._is_odd(jump, ups) and jump.step > told:
                end = jump.back_step if jump.jumps_back else None
                told = jump.step if end is None else end
                factor = max(jump.value, _LEAST_RATE) / max(float(jump.before[-1]), _LEAST_RATE)
                sure = confidence(max(factor, 1 / factor), _UP)
                ended = None if end is None else int(end)
                usual = float(jump.before[-1])
                events.append(Event("learning_rate", key, int(jump.step), ended, jump.value, usual, sure))
        return events

    def _is_odd(self, jump: Jump, ups: Sequence[Jump]) -> bool:
        if not jump.is_up:
            return self.total - jump.at > max(2, _ENDING * self.total)
        return not self._is_scheduled(jump, ups)

    def _is_scheduled(self, jump: Jump, ups: Sequence[Jump]) -> bool:
        """Whether a jump up is a warm-up's, or begins a new cycle at about the last peak."""
        if _is_ramp(jump) or (jump.at <= max(1, _WARM_UP * self.total) and jump.only_rose):
            return True
        if jump.value > (1 + _ALIKE) * jump.summit:
            return False
        begun = max((other.at for other in ups if other.at < jump.at), default=0)
        last, before = float(jump.before[-1]), float(jump.before[0])
        fell_by_itself = jump.at - begun > 3 and last > before / _DOWN and jump.peak_at < jump.at - 3
        if fell_by_itself and last < _BOTTOM * jump.peak and jump.value > _BOTTOM * jump.peak:
            return True
        return sum(_alike(jump, other) for other in ups if other is not jump) >= 2


def _higher(peak: float, at: int, rates: Floats, first: int) -> tuple[float, int]:
    """The higher of a peak and the highest of these rates, and where it is; `first`: the index of the first of them."""
    if not len(rates):
        return peak, at
    top = int(np.argmax(rates))
    return (peak, at) if peak >= rates[top] else (float(rates[top]), first + top)


def _joined(jumps: Iterable[Jump], least: float) -> list[Jump]:
    """The jumps by more than `least`; a cycle goes on over a jump up that is none."""
    kept: list[Jump] = []
    peak, peak_at = -np.inf, 0
    for jump in jumps:
        if peak >= jump.peak:
            jump = jump._replace(peak=peak, peak_at=peak_at)
        if abs(jump.value - jump.before[-1]) > least:
            kept.append(jump)
            if jump.is_up:
                peak, peak_at = -np.inf, 0
        elif jump.is_up:
            peak, peak_at = jump.peak, jump.peak_at
    return kept


def _followed(jump: Jump, rates: Floats, steps: Floats, known: int, first: int) -> Jump:
    """The jump, with what these rates say of what came after it.

    `first` is the index of the first rate among all; the first of `steps` is that of ``rates[known]``.
    """
    at = jump.at - first
    if np.isnan(jump.after) and known <= at + 1 < len(rates):
        jump = jump._replace(after=float(rates[at + 1]))
    if jump.back_step is not None:
        return jump
    usual, begin = float(jump.before[-1]), max(at, known)
    near = np.flatnonzero(np.abs(rates[begin:] - usual) < 0.3 * max(usual, 1e-300))
    if not len(near):
        return jump
    back = begin + int(near[0])
    jumps_back = back > 0 and abs(rates[back - 1] - rates[back]) > 0.5 * abs(jump.value - usual)
    return jump._replace(back_step=float(steps[back - known]), jumps_back=bool(jumps_back))


def _is_ramp(jump: Jump) -> bool:
    """Whether one of the moves beside this one is of its size: a steep rise that was logged seldom."""
    this = jump.value - float(jump.before[-1])
    beside = np.array([*np.diff(jump.before), jump.after - jump.value])
    return bool(np.any((beside > 0.4 * this) & (beside < 2.5 * this)))


def _alike(jump: Jump, other: Jump) -> bool:
    return bool(np.allclose((jump.before[-1], jump.value), (other.before[-1], other.value), rtol=_ALIKE))
