"""`compare`: runs side by side."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from runwise_protocol.queries.runs import RunEntry
from runwise_protocol.query import Number, Query, Reply, RunRefs, Word


class RunPoint(msgspec.Struct, kw_only=True):
    """The row of one run at which something holds; all None, and `note` says why, where it holds nowhere."""

    reached: bool
    step: int | None = None
    seconds: float | None = None
    """From the run's start to that row; None where one of the two is not known."""
    value: Number | None = None
    """The metric that was asked about, there."""
    note: str | None = None
    """Why it was not reached, or what is odd about it: ``ended at step 430``, ``falls below it later``."""


class Alignment(msgspec.Struct, kw_only=True):
    """A point that was asked for, in each run."""

    point: str
    """``end``, ``now``, ``step=N``, ``time=2h``, ``KEY=V`` or a condition, as asked; ``given``: some as RUN@STEP."""
    runs: list[RunPoint]


class ComparedValue(msgspec.Struct, kw_only=True):
    """One run's value of a metric, and the step it stands at; None when the run has none, or did not get that far.

    The best value is of all up to the run's point, where it is known, or guessed from the name, which way is better;
    at another point than the end it may be left out of metrics that are not main ones.
    """

    value: Number | None
    step: int | None
    best: Number | None = None
    best_step: int | None = None


class Parted(msgspec.Struct, kw_only=True):
    """Where a run's curve of a main metric leaves that of the first run by more than the noise of both, lastingly.

    Each span has an entry; two curves that keep together have one without steps, those too short to tell have none.
    """

    key: str
    run: str
    step: int | None
    """Where the span begins; it is known to `within` steps."""
    until: int | None
    """Where they are together again, or have changed sides; None: to `last_step`."""
    gap: Number | None
    """Median of this run's curve less the first run's, over the span; NaN where one alone is finite."""
    within: int
    last_step: int
    """The last step that was looked at: of what both have logged, up to where both are compared."""


class Comparison(Reply, kw_only=True):
    """Answer to `compare`; lists without keys of their own are in the order of `runs`."""

    runs: list[RunEntry]
    at: Alignment
    """Where each run's values are taken."""
    to: Alignment | None
    """Where the condition of ``to`` first held, in the whole of each run."""
    metrics: dict[str, list[ComparedValue]]
    alike: int
    """Metrics left out because they differ by less than ``threshold``."""
    parting: list[Parted]
    config: dict[str, list[Any]]
    """Only keys that differ; nested keys joined with dots."""
    differs: dict[str, list[Any]]
    """What else differs: ``program``, ``args.NAME``, ``git.commit``, ``python``, ``host``, ``packages.NAME`` …; None
    where a run does not say."""


class Compare(Query, frozen=True, kw_only=True, tag="compare"):
    """Put runs side by side: values at the same point, since when their curves part, and what else differs.

    --at is end (each run's own; the default), now (the furthest step all have reached), step=N, time=2h (30s, 15m, 1d;
    since each run's start) or KEY=V (the first row where that metric is V or more: tokens=1e9). Values are the last at
    or before it; a run that did not get there has none. RUN@STEP takes one run's values at a step of its own.
    --to 'val/loss<2.3' tells the step and the time each run needed until that first held.
    """

    command: ClassVar = "compare"
    tool: ClassVar = "compare_runs"
    reply: ClassVar = Comparison
    budget: ClassVar = 400

    runs: RunRefs
    at: Annotated[Word | None, Meta(description="Where to compare: step=N, time=2h, KEY=V, now or end.")] = None
    to: Annotated[Word | None, Meta(description="Steps and time each run needed until a comparison held.")] = None
    filter: Annotated[
        Word | None,
        Meta(description="Only metrics whose name has this text.", extra={"flags": ("-f", "--filter")}),
    ] = None
    threshold: Annotated[
        Word | None,
        Meta(
            description="Only metrics whose values differ by at least so many per cent of the smaller one, such as 5.",
            extra={"flags": ("-t", "--threshold")},
        ),
    ] = None
    group: Annotated[
        bool,
        Meta(description="A table for each prefix of the names (train/, val/).", extra={"flags": ("-g", "--group")}),
    ] = False
    diff: Annotated[
        bool,
        Meta(description="Only how the configurations differ.", extra={"flags": ("-d", "--diff")}),
    ] = False
