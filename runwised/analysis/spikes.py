"""Finds spikes: rises far above the level on both sides of them, from one row to a fiftieth of the run long."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from runwised.analysis.curve import Curve, Event, Flags, Floats, confidence, event
from runwised.analysis.rolling import levels, medians, stretches
from runwised.settings import AnomalyDetection

_LEAST_POINTS = 12
_LEAST_WINDOW = 8
_LEAST_HEIGHT = 0.1
"""Share of the level that a spike must rise by to matter."""
_MARGIN = 1.5
_USUAL_THRESHOLD = 3.5
_COARSER = 25
"""Points that make one of the next scale."""
_LONGEST = 0.02
"""Share of the run. What takes longer to come back is a change of what is learnt: harder data, another rate."""
_MOST = 50
"""Spikes told of one curve, the highest."""


class _Spike(NamedTuple):
    start: int
    stop: int
    normal: float
    score: float
    least: float


def spikes(key: str, curve: Curve, config: AnomalyDetection, among: int = 0) -> list[Event]:
    """Of a finite curve, in its order; `among`: points of all the curve, where this is a part of it.

    A point's score is its distance from the higher of the medians before and after it, in robust standard deviations
    (1.4826 MAD): neither a steep fall nor a step up to a new level scores. It must pass `spike_threshold` and what
    the curve's own noise reaches by chance among so many points, see `_reach`. A spike is at most half a window long;
    longer ones are looked for among medians of 25 points, then of 625, and so on.
    """
    found: list[_Spike] = []
    values, size = curve.values, 1
    while len(values) >= _LEAST_POINTS:
        longest = config.spike_window // 2 if size == 1 else int(_LONGEST * len(values))
        for spike in _of_scale(values, longest, config, among // size):
            whole = spike if size == 1 else _refined(spike, curve.values, size)
            if not any(whole.start < other.stop and other.start < whole.stop for other in found):
                found.append(whole)
        size *= _COARSER
        usable = len(values) // _COARSER * _COARSER
        values = medians(values[:usable].reshape(-1, _COARSER))
    found = sorted(found, key=lambda spike: -spike.score)[:_MOST]
    return [_told(key, curve, spike) for spike in sorted(found)]


def _told(key: str, curve: Curve, spike: _Spike) -> Event:
    top = float(np.max(curve.values[spike.start : spike.stop]))
    sure = confidence(spike.score, spike.least)
    return event("spike", key, curve, spike.start, spike.stop, top, spike.normal, sure)


def _of_scale(values: Floats, longest: int, config: AnomalyDetection, among: int) -> list[_Spike]:
    """The highest of the stretches of raised points that hold a high one and are no longer than this."""
    window = max(_LEAST_WINDOW, min(config.spike_window, len(values) // 4))
    longest = min(longest, window // 2)
    level, noise = _surroundings(values, window)
    height = values - level
    score = height / noise
    least = max(config.spike_threshold, _MARGIN * _reach(score, among) * config.spike_threshold / _USUAL_THRESHOLD)
    high = (score > least) & (height > _LEAST_HEIGHT * np.abs(level)) & _tall_as_ratio(values, level, among)
    raised = stretches(score > least / 2)
    sums = np.concatenate(([0], np.cumsum(high)))
    holding = (sums[raised.stops] > sums[raised.starts]) & (raised.stops - raised.starts <= longest)
    found = []
    for start, stop in zip(raised.starts[holding].tolist(), raised.stops[holding].tolist(), strict=True):
        spike = _Spike(start, stop, float(level[start]), float(score[start:stop].max()), least)
        if stop - start <= longest // 2 or not _goes_on(values, spike):
            found.append(spike)
    return sorted(found, key=lambda spike: -spike.score)[:_MOST]


def _goes_on(values: Floats, spike: _Spike) -> bool:
    """Whether it only seems over because it is what is usual by now: the next coarser scale sees all of it."""
    after = values[spike.stop : spike.stop + (spike.stop - spike.start) // 4]
    middle = float(np.median(values[spike.start : spike.stop]))
    return len(after) > 0 and float(np.median(after)) > (spike.normal + middle) / 2


def _refined(spike: _Spike, values: Floats, size: int) -> _Spike:
    """A spike among medians of `size` points, as points: those between the first and the last above half its height."""
    first, last = max(0, (spike.start - 1) * size), min(len(values), (spike.stop + 1) * size)
    part = values[first:last]
    middle = float(np.median(values[spike.start * size : spike.stop * size]))
    above = np.flatnonzero(part > (spike.normal + middle) / 2)
    return spike._replace(start=first + int(above[0]), stop=first + int(above[-1]) + 1)


def _surroundings(values: Floats, window: int) -> tuple[Floats, Floats]:
    """Level and noise per point. The first points, with no window before them, have no level: a begin is no spike."""
    near = levels(values, window)
    # Where no whole window lies before a point a shorter one does.
    begin = levels(values[: 2 * window], max(_LEAST_WINDOW, window // 5))
    missing = np.flatnonzero(np.isnan(near.before[: 2 * window]))
    near.before[missing], near.noise_before[missing] = begin.before[missing], begin.noise_before[missing]
    after = np.where(np.isnan(near.after), near.before, near.after)
    level = np.fmax(near.before, after)
    noise = np.fmax(near.noise_before, np.where(np.isnan(near.noise_after), 0.0, near.noise_after))
    floor = 0.002 * np.abs(level) + 1e-12 * float(np.max(np.abs(values))) + np.finfo(np.float64).tiny
    return np.where(np.isnan(near.before), np.inf, level), np.fmax(noise, floor)


def _reach(score: Floats, among: int) -> float:
    """The score that one in twenty curves of this length, or of `among` points, reaches by chance, going by its own
    tail.

    The 75th and the 95th percentile give the scores gained for each tenfold rarer point; the tail is taken to go on
    like that, which is exact for exponential noise and on the safe side for normal noise.
    """
    known = np.sort(score[np.isfinite(score)])
    if not len(known):
        return np.inf
    low, high = _quantile(known, 0.75), _quantile(known, 0.95)
    return high + max(0.0, high - low) / math.log10(5) * math.log10(max(len(known), among))


def _quantile(ordered: Floats, share: float) -> float:
    """Between the two nearest of these values in order, as `np.quantile` does, which takes several times as long."""
    at = share * (len(ordered) - 1)
    low, high = ordered[int(at)].item(), ordered[math.ceil(at)].item()
    return float(low + (high - low) * (at - int(at)))


def _tall_as_ratio(values: Floats, level: Floats, among: int) -> Flags:
    """Whether it is out of the ordinary too where the noise is taken to be a factor (gradient norms, single batches).

    A curve that is not positive is lifted to be.
    """
    lowest = float(values.min())
    lift = 0.0 if lowest > 0 else float(np.median(values)) - 2 * lowest
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = np.log(values + lift) - np.log(level + lift)
    tall: Flags = logs > _reach(logs, among)
    return tall
