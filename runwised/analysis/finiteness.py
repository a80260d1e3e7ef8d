"""Finds values that are no numbers: where NaN or infinity sets in, and averages that repeat because one was hidden."""

from __future__ import annotations

import numpy as np

from runwised.analysis.curve import Curve, Event, Flags, Floats, event
from runwised.analysis.rolling import stretches

_LEAST_REPEATS = 10
_LEAST_REPEATS_VALIDATION = 5
_LEAST_CONSTANT = 50
"""Points of a curve that never had but one value, to be called frozen."""
_STEPS_AWAY = 3.0
_MOST = 20
_CHANCE = 1e-3
"""A stretch of equal values is passed over where values that repeat as often as this curve's make one by chance."""
_STARTING_UP = 0.02
"""Share of a run within which a few overflows are a loss scale that finds its size."""


def nonfinite(key: str, curve: Curve) -> list[Event]:
    """One event at most: the first NaN or infinity, and where the last one was over."""
    bad = np.flatnonzero(~np.isfinite(curve.values))
    if not len(bad):
        return []
    first, end = int(bad[0]), int(bad[-1]) + 1
    before = curve.part(max(0, first - 10), first).finite().values
    normal = float(np.median(before)) if first else np.nan
    lasting = end == len(curve.values)
    settled = first <= _STARTING_UP * len(curve.values) and not lasting and end - first == len(bad)
    sure = 0.5 if settled or (lasting and first == 0) else 1.0 if lasting else 0.9
    return [event("nonfinite", key, curve, first, end, curve.values[first], normal, sure)]


def frozen(key: str, curve: Curve, *, validation: bool = False) -> list[Event]:
    """Stretches in which a curve that used to change repeats one value exactly.

    Trainers that replace a NaN by the mean of the others log the same average over and over. Values of few digits
    repeat by chance, the more the flatter the curve: a stretch counts when ``n * p ** repeats`` is below one in a
    thousand, `p` being how often neighbours are equal otherwise, or just before it when that is more.
    """
    values = curve.values
    n = len(values)
    same = (values[1:] == values[:-1]) & np.isfinite(values[1:])
    found = stretches(same)
    repeats = found.stops - found.starts
    least = _LEAST_REPEATS_VALIDATION if validation else _LEAST_REPEATS
    if len(repeats) == 1 and repeats[0] + 1 == n:
        constant = n >= _LEAST_CONSTANT and values[0] != 0
        return [event("frozen", key, curve, 0, None, values[0], np.nan, 0.5)] if constant else []
    equal = int(same.sum())
    events = []
    for at in np.flatnonzero((repeats + 1 >= least) & (found.starts > 0)).tolist():
        start, stop = int(found.starts[at]), int(found.stops[at])
        before = curve.part(max(0, start - 10), start).finite().values
        if not len(before) or not _is_unlikely(same, start, stop, equal):
            continue
        normal = float(np.median(before))
        # A curve that goes to zero by itself may stay there.
        if values[start] == 0 and _leads_to_zero(before):
            continue
        sure = 1 - 0.5 * least / (stop - start + 1)
        events.append(event("frozen", key, curve, start, stop + 1, values[start], normal, sure))
    return sorted(events, key=lambda found: -found.confidence)[:_MOST]


def _leads_to_zero(before: Floats) -> bool:
    """Whether zero is no further from the last of these values than they are from each other."""
    return len(before) < 2 or bool(abs(before[-1]) <= _STEPS_AWAY * np.median(np.abs(np.diff(before))))


def _is_unlikely(same: Flags, start: int, stop: int, equal: int) -> bool:
    """Whether chance makes no such stretch; `equal` counts all neighbours that are."""
    repeats = stop - start
    everywhere = (equal - repeats + 1) / (len(same) - repeats + 2)
    near = same[max(0, start - 3 * repeats) : start]
    nearby = (int(near.sum()) + 0.5) / (len(near) + 1)
    return float((len(same) + 1) * max(everywhere, nearby) ** repeats) < _CHANCE
