"""What a run's system samples tell of the machine, at the steps of its history that are nearest in time."""

from __future__ import annotations

import math

from runwised.analysis.curve import Event
from runwised.analysis.fold import seen
from runwised.analysis.roles import Role, system_roles
from runwised.analysis.usage import machine
from runwised.index.view import RunView, Table
from runwised.queries.folding import fold_of
from runwised.settings import AnomalyDetection


def machine_roles(run: RunView) -> dict[str, Role]:
    """The system metrics that are looked at."""
    return system_roles(run.system.names)


def machine_events(run: RunView, config: AnomalyDetection) -> list[Event]:
    """Memory that fills up, and GPUs with little to do."""
    roles = machine_roles(run)
    curves = {
        name: seen(name, fold_of(run, run.system, name, role, config), config).whole for name, role in roles.items()
    }
    return [_at_history(found, run) for found in machine(curves, roles)] if run.history.row_count else []


def _at_history(found: Event, run: RunView) -> Event:
    ended = None if found.end_step is None else _nearest(found.end_step, run)
    step = _nearest(found.step, run)
    return found._replace(step=step, end_step=None if ended is None else max(ended, step))


def _nearest(sample: int, run: RunView) -> int:
    """The step that was logged nearest to a sample in time."""
    at = run.system.position(sample)
    time = _time(run.system, min(at, run.system.row_count - 1))
    after = _first_after(run.history, time)
    before = max(0, after - 1)
    after = min(after, run.history.row_count - 1)
    nearer = before if abs(_time(run.history, before) - time) <= abs(_time(run.history, after) - time) else after
    return int(run.history.steps(nearer, nearer + 1)[0])


def _first_after(table: Table, time: float) -> int:
    """Position of the first row at or after a time; times increase as a rule."""
    low, high = 0, table.row_count
    while low < high:
        middle = (low + high) // 2
        found = _time(table, middle)
        if math.isnan(found) or found < time:
            low = middle + 1
        else:
            high = middle
    return low


def _time(table: Table, position: int) -> float:
    return float(table.times(position, position + 1)[0])
