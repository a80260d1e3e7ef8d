"""Finds learning rates that jump where no schedule would: neither a warm-up, a milestone nor a restart."""

from __future__ import annotations

import numpy as np

from runwised.analysis.curve import Curve, Event, Floats, confidence, event

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


def jumps(key: str, curve: Curve) -> list[Event]:
    """Of a finite curve. Rates below zero are no rates; nothing is said of them."""
    rates = curve.values
    if len(rates) < _LEAST_POINTS or np.min(rates) < 0 or np.max(rates) < _LEAST_RATE:
        return []
    before, now = rates[:-1], rates[1:]
    matters = np.abs(now - before) > _MATTERS * np.max(rates)
    up = np.flatnonzero(matters & (now > _UP * before)) + 1
    down = np.flatnonzero(matters & (now < before / _DOWN)) + 1
    if len(up) + len(down) > _MOST:
        return []
    odd = [at for at in up.tolist() if not _is_scheduled(rates, at, up.tolist())]
    odd += [at for at in down.tolist() if len(rates) - at > max(2, _ENDING * len(rates))]
    events: list[Event] = []
    told = 0
    for at in sorted(odd):
        # The way back belongs to the jump it ends.
        if at > told:
            end = _return(rates, at)
            told = at if end is None else end
            factor = max(rates[at], _LEAST_RATE) / max(rates[at - 1], _LEAST_RATE)
            sure = confidence(max(factor, 1 / factor), _UP)
            events.append(event("learning_rate", key, curve, at, end, rates[at], rates[at - 1], sure))
    return events


def _is_scheduled(rates: Floats, at: int, ups: list[int]) -> bool:
    """Whether a jump up is a warm-up's, or begins a new cycle at about the last peak."""
    past = rates[:at]
    if _is_ramp(np.diff(rates[max(0, at - 2) : at + 2]), at - max(0, at - 2) - 1):
        return True
    if at <= max(1, _WARM_UP * len(rates)) and np.all(past[1:] >= past[:-1]):
        return True
    earlier = [other for other in ups if other < at]
    cycle = past[earlier[-1] :] if earlier else past
    peak = float(np.max(cycle))
    if rates[at] > (1 + _ALIKE) * np.max(past):
        return False
    fell_by_itself = len(cycle) > 3 and cycle[-1] > cycle[-2] / _DOWN and np.argmax(cycle) < len(cycle) - 3
    if fell_by_itself and rates[at - 1] < _BOTTOM * peak and rates[at] > _BOTTOM * peak:
        return True
    return sum(_alike(rates, at, other) for other in ups if other != at) >= 2


def _is_ramp(moves: Floats, this: int) -> bool:
    """Whether one of the moves beside this one is of its size: a steep rise that was logged seldom."""
    beside = np.delete(moves, this)
    return bool(np.any((beside > 0.4 * moves[this]) & (beside < 2.5 * moves[this])))


def _alike(rates: Floats, at: int, other: int) -> bool:
    return bool(np.allclose(rates[at - 1 : at + 1], rates[other - 1 : other + 1], rtol=_ALIKE))


def _return(rates: Floats, at: int) -> int | None:
    """The point where the rate jumps back to what it was; None when it does not."""
    normal, value = rates[at - 1], rates[at]
    near = np.flatnonzero(np.abs(rates[at:] - normal) < 0.3 * max(normal, 1e-300)) + at
    if not len(near):
        return None
    back = int(near[0])
    return back if abs(rates[back - 1] - rates[back]) > 0.5 * abs(value - normal) else None
