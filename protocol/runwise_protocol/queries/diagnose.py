"""`diagnose` and `health`: what went wrong in a run, where it began, and what was looked at to say so."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from runwise_protocol.query import Number, Query, Reply, RunRef


class BadPoint(msgspec.Struct, kw_only=True):
    """Where a metric went bad."""

    key: str
    step: int


class CurveEvent(msgspec.Struct, kw_only=True):
    """One finding on a metric's curve; steps are those of logged points, of system metrics the nearest in time.

    Of curves of more than 8,192 points, what lasts long is known to 1/500 of its place.
    """

    kind: str
    """``spike``, ``divergence``, ``nonfinite``, ``plateau``, ``overfitting``, ``gradient_explosion``,
    ``gradient_vanishing``, ``throughput_drop``, ``learning_rate``, ``frozen``; ``stalled`` (no rows for long),
    ``memory`` (almost full, or growing towards that), ``low_utilisation`` (of a GPU)."""
    key: str
    """A metric; of ``memory`` and ``low_utilisation`` a system metric; of ``stalled`` it is ``_timestamp``."""
    step: int
    """Its onset."""
    end_step: int | None
    """The first point that is as before again; None: it lasts to the curve's end."""
    value: Number
    """What shows it best; of ``stalled`` seconds."""
    normal: Number
    """What was to be expected there; NaN when nothing was."""
    confidence: float
    """From 0 to 1."""


class MemoryUse(msgspec.Struct, kw_only=True):
    """A system metric about memory, in its own unit."""

    key: str
    last: Number
    max: Number | None


class Checked(msgspec.Struct, kw_only=True):
    """What a verdict stands on: every point of these metrics, never a sample."""

    keys: int
    points: int
    kinds: list[str]
    """Kinds of events that were looked for on at least one curve."""
    finite_only: list[str]
    """Metrics that were looked at for NaN and infinity alone: their names do not say how they should go."""
    too_short: list[str]
    """Metrics with a known role, but too few points to judge their course."""
    indexed: bool = True
    """False: the log is not read yet, and no curve was looked at."""


class Diagnosis(Reply, kw_only=True):
    """Answer to `diagnose`."""

    run: str
    name: str
    state: str
    exit_code: int | None
    proof: str
    verdict: str
    """``healthy``; ``trouble``; or ``unsure``: nothing was found, but no loss could be judged."""
    cause: str | None
    """Why it ended, as its console or its exit code tells; else the kind of the first event of those that last to the
    end; None: nothing tells."""
    evidence: list[str]
    """Lines of the console that show the cause; secrets in them are hidden."""
    checkpoint: str | None
    """The last checkpoint that the console says was saved."""
    last_good_step: int | None
    """The last step at which the main metrics were finite and nothing had gone bad; None: there is none."""
    first_bad: list[BadPoint]
    """For each metric that went bad where it did, in that order."""
    events: list[CurveEvent]
    memory: list[MemoryUse]
    checked: Checked


class Diagnose(Query, frozen=True, kw_only=True, tag="diagnose"):
    """Diagnose a run: why it ended, its last good step, what went bad first; every point is looked at."""

    command: ClassVar = "diagnose"
    tool: ClassVar = "diagnose_run"
    reply: ClassVar = Diagnosis
    budget: ClassVar = 450

    run: RunRef = None


class HealthReport(Reply, kw_only=True):
    """Answer to `health`."""

    runs: list[Diagnosis]
    """One for each run that was looked at, newest first."""
    total: int
    """Runs in the project."""


class CheckHealth(Query, frozen=True, kw_only=True, tag="health"):
    """Say in one line what is wrong with a run, or with each of the newest 50 when none is named."""

    command: ClassVar = "health"
    tool: ClassVar = "health_check"
    reply: ClassVar = HealthReport
    budget: ClassVar = 450

    run: RunRef = None
