"""Finds where NaN or infinity sets in, point by point."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from runwised.analysis.curve import LARGEST, Curve, Event, Floats

_BEFORE = 10
"""Points before the first bad one that tell what was normal."""
_STARTING_UP = 0.02
"""Share of a run within which a few overflows are a loss scale that finds its size."""


class Nonfinite(NamedTuple):
    """What is known of a curve's values that are no numbers."""

    total: int = 0
    """Points."""
    bad: int = 0
    """Of these, not finite."""
    first: int = -1
    """Index of the first that is not,"""
    step: float = 0.0
    """its step"""
    value: float = 0.0
    """and its value."""
    last: int = -1
    """Index of the last that is not,"""
    end_step: float | None = None
    """and the step of the point after it, once there is one."""
    before: Floats = np.empty(0)
    """The last points before the first bad one."""

    def fed(self, points: Curve) -> Nonfinite:
        """The same after more points."""
        steps, values = points
        if not len(steps):
            return self
        bad = np.flatnonzero(~np.isfinite(values))
        known = self
        if known.first < 0:
            stop = int(bad[0]) if len(bad) else len(values)
            known = known._replace(
                before=np.concatenate((known.before, values[max(0, stop - _BEFORE) : stop]))[-_BEFORE:]
            )
        if known.last >= 0 and known.end_step is None:
            known = known._replace(end_step=float(steps[0]))
        if len(bad):
            at, last = int(bad[0]), int(bad[-1])
            if known.first < 0:
                known = known._replace(first=known.total + at, step=float(steps[at]), value=float(values[at]))
            end = float(steps[last + 1]) if last + 1 < len(steps) else None
            known = known._replace(last=known.total + last, end_step=end, bad=known.bad + len(bad))
        return known._replace(total=known.total + len(steps))

    def events(self, key: str) -> list[Event]:
        """One event at most: the first NaN or infinity, and where the last one was over."""
        if self.first < 0:
            return []
        lasting = self.end_step is None
        in_one_go = self.last + 1 - self.first == self.bad
        settled = self.first <= _STARTING_UP * self.total and not lasting and in_one_go
        sure = 0.5 if settled or (lasting and self.first == 0) else 1.0 if lasting else 0.9
        normal = float(np.median(np.clip(self.before, -LARGEST, LARGEST))) if self.first else np.nan
        end = None if self.end_step is None else int(self.end_step)
        return [Event("nonfinite", key, int(self.step), end, self.value, normal, sure)]
