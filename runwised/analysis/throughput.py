"""Finds drops in throughput that last; single slow rows (a checkpoint, an evaluation) are none."""

from __future__ import annotations

import numpy as np

from runwised.analysis.curve import Curve, Event, confidence, event
from runwised.analysis.sustained import changes, usual
from runwised.settings import AnomalyDetection

_LEAST_POINTS = 24
_SUSTAINED = 10
"""Points that a drop must last."""
_SHORTEST_SECONDS = 1e-100
_BACK = 0.5
"""Share of the loss that must be made up for the drop to be over."""


def drops(key: str, curve: Curve, config: AnomalyDetection) -> list[Event]:
    """Of a finite curve: where it falls by more than `throughput_drop_threshold` of its usual level."""
    if len(curve.values) < _LEAST_POINTS:
        return []
    kept = 1 - config.throughput_drop_threshold
    normal = usual(curve, config.spike_window).high
    off = (curve.values < kept * normal) & (normal > 0)
    events = []
    back = 1 - (1 - kept) * _BACK
    for found in changes(curve.values, normal, off, back, _SUSTAINED):
        if found.stop - found.start < _SUSTAINED:
            continue
        level = float(np.median(curve.values[found.start : found.stop]))
        sure = confidence(1 - level / found.normal, config.throughput_drop_threshold)
        events.append(event("throughput_drop", key, curve, found.start, found.stop, level, found.normal, sure))
    return events


def slowdowns(key: str, curve: Curve, config: AnomalyDetection) -> list[Event]:
    """The same of a metric that is a time for each step."""
    timed = curve.values > _SHORTEST_SECONDS
    rates = Curve(curve.steps[timed], 1 / curve.values[timed])
    return [found._replace(value=1 / found.value, normal=1 / found.normal) for found in drops(key, rates, config)]
