"""Finds what a machine suffers from: memory that fills up, and GPUs that have nothing to do. Of percentages."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from runwised.analysis.curve import Curve, Event, Floats, confidence, event
from runwised.analysis.kink import kink
from runwised.analysis.roles import Role
from runwised.analysis.rolling import blocks, mostly, noise_of, smooth, stretches

LEAST_SAMPLES = 30
_FULL: dict[Role, float] = {"gpu_memory": 97.0, "host_memory": 95.0}
"""Percent from which on little is left."""
_ROSE = 3.0
"""Percent that a GPU's memory must have risen by before it counts as filling up: allocators take what there is."""
_SUSTAINED = 5
_PARTS = 8
_GROWING = 3
"""Of eight parts of a run: those at its end in which memory must have grown,"""
_LEAST_GROWTH = 8.0
"""by so many percent,"""
_EVEN = 0.4
"""the last time by this share of the mean."""
_FLAT = 0.3
"""Share of the later growth that the earlier one may be, to be none."""
_LOW = 30.0
"""Percent of its time below which a GPU is not made use of."""
_LEAST_LOW = 0.1
"""Share of the run that must be so;"""
_LONG_START = 0.3
"""and when it is from the first sample on."""
_HELD = 5.0
"""Percent of its memory that a GPU holds at least when the run uses it."""
_NUMBER = re.compile(r"gpu[./](\d+)[./]")


def machine(curves: Mapping[str, Curve], roles: Mapping[str, Role]) -> list[Event]:
    """All events on the finite curves of a machine's samples."""
    held = {name: curves[name].values for name, role in roles.items() if role == "gpu_memory"}
    busy = {name: curves[name].values for name, role in roles.items() if role == "utilisation"}
    events = [found for name in _used(busy, held) for found in low_utilisation(name, curves[name])]
    for name, role in roles.items():
        if role in _FULL:
            events += memory(name, curves[name], role)
    return events


def memory(key: str, curve: Curve, role: Role) -> list[Event]:
    """Of a finite curve: at most one event, where the memory is almost full or grows steadily towards that."""
    n = len(curve.values)
    if n < LEAST_SAMPLES or np.min(curve.values) < 0 or np.max(curve.values) > 101:
        return []
    return _growing(key, curve) or _full(key, curve, role)


def _full(key: str, curve: Curve, role: Role) -> list[Event]:
    values, n = curve.values, len(curve.values)
    settled = float(np.median(values[n // 20 : max(n // 20 + 3, n * 3 // 20)]))
    limit = _FULL[role]
    high = np.flatnonzero(mostly(values >= limit, max(_SUSTAINED, n // 50)))
    if not len(high) or n - high[0] < _SUSTAINED or (role == "gpu_memory" and settled > limit - _ROSE):
        return []
    start = int(high[0])
    below = np.flatnonzero(mostly(values[start:] < limit - 1, _SUSTAINED))
    end = start + int(below[0]) if len(below) else n
    level = float(np.median(values[start:end]))
    return [event("memory", key, curve, start, end, level, settled, confidence(level, limit))]


def _growing(key: str, curve: Curve) -> list[Event]:
    values = curve.values
    parts = np.array([np.median(part) for part in np.array_split(values, _PARTS)])
    noise = noise_of(smooth(values, 5))
    grows = np.diff(parts) > max(0.3, noise)
    begun = int(np.flatnonzero(~grows)[-1]) + 1 if not grows.all() else 0
    moves = np.diff(parts[begun:])
    growth = float(moves.sum())
    if len(moves) < _GROWING or growth < _LEAST_GROWTH or moves[-1] < _EVEN * moves.mean():
        return []
    # As much time again as the run had so far.
    if parts[-1] + _PARTS * min(moves[-1], float(moves.mean())) < 100:
        return []
    start = _onset(curve)
    end = float(np.median(values[-_SUSTAINED:]))
    before = float(np.median(values[:start])) if start else float(values[0])
    return [event("memory", key, curve, start, None, end, before, confidence(growth, _LEAST_GROWTH))]


def _onset(curve: Curve) -> int:
    """Where it began to grow after it had not: at its first point when it always did."""
    cut = blocks(curve)
    bend = kink(cut.steps, cut.levels)
    always = bend is None or abs(bend.before) > _FLAT * bend.after
    return 0 if bend is None or always else int(np.searchsorted(curve.steps, bend.step))


def low_utilisation(key: str, curve: Curve) -> list[Event]:
    """Of a finite curve: where a GPU has little to do for a tenth of the run, its start-up not counted."""
    values, n = curve.values, len(curve.values)
    if n < LEAST_SAMPLES:
        return []
    low = smooth(values, min(31, max(5, n // 50 * 2 + 1))) < _LOW
    found = stretches(low)
    events = []
    for start, stop in zip(found.starts.tolist(), found.stops.tolist(), strict=True):
        if stop - start < max(10, (_LONG_START if start < _SUSTAINED else _LEAST_LOW) * n):
            continue
        level = float(np.median(values[start:stop]))
        usual = float(np.median(values[~low])) if not low.all() else np.nan
        events.append(event("low_utilisation", key, curve, start, stop, level, usual, confidence(_LOW, level + 1)))
    return events


def _used(utilisation: Mapping[str, Floats], held: Mapping[str, Floats]) -> list[str]:
    """Of GPUs, by the names of their utilisation, those the run uses: it holds memory there, or had it work.

    `held`: the memory in use, where it was logged. Other GPUs of a machine are somebody else's.
    """
    full = {_number(name) for name, values in held.items() if len(values) and np.median(values) >= _HELD}
    return [
        name
        for name, values in utilisation.items()
        if _number(name) in full or (len(values) and np.quantile(values, 0.95) >= _LOW)
    ]


def _number(name: str) -> str:
    """A GPU's number, from the name of one of its metrics."""
    found = _NUMBER.search(name)
    return found[1] if found else ""
