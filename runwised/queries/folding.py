"""Keeps what is folded of a run's metrics with the run, and goes on with it when there are more points."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from runwised.analysis.curve import Curve
from runwised.analysis.fold import Fold
from runwised.analysis.roles import Role
from runwised.analysis.stalls import Stalls
from runwised.index.view import RunView, Table
from runwised.settings import AnomalyDetection


class _Kept(NamedTuple):
    altered: int
    config: AnomalyDetection
    fold: Fold


class _KeptStalls(NamedTuple):
    rewinds: int
    rows: int
    step: int
    """Of the last row."""
    stalls: Stalls


def fold_of(run: RunView, table: Table, name: str, role: Role | None, config: AnomalyDetection) -> Fold:
    """What is to be kept of all points of a metric of the run's history or system table."""
    place = f"{'system' if table is run.system else 'history'} {name}"
    altered, count = table.altered(name), table.stats(name).count
    kept = run.memory.folds.get(place)
    fold = Fold.of(role)
    if kept is not None and (kept.altered, kept.config, kept.fold.role) == (altered, config, role):
        fold = _gone_on(kept.fold, table, name, config)
    if fold.total != count:
        fold = Fold.of(role).fed(Curve.of_series(table.series(name)), config)
    run.memory.folds[place] = _Kept(altered, config, fold)
    return fold


def _gone_on(fold: Fold, table: Table, name: str, config: AnomalyDetection) -> Fold:
    if not fold.total or fold.total == table.stats(name).count:
        return fold
    points = Curve.of_series(table.series(name, table.position(int(fold.last_step))))
    return fold.fed(points.part(1), config) if len(points.steps) and points.steps[0] == fold.last_step else fold


def stalls_of(run: RunView) -> Stalls:
    """The same of the times of the history's rows."""
    table, place = run.history, "times"
    kept, count = run.memory.folds.get(place), table.row_count
    if kept is None or not _still_stands(kept, run):
        kept = _KeptStalls(len(run.rewinds), 0, 0, Stalls())
    if kept.rows < count:
        steps = table.steps(kept.rows, count)
        taken = None if table.by_step else table.numbers(kept.rows, count) - np.arange(kept.rows, count)
        stalls = kept.stalls.fed(steps, table.times(kept.rows, count), taken)
        kept = _KeptStalls(len(run.rewinds), count, int(steps[-1]), stalls)
    run.memory.folds[place] = kept
    return kept.stalls


def _still_stands(kept: _KeptStalls, run: RunView) -> bool:
    """Whether all rows it knows are where they were: one that was put between them would have moved the last."""
    table, rows = run.history, kept.rows
    stands = 0 < rows <= table.row_count and kept.rewinds == len(run.rewinds)
    return stands and int(table.steps(rows - 1, rows)[0]) == kept.step
