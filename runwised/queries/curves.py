"""Which curves a `history` question means, sampled over a common range of rows, and where they stand on its axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries.history import History
from runwise_protocol.query import Number

from runwised.formats.record import Floats, Ints
from runwised.index.view import Buckets, RunView
from runwised.queries.keysel import main_metrics, select
from runwised.queries.onward import onward
from runwised.queries.project import ProjectView
from runwised.queries.resolve import handle, resolve
from runwised.queries.rows import place
from runwised.render.untrusted import clean

_AXIS_LOOKBACK = 64
"""Rows that are looked at first for the axis metric's latest value."""


class Selection(NamedTuple):
    """Which curves, over which rows."""

    run: RunView
    keys: Sequence[str]
    start: int
    """Position of the first row."""
    stop: int
    x: str
    view: ProjectView
    """Where the run was found."""

    def sample(self, most: int) -> dict[str, Buckets]:
        """The curves in at most `most` buckets each; equal slots are the same share of the range in all of them."""
        return {key: self.run.history.sample(key, most, self.start, self.stop) for key in self.keys}

    def ends(self, buckets: Buckets) -> tuple[Sequence[Number | None], Sequence[Number | None]]:
        """Where each bucket begins and ends on the axis; None where the axis metric had no value yet."""
        if self.x == "step":
            return buckets.step_from.tolist(), buckets.step_to.tolist()
        if self.x == "time":
            zero = self.run.created or 0.0
            return none_for_nan(buckets.time_from - zero), none_for_nan(buckets.time_to - zero)
        return self._held(buckets.step_from), self._held(buckets.step_to)

    def _held(self, steps: Ints) -> list[Number | None]:
        """The axis metric at these rows, or its latest value before them."""
        return [self._latest(self.run.history.position(step) + 1) for step in steps.tolist()]

    def _latest(self, stop: int) -> Number | None:
        width = _AXIS_LOOKBACK
        while True:
            values = self.run.history.series(self.x, max(0, stop - width), stop).values
            if len(values):
                return float(values[-1])
            if width >= stop:
                return None
            width *= 16


def selection(query: History, view: ProjectView) -> Selection:
    """What the query means for this run. Raises RunwiseError."""
    run = resolve(query.run, view)
    table = run.history
    hint = onward(view, "keys", handle(run, view))
    keys = select(query.keys, table.names, hint=hint) if query.keys else main_metrics(run, view.config)
    if query.x not in ("step", "time", *table.names):
        raise RunwiseError(Kind.NOT_FOUND, f"no axis '{clean(query.x)[:100]}'; expected step, time or a metric", hint)
    first, last = _steps(query)
    start = 0 if first is None else place(table, first)
    stop = table.row_count if last is None else place(table, last + 1)
    return Selection(run, keys, start, max(start, stop), query.x, view)


def _steps(query: History) -> tuple[int | None, int | None]:
    """First and last step asked for, both inclusive."""
    if query.around is not None:
        if query.start is not None or query.end is not None:
            raise RunwiseError(
                Kind.USAGE, "--around excludes --from and --to", "runwise history --around STEP --window N"
            )
        return query.around - query.window, query.around + query.window
    if query.start is not None and query.end is not None and query.start > query.end:
        message = f"--from {query.start} is after --to {query.end}"
        raise RunwiseError(Kind.USAGE, message, f"runwise history --from {query.end} --to {query.start}")
    return query.start, query.end


def none_for_nan(values: Floats) -> list[Number | None]:
    """The numbers as a list, None where there is none."""
    found: list[Number | None] = values.tolist()
    for at in np.flatnonzero(np.isnan(values)).tolist():
        found[at] = None
    return found
