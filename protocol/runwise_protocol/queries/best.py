"""`best`: runs in the order of the best value that a metric ever had in each."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from runwise_protocol.query import Condition, Count, Number, Query, Reply, Word


class RankedRun(msgspec.Struct, kw_only=True):
    """One run, by the best finite value of the metric over its whole history."""

    id: str
    name: str
    value: Number
    step: int
    state: str
    last: Number
    """The metric's last value; one that is not finite did not end the ranking of the run."""
    last_step: int
    nonfinite: int
    """Points that are NaN or infinite."""
    near: str | None = None
    """``tied``: the same value as the first run; ``within noise``: no further from it than either run's own curve
    swings; None otherwise, or where a curve has too few points to tell."""


class Ranking(Reply, kw_only=True):
    """Answer to `best`."""

    key: str
    direction: str
    """``min`` or ``max``."""
    guessed: bool
    """The direction is known from nothing but the metric's name."""
    runs: list[RankedRun]
    """Best first, by exact values; of equal ones the newest run first."""
    ranked: int
    """Runs with a finite value that fit the question, shown or not."""
    total: int
    """Runs that fit the question."""
    filtered: int
    """Runs in the project that do not."""
    undecided: int
    """Of these, runs without a value that ``where`` asks about."""
    never_finite: list[str]
    """Ids of runs that logged the metric, but never a finite value."""
    unindexed: int = 0
    """Runs that are still being indexed."""


class RankRuns(Query, frozen=True, kw_only=True, tag="best"):
    """Rank runs by the best value a metric ever had in each, with its step.

    Which way is better is taken from define_metric, from runwise.json, or guessed from the name, unless it is said.
    EXPR is what list takes.
    """

    command: ClassVar = "best"
    tool: ClassVar = "find_best_run"
    reply: ClassVar = Ranking
    budget: ClassVar = 300

    key: Annotated[Word, Meta(description="Metric.", min_length=1, extra={"positional": True})]
    max: Annotated[bool, Meta(description="The greatest value is best.")] = False
    min: Annotated[bool, Meta(description="The least value is best.")] = False
    top: Annotated[
        Count | None,
        Meta(description="Show at most this many runs.", extra={"flags": ("-n", "--top")}),
    ] = None
    where: Condition = None
