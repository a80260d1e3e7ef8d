"""`groups`: runs that differ in their seed alone as one group each, and whether groups differ by more than chance."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from runwise_protocol.query import Condition, Count, Number, Query, Reply, Word


class LeftOut(msgspec.Struct, kw_only=True):
    """A config key that varies among the runs, and was not looked at."""

    key: str
    reason: str
    """``seed``; ``identifier``: a name, folder, id or such of the run's own; ``same as KEY``: its twin in every run;
    ``one value``: it is the same in every run that has it."""


class GroupedRun(msgspec.Struct, kw_only=True):
    """One run of a group."""

    id: str
    name: str
    value: Number | None
    """The run's best finite value of the metric, or its last; None where there is none, or the last is not finite."""
    step: int | None
    state: str
    nonfinite: int
    """Points that are NaN or infinite."""
    varied: dict[str, Any]
    """Its values of the keys that vary within groups."""


class RunGroup(msgspec.Struct, kw_only=True):
    """Runs that are the same but for the varied keys."""

    config: dict[str, Any]
    """The group's values of the keys that are not the same in all groups; a key that it lacks is left out."""
    n: int
    """Runs with a value: those that all numbers here are of."""
    mean: Number | None
    std: Number | None
    """Sample standard deviation, divided by n - 1; None for n < 2."""
    low: Number | None
    high: Number | None
    """Where the true mean lies with 95 % confidence, by Student's t."""
    runs: list[GroupedRun]
    """Best first, those without a value last."""


class GroupDifference(msgspec.Struct, kw_only=True):
    """Two groups, by Welch's t test. What was not tested has no numbers but the difference."""

    first: int
    second: int
    """Places of the groups in the answer, from 0."""
    difference: Number
    """The first mean less the second."""
    low: Number | None = None
    high: Number | None = None
    """Where the true difference lies with 95 % confidence, of this pair alone."""
    p: float | None = None
    corrected: float | None = None
    """p by Holm's correction for all pairs of groups of three runs or more."""
    detectable: Number | None = None
    """About the least difference that would be found four times in five at this spread and these n."""
    verdict: Literal["larger than chance", "not shown", "too few runs", "no spread"]
    """``larger than chance``: corrected < .05. ``too few runs``: fewer than three on a side. ``no spread``: no value
    differs from another of its group, so that nothing says how large chance is."""


class Groups(Reply, kw_only=True):
    """Answer to `groups`."""

    key: str
    key_guessed: bool
    """The metric was not asked for: it is the project's main one."""
    direction: str
    """``min`` or ``max``."""
    guessed: bool
    """The direction is known from nothing but the metric's name."""
    value: Literal["best", "last"]
    """Which value of each run counts."""
    vary: list[str]
    """The config keys in which the runs of a group may differ; none: they are repeats of one configuration."""
    vary_guessed: bool
    groups: list[RunGroup]
    """By their means, best first, then those without a value."""
    differences: list[GroupDifference]
    """All pairs of up to five groups that have a value; of more, the best one of three runs or more against the twenty
    that come next. Of groups that are not in the answer, none."""
    tests: int
    """Pairs that p is corrected for."""
    left_out: list[LeftOut]
    """Config keys that vary, and neither tell groups apart nor were asked for."""
    grouped: int
    """Groups, shown or not."""
    ranked: int
    """Runs with a value."""
    total: int
    """Runs that fit the question."""
    filtered: int
    """Runs in the project that do not."""
    undecided: int
    """Of these, runs without a value that ``where`` asks about."""
    without_config: int
    """Runs that log the metric, but have no configuration: nothing says where they belong."""
    unindexed: int = 0
    """Runs that are still being indexed."""


class GroupRuns(Query, frozen=True, kw_only=True, tag="groups"):
    """Mean, spread and confidence of a metric over runs that differ in their seed alone, and which groups differ.

    Without --vary the keys that vary within a group are found: seeds first, else the key that joins the most runs.
    Runs that go on or crashed count, and are named. A difference is called larger than chance by Welch's t test,
    corrected for all pairs. EXPR is what list takes.
    """

    command: ClassVar = "groups"
    reply: ClassVar = Groups
    budget: ClassVar = 400

    key: Annotated[
        Word | None,
        Meta(description="Metric; by default the project's main one.", extra={"flags": ("-k", "--key")}),
    ] = None
    vary: Annotated[
        tuple[Word, ...],
        Meta(
            description="Config keys or globs in which the runs of a group may differ; may be repeated.",
            max_length=100,
            extra={"flags": ("--vary",)},
        ),
    ] = ()
    last: Annotated[bool, Meta(description="Each run's last value, instead of its best.")] = False
    max: Annotated[bool, Meta(description="The greatest value is best.")] = False
    min: Annotated[bool, Meta(description="The least value is best.")] = False
    top: Annotated[
        Count | None,
        Meta(description="Show at most this many groups.", extra={"flags": ("-n", "--top")}),
    ] = None
    where: Condition = None
