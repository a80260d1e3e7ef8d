"""Whether a run goes on, and when it will be through."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from runwised.index.view import RunView
from runwised.queries.totals import Rate, Total, rate, total_steps
from runwised.render.layout import short
from runwised.render.numbers import number


def lives(run: RunView) -> bool:
    """Whether it runs; W&B writes nothing for the first seconds, but its process is there."""
    state, _, _, pid = run.condition
    return state == "running" or (state == "empty" and pid is not None)


def any_lives(runs: Iterable[RunView]) -> bool:
    """Whether one of them does."""
    return any(lives(run) for run in runs)


def eta(run: RunView) -> tuple[int | None, float | None]:
    """How many steps it is to take, and in how many seconds it will have, at its present rate; as far as is known."""
    total = total_steps(run)
    return (total.steps, seconds_left(run, total, rate(run))) if total else (None, None)


def seconds_left(run: RunView, total: Total | None, pace: Rate) -> float | None:
    """How long a run takes yet for all its steps, at its present rate; None where that is not known, or it is over."""
    left = -1 if total is None else total.steps - (run.step or 0)
    return left / pace.recent if pace.recent and left >= 0 and lives(run) else None


def numbers(metrics: Mapping[str, float]) -> list[str]:
    """Metrics with their values, one text each."""
    return [f"{short(key)} {number(value)}" for key, value in metrics.items()]
