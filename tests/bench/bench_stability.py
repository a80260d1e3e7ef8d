"""`stability` of a million points: every window's mean and deviation, against numpy over a view of all windows."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from runwised.analysis.windows import rolling
from runwised.formats.record import Floats
from runwised.index.view import Series
from runwised.queries.stability import steadiness
from tests.bench.harness import Report, calls

POINTS = 1_000_000
WIDTHS = 100, 1000, 10_000
SUMMED = 10_000_000
"""Numbers that numpy sums up in windows: a million windows of 10,000 would take it half a minute."""


def run(report: Report) -> None:
    """One row for each width, then the whole answer, and how it grows."""
    values = np.random.default_rng(7).normal(size=POINTS)
    for width in WIDTHS:
        windows = sliding_window_view(values, width)[: SUMMED // width]
        ours = calls(partial(rolling, values, width), 3).cpu
        theirs = calls(partial(windows.std, axis=1), 1).cpu * (POINTS - width + 1) / len(windows)
        report.row(f"windows of {width}, 1M points, s", ours, theirs, ours / theirs, "1 s")
    ours, short = (_answered(values[:points]) for points in (POINTS, POINTS // 10))
    report.row("whole answer, 1M points / 100k points, s", ours, short, ours / short, "1 s, <= 11")


def _answered(values: Floats) -> float:
    rows = np.arange(len(values))
    return calls(partial(steadiness, Series(rows, rows, rows * 1.0, values), 100, 500), 3).cpu


if __name__ == "__main__":
    run(Report())
