"""Whether what is waited for has come to pass in a run, and what shows it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import NamedTuple

import numpy as np
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.expression_tree import (
    Comparison,
    Expression,
    Metric,
    Nonfinite,
    Or,
    Property,
    Waiting,
    leaves,
)

from runwised.index.kept import Mark
from runwised.index.view import RunView
from runwised.queries.expression import check, holds, value
from runwised.queries.glance import names_of
from runwised.queries.keysel import meant_by, select
from runwised.queries.lately import new_events
from runwised.queries.moments import new_points
from runwised.queries.project import ProjectView
from runwised.render.layout import short

_ALIKE = 0.9
_CLOCK_SECONDS = 5.0
"""How often a condition on an age is tried."""
_ORDERS = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}


class Hit(NamedTuple):
    """A clause that holds, and what shows it."""

    clause: str | None
    key: str | None
    step: int | None
    value: float | str | None


NO_HIT = Hit(None, None, None, None)


def check_waiting(tree: Expression, runs: list[RunView], view: ProjectView) -> None:
    """Refuse what can never come to pass. Raises RunwiseError.

    A metric that no run has logged may still come; one that differs from a logged one by a slip of the pen will not.
    """
    known = dict.fromkeys(name for run in view.runs for name in names_of(run)) if runs else {}
    for leaf in leaves(tree):
        if isinstance(leaf, Metric):
            near = [] if leaf.key in known else [name for name in known if _is_slip(leaf.key, name)]
            if near:
                select([leaf.key], near, hint="runwise keys")
        elif not isinstance(leaf, Waiting | Nonfinite | Metric):
            check(leaf, view.runs, view)


def _is_slip(typed: str, name: str) -> bool:
    plain, other = (re.sub(r"\W|_", "", text.casefold()) for text in (typed, name))
    return plain == other or SequenceMatcher(None, plain, other).ratio() >= _ALIKE


def hit(tree: Expression, run: RunView, view: ProjectView, began: Mark) -> Hit | None:
    """What has come to pass since `began`, or holds now; None: nothing.

    A comparison of a metric's value, alone or behind ``or``, is found where it held for any of the new points, at the
    first of them. What is joined by ``and`` or turned by ``not`` must be so at the moment.
    """
    if isinstance(tree, Or):
        return next((found for clause in tree.clauses if (found := hit(clause, run, view, began))), None)
    if isinstance(tree, Comparison) and isinstance(tree.left, Metric) and tree.left.part == "last":
        found = _point(tree, tree.left.key, run, view, began)
        if found is not None:
            return found
    return _shown(tree, run, view, began) if _holds(tree, run, view, began) else None


def _holds(tree: Expression, run: RunView, view: ProjectView, began: Mark) -> bool:
    return holds(tree, run, view, lambda clause: _has_come(clause, run, view, began)) is True


def _has_come(clause: Waiting, run: RunView, view: ProjectView, began: Mark) -> bool:
    if clause.what == "stalled":
        return run.condition.state == "running" and silence(run, view) > clause.seconds
    if clause.what == "anomaly":
        return bool(new_events(run, view.config, began))
    return any(_logged(run, clause.pattern, began))


def silence(run: RunView, view: ProjectView) -> float:
    """Seconds since the program's last sign, or since its start."""
    heard = run.heard or run.created
    return 0.0 if heard is None else max(0.0, view.now - heard)


def _logged(run: RunView, pattern: str, began: Mark) -> Iterator[tuple[str, int, float]]:
    """The metrics that fit a name or glob and were logged since, each with step and value of the first time."""
    for name in meant_by(pattern, run.history.names):
        points = new_points(run, name, began)
        if points is not None and len(points.steps):
            yield name, int(points.steps[0]), float(points.values[0])


def _point(tree: Comparison, key: str, run: RunView, view: ProjectView, began: Mark) -> Hit | None:
    """The first of a metric's new points for which the comparison holds."""
    compare = _ORDERS.get(tree.op)
    limit = value(tree.right, run, view)
    if compare is None or not isinstance(limit, float):
        return None
    points = new_points(run, key, began)
    if points is None:
        return None
    at = np.flatnonzero(compare(points.values, limit))
    if not len(at):
        return None
    return Hit(str(tree), key, int(points.steps[at[0]]), float(points.values[at[0]]))


def _shown(tree: Expression, run: RunView, view: ProjectView, began: Mark) -> Hit:
    """What shows that a clause holds: the first metric or property in it, with its value."""
    clause = str(tree)
    for leaf in leaves(tree):
        if isinstance(leaf, Waiting):
            shown = _waited(leaf, run, view, began)
            if shown is not None:
                return Hit(clause, *shown)
        elif isinstance(leaf, Metric):
            found = value(leaf, run, view)
            if isinstance(found, float):
                return Hit(clause, leaf.key, _step(leaf, run), found)
        elif isinstance(leaf, Nonfinite):
            bad = _first_bad(leaf, run)
            if bad is not None:
                return Hit(clause, *bad)
        elif isinstance(leaf, Property):
            found = value(leaf, run, view)
            text = ", ".join(found) if isinstance(found, tuple) else found
            return Hit(clause, leaf.name, run.step, text)
    return Hit(clause, None, run.step, None)


def _waited(
    leaf: Waiting, run: RunView, view: ProjectView, began: Mark
) -> tuple[str | None, int | None, float | str | None] | None:
    if leaf.what == "stalled":
        return "stalled", run.step, silence(run, view)
    if leaf.what == "anomaly":
        event = next(iter(new_events(run, view.config, began)), None)
        return None if event is None else (event.key, event.step, event.kind)
    return next(_logged(run, leaf.pattern, began), None)


def _step(metric: Metric, run: RunView) -> int | None:
    try:
        found = run.history.stats(metric.key)
    except KeyError:
        return run.step
    steps = {"min": found.min_step, "max": found.max_step, "first": found.first_step}
    return steps.get(metric.part, found.last_step)


def _first_bad(leaf: Nonfinite, run: RunView) -> tuple[str, int, float] | None:
    """The metric of those meant that was not finite first."""
    steps: list[tuple[int, str]] = []
    for name in meant_by(leaf.pattern, run.history.names):
        step = run.history.stats(name).first_nonfinite_step
        if step is not None:
            steps.append((step, name))
    if not steps:
        return None
    step, name = min(steps)
    at = run.history.position(step)
    points = run.history.series(name, at, at + 1)
    return name, step, float(points.values[0]) if len(points.values) else math.nan


def recheck_seconds(tree: Expression, run: RunView, view: ProjectView) -> float | None:
    """When the condition could come to hold without anything happening to the run; None: it could not."""
    waits: list[float] = []
    for leaf in leaves(tree):
        if isinstance(leaf, Waiting) and leaf.what == "stalled":
            waits.append(max(leaf.seconds - silence(run, view), 0.0) + 0.05)
        elif isinstance(leaf, Property) and leaf.name in ("age", "runtime"):
            waits.append(_CLOCK_SECONDS)
    return min(waits, default=None)


def usage(error: RunwiseError) -> RunwiseError:
    """An error of the expression, as one about ``--until``."""
    return RunwiseError(Kind.USAGE, f"--until: {short(error.message)}", error.hint)


def metrics_of(tree: Expression) -> list[str]:
    """The metrics that a condition compares, each once."""
    found = [leaf.key for leaf in leaves(tree) if isinstance(leaf, Metric)]
    return list(dict.fromkeys(found))
