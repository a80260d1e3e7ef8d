"""`run` and `latest`: one run on one page."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from runwise_protocol.queries.runs import RunEntry
from runwise_protocol.query import Number, Query, Reply, RunRef


class MetricStats(msgspec.Struct, kw_only=True):
    """Exact statistics of one metric over the whole run; steps are those of the points.

    `min`, `max`, `mean`, `std` (population) are of the finite values, None when there is none.
    """

    count: int
    nonfinite: int
    first: Number
    last: Number
    last_finite: Number | None
    last_step: int
    min: Number | None
    min_step: int | None
    max: Number | None
    max_step: int | None
    mean: Number | None
    std: Number | None
    best: Number | None = None
    """The better of min and max, when the direction is known."""
    best_step: int | None = None
    direction: str | None = None
    """``min`` or ``max``; with ``?`` behind it when guessed from the key's name."""


class RunDetail(RunEntry, kw_only=True):
    """One run, whole."""

    host: str | None
    config: dict[str, Any]
    notes: str | None
    segments: int = 1
    rewinds: int = 0
    damaged_bytes: int = 0
    indexed: bool = True
    from_console: tuple[str, ...] = ()
    """Metrics that are known only from what the program printed."""


class RunSummary(Reply, kw_only=True):
    """Answer to `run` and `latest`."""

    run: RunDetail
    metrics: dict[str, MetricStats]
    summary: dict[str, Any]


class ShowRun(Query, frozen=True, kw_only=True, tag="run"):
    """Summarise one run: state and why, progress, every main metric with its trend, what is odd, config."""

    command: ClassVar = "run"
    tool: ClassVar = "analyze_run"
    reply: ClassVar = RunSummary
    budget: ClassVar = 350

    run: RunRef = None
    no_spark: Annotated[bool, Meta(description="Leave the trends out.")] = False
    no_anomalies: Annotated[bool, Meta(description="Leave the oddities out.")] = False


class Latest(Query, frozen=True, kw_only=True, tag="latest"):
    """Summarise the run that was started last."""

    command: ClassVar = "latest"
    tool: ClassVar = "analyze_latest"
    reply: ClassVar = RunSummary
    budget: ClassVar = 350

    no_spark: Annotated[bool, Meta(description="Leave the trends out.")] = False
    no_anomalies: Annotated[bool, Meta(description="Leave the oddities out.")] = False
