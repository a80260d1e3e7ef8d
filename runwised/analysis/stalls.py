"""Finds stalls: rows that came far later than rows of this run do, and rows that do not come any more."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from runwised.analysis.curve import Event, Floats, Ints, confidence

KEY = "_timestamp"
"""What W&B calls the time of a row; stalls are of all rows, not of a metric."""
LEAST_ROWS = 30
"""Rows that tell a run's cadence."""
_LEAST_SECONDS = 60.0
_TIMES_USUAL = 20.0
"""How many times the usual gap a stall is,"""
_TIMES_PAUSE = 4.0
"""and how many times the longest pauses that come again and again: evaluations, checkpoints."""
_SINGLE = 3
"""Gaps of one length that are not yet pauses that come again."""
_STARTING_UP = 3
"""Rows at either end whose gaps are no stalls: what is compiled at first, what is evaluated at last."""
_KEPT = 32
"""Gaps that are kept, the longest."""
_SHORTEST = 1e-3
_OCTAVE = 8
_BINS = 320
"""Of the gaps' lengths, from a millisecond on, eight for each factor of two."""


class Gap(NamedTuple):
    """Time between two rows."""

    seconds: float
    row: int
    """How many rows were before it."""
    step: int
    """Of the row before it."""
    end_step: int
    """Of the row after it."""


class Stalls(NamedTuple):
    """What is known of the time between a run's rows."""

    total: int = 0
    """Rows whose time is known."""
    step: int = 0
    time: float = math.nan
    """Of the last of them; seconds."""
    longest: tuple[Gap, ...] = ()
    lengths: Ints = np.zeros(_BINS, np.int64)
    """How many gaps are of which length."""

    def fed(self, steps: Ints, times: Floats) -> Stalls:
        """The same after more rows."""
        known = np.isfinite(times)
        if not known.any():
            return self
        steps, times = steps[known], times[known]
        gaps = np.maximum(np.diff(times, prepend=times[0] if math.isnan(self.time) else self.time), 0.0)
        places = np.log2(np.maximum(gaps, _SHORTEST) / _SHORTEST) * _OCTAVE
        first = 0 if self.total else 1
        lengths = self.lengths + np.bincount(np.minimum(places[first:], _BINS - 1).astype(int), minlength=_BINS)
        before = np.concatenate(([self.step], steps[:-1]))
        found = [
            Gap(float(gaps[at]), self.total + at, int(before[at]), int(steps[at]))
            for at in np.argsort(-gaps[first:], kind="stable")[:_KEPT].tolist()
            for at in [at + first]
        ]
        longest = sorted((*self.longest, *found), key=lambda gap: (-gap.seconds, gap.row))[:_KEPT]
        return Stalls(self.total + len(steps), int(steps[-1]), float(times[-1]), tuple(longest), lengths)

    @property
    def usual(self) -> float:
        """The median gap, seconds."""
        middle = int(np.searchsorted(np.cumsum(self.lengths), (self.total - 1) / 2))
        return float(_SHORTEST * 2 ** ((middle + 0.5) / _OCTAVE))

    def least(self, restarts: int = 0, back: Collection[int] = ()) -> float:
        """Seconds from which on a gap is a stall; infinite where the rows do not tell a cadence.

        Each of `restarts` accounts for one long gap. `back`: steps to which the run went back: what is before one of
        them holds the time of the rows that were taken back.
        """
        if self.total < LEAST_ROWS:
            return math.inf
        pauses = self._unexplained(restarts, back)[_SINGLE:]
        return max(_LEAST_SECONDS, _TIMES_USUAL * self.usual, _TIMES_PAUSE * pauses[0].seconds if pauses else 0.0)

    def _unexplained(self, restarts: int, back: Collection[int]) -> list[Gap]:
        """The longest gaps, without those that restarts and rewinds account for."""
        gaps = [gap for gap in self.longest if gap.end_step not in back]
        return gaps[max(0, restarts - (len(self.longest) - len(gaps))) :]

    def events(self, restarts: int = 0, back: Collection[int] = ()) -> list[Event]:
        """The stalls it came back from, by onset; see `least`."""
        least = self.least(restarts, back)
        inside = range(_STARTING_UP, self.total - _STARTING_UP)
        found = [gap for gap in self._unexplained(restarts, back) if gap.seconds > least and gap.row in inside]
        return [
            self._event(gap.step, gap.end_step, gap.seconds, least) for gap in sorted(found, key=lambda gap: gap.row)
        ]

    def lasting(self, now: float, restarts: int = 0, back: Collection[int] = ()) -> list[Event]:
        """The stall that a run which should be going is in at this time (epoch seconds), if it is; see `least`."""
        silent, least = now - self.time, self.least(restarts, back)
        return [self._event(self.step, None, silent, least)] if silent > least else []

    def _event(self, step: int, end: int | None, seconds: float, least: float) -> Event:
        return Event("stalled", KEY, step, end, seconds, self.usual, confidence(seconds, least))
