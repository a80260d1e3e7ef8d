"""`rank`: where a run stands among those that came before it, all of them at the same step."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

import msgspec
from msgspec import Meta

from runwise_protocol.query import Condition, Number, Query, Reply, RunRef, Word

At: TypeAlias = Annotated[str, Meta(pattern=r"^(now|step=\d{1,18})$", max_length=40)]


class StandingRun(msgspec.Struct, kw_only=True):
    """One run, as it was at the step."""

    id: str
    name: str
    state: str
    value: Number
    step: int
    """Where the value stands: at or before the step asked about."""
    best: Number | None
    """The best finite value of the whole run, as far as it has come."""
    best_step: int | None


class LeftOut(msgspec.Struct, kw_only=True):
    """How many runs of the project were not compared, and why; each counts once, for the first reason that holds."""

    later: int = 0
    """Started after this run."""
    other_project: int = 0
    filtered: int = 0
    """``where`` does not hold."""
    unindexed: int = 0
    no_key: int = 0
    """Never logged the metric."""
    not_reached: int = 0
    """No value at or before the step, or the last one lies further behind it than their own pace allows."""
    nonfinite: int = 0
    """NaN or infinite there."""


class Endings(msgspec.Struct, kw_only=True):
    """How the runs ended that stood nearest: best finite values over their whole histories."""

    runs: list[str]
    """Ids, the nearest first; only runs that are over."""
    low: Number
    median: Number
    high: Number


class Ahead(msgspec.Struct, kw_only=True):
    """What is left of a run that goes on."""

    total_steps: int
    source: str
    """What says how many steps there are: a key of the configuration, or the runs compared."""
    left: int
    """Steps."""
    steps_per_second: Number | None
    """Over the last rows."""
    seconds: Number | None
    """Until the end, at that rate."""


class Place(Reply, kw_only=True):
    """Answer to `rank`."""

    run: str
    name: str
    key: str
    direction: Literal["min", "max"]
    guessed: bool
    """The direction is known from nothing but the metric's name."""
    step: int
    """At which all are compared."""
    best_so_far: bool
    """Whether the values are the best up to the step, not the last."""
    value: Number
    value_step: int
    rank: int | None
    """1: no earlier run was better; None: the run's value is not finite."""
    tied: int
    """Other runs with the same value."""
    of: int
    """Runs compared, this one among them."""
    median: Number | None
    """Of the values of all of them that are finite."""
    runs: list[StandingRun]
    """All of them, best first; of equal values the newest first."""
    left_out: LeftOut
    endings: Endings | None
    ahead: Ahead | None


class Rank(Query, frozen=True, kw_only=True, tag="rank"):
    """Rank a run among the earlier ones of its project, each as it was at the same step.

    Its metric is the run's main one unless one is named. EXPR is what list takes.
    """

    command: ClassVar = "rank"
    reply: ClassVar = Place
    budget: ClassVar = 300

    run: RunRef = None
    key: Annotated[Word | None, Meta(description="Metric.", extra={"flags": ("-k", "--key")})] = None
    at: Annotated[At, Meta(description="Where to compare: now (the run's last step), or step=N.")] = "now"
    best: Annotated[bool, Meta(description="By the best value so far instead of the last one.")] = False
    max: Annotated[bool, Meta(description="The greatest value is best.")] = False
    min: Annotated[bool, Meta(description="The least value is best.")] = False
    where: Condition = None
