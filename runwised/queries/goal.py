"""The metric that many runs are judged by: which one it is, which way is better, and what each run has of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import msgspec
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries.best import RankRuns
from runwise_protocol.queries.groups import GroupRuns, Groups
from runwise_protocol.queries.rank import Rank
from runwise_protocol.queries.sweep import Sweep, SweepRuns

from runwised.index.view import RunView, Stats
from runwised.queries.about import About
from runwised.queries.asked import asked
from runwised.queries.board import board_of, side_of
from runwised.queries.expression import known_metric
from runwised.queries.glance import Moment, best, stats_of
from runwised.queries.keysel import Direction
from runwised.queries.onward import listing, there
from runwised.queries.project import ProjectView
from runwised.render.layout import short
from runwised.render.numbers import Dress, number
from runwised.render.untrusted import clean

Judging: TypeAlias = GroupRuns | SweepRuns
Sided: TypeAlias = Judging | RankRuns | Rank
"""A question whose --max and --min say which way is better."""

_LOOKED_AT = 20
"""Runs whose main metrics decide by which one all are judged."""


class Goal(NamedTuple):
    """A metric and its better side."""

    key: str
    key_guessed: bool
    side: Direction
    guessed: bool
    """The side is known only from the metric's name."""

    @property
    def sign(self) -> int:
        """What values are multiplied by so that the least is best."""
        return -1 if self.side == "max" else 1


class Found(NamedTuple):
    """A run that logged the metric."""

    run: RunView
    stats: Stats
    config: Mapping[str, Any]
    top: Moment | None
    """Its best finite value; None: no value of it was finite."""


def about(query: Judging, view: ProjectView) -> About:
    """The runs without an index, where that is soon made: the answer counts those that are left out."""
    del query
    return About([run for run in view.runs if not run.indexed], "short")


def goal_of(query: Judging, view: ProjectView, runs: Sequence[RunView]) -> Goal:
    """What a question about `runs` judges them by. Raises RunwiseError where there is none, or no side is known."""
    side_said(query, view)
    if not view.runs:
        raise RunwiseError(Kind.NOT_FOUND, f"no runs under {clean(view.root)}", listing(view))
    if query.key is not None:
        known_metric(query.key, view.runs)
    key = query.key or _main(runs or view.runs, view)
    return Goal(key, query.key is None, *judged_by(query, key, view.runs, view))


def side_said(query: Sided, view: ProjectView) -> Direction | None:
    """The better side, where the question names one. Raises RunwiseError where it names both."""
    if query.max and query.min:
        raise RunwiseError(Kind.USAGE, "--max and --min are contrary", f"runwise {_sided(query, 'min', view)}")
    return "max" if query.max else "min" if query.min else None


def judged_by(query: Sided, key: str, runs: Sequence[RunView], view: ProjectView) -> tuple[Direction, bool]:
    """Which way a metric of `runs` is better, and whether that is a guess. Raises RunwiseError if nothing tells."""
    if said := side_said(query, view):
        return said, False
    side, guessed = side_of(runs, key, view.config)
    if side is None:
        message = f"nothing says which way {short(key)} is better"
        raise RunwiseError(Kind.USAGE, message, f"runwise {_sided(query, 'max', view)}, or --min")
    return side, guessed


def _main(runs: Sequence[RunView], view: ProjectView) -> str:
    board = board_of(runs[:_LOOKED_AT], view.config)
    if board is None:
        raise RunwiseError(Kind.NOT_FOUND, "none of the runs has a metric", listing(view))
    return board.key


def _sided(query: Sided, side: Direction, view: ProjectView) -> str:
    return asked(msgspec.structs.replace(query, max=side == "max", min=side == "min"), *there(view))


def found_in(runs: Sequence[RunView], goal: Goal) -> list[Found]:
    """The runs that logged the metric, in their order."""
    return [Found(run, stats, run.config, best(stats, goal.side)) for run in runs if (stats := stats_of(run, goal.key))]


def extreme(reply: Groups | Sweep, query: Judging) -> str:
    """What the best value is called: ``lowest`` or ``highest`` where nobody said that this is best."""
    declared = not reply.guessed and not query.max and not query.min
    return "best" if declared else {"min": "lowest", "max": "highest"}[reply.direction]


def probability(p: float | None, dress: Dress) -> str:
    """As much of a p as is worth saying."""
    return "-" if p is None else "<.001" if p < 0.001 else number(p, digits=2, dress=dress)
