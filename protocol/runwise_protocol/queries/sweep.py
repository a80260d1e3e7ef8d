"""`sweep`: the config keys that vary among runs against a metric: what was tried, what was best, what goes with it."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from runwise_protocol.queries.groups import LeftOut
from runwise_protocol.query import Condition, Count, Number, Query, Reply, Word


class SweptRun(msgspec.Struct, kw_only=True):
    """One run, by the best finite value of the metric over its whole history."""

    id: str
    name: str
    value: Number
    step: int
    state: str
    config: dict[str, Any]
    """Its values of the keys that were looked at; a key that it lacks is left out."""


class SweptKey(msgspec.Struct, kw_only=True):
    """One config key against the metric, the other keys not held fixed."""

    key: str
    kind: Literal["number", "category"]
    n: int
    """Runs that have the key, and a value of the metric."""
    tried: list[Any]
    """The different values: numbers from the least on, others in the order of their best run."""
    best: Any
    """The best run's."""
    below: Number | None = None
    above: Number | None = None
    """The tried numbers next to it; None: it lies at the edge of what was tried, or is no number."""
    top: list[Any]
    """The different values of the best quarter of the runs, in the same order; none where there are too few runs."""
    measure: Literal["spearman", "eta2"]
    """``spearman``: rank correlation of numbers, -1 to 1. ``eta2``: the share of the ranks' variance that lies between
    categories (of Kruskal and Wallis's test), 0 to 1."""
    effect: float | None
    p: float | None
    corrected: float | None
    """p by Holm's correction for all keys of the answer that could be judged."""
    verdict: Literal["rises", "falls", "differs", "not shown", "too few runs"]
    """``rises``, ``falls``: the metric does so with the number, corrected < .05; ``differs``: between the categories.
    ``too few runs``: fewer than five, or than two a category."""
    together: list[str]
    """Keys of the answer that vary with it so that the two cannot be told apart: numbers with a rank correlation of
    .8 or more either way, or values of which the one tells the other."""


class Sweep(Reply, kw_only=True):
    """Answer to `sweep`."""

    key: str
    key_guessed: bool
    """The metric was not asked for: it is the project's main one."""
    direction: str
    """``min`` or ``max``."""
    guessed: bool
    """The direction is known from nothing but the metric's name."""
    keys: list[SweptKey]
    """Those that go with the metric first, by p; then the others as the configuration has them."""
    runs: list[SweptRun]
    """Best first, by exact values; of equal ones the newest run first."""
    top: int
    """Runs in the best quarter; 0 where there are too few."""
    ranked: int
    """Runs with a finite value, shown or not."""
    total: int
    """Runs that fit the question."""
    filtered: int
    """Runs in the project that do not."""
    undecided: int
    """Of these, runs without a value that ``where`` asks about."""
    never_finite: list[str]
    """Ids of runs that logged the metric, but never a finite value."""
    without_config: int
    """Ranked runs without a configuration."""
    left_out: list[LeftOut]
    """Config keys that vary, and were not looked at."""
    sweeps: list[str]
    """The W&B sweeps that the ranked runs belong to."""
    unindexed: int = 0
    """Runs that are still being indexed."""


class SweepRuns(Query, frozen=True, kw_only=True, tag="sweep"):
    """Put the config keys that vary among runs against a metric: which go with it, what was tried, what was best.

    Without --over the keys are found; seeds, identifiers and twins of other keys are left out. Each key is taken by
    itself: the others are not held fixed. EXPR is what list takes.
    """

    command: ClassVar = "sweep"
    reply: ClassVar = Sweep
    budget: ClassVar = 400

    over: Annotated[
        tuple[Word, ...],
        Meta(
            description="Config keys or globs; may be repeated or comma-separated.",
            max_length=100,
            extra={"flags": ("--over",)},
        ),
    ] = ()
    key: Annotated[
        Word | None,
        Meta(description="Metric; by default the project's main one.", extra={"flags": ("-k", "--key")}),
    ] = None
    sweep: Annotated[Word | None, Meta(description="Only runs of this W&B sweep.")] = None
    max: Annotated[bool, Meta(description="The greatest value is best.")] = False
    min: Annotated[bool, Meta(description="The least value is best.")] = False
    top: Annotated[
        Count | None,
        Meta(description="Show at most this many runs.", extra={"flags": ("-n", "--top")}),
    ] = None
    where: Condition = None
