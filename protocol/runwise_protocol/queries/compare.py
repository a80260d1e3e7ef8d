"""`compare`: runs side by side."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from runwise_protocol.queries.runs import RunEntry
from runwise_protocol.query import Number, Query, Reply, RunRefs, Word


class ComparedValue(msgspec.Struct, kw_only=True):
    """One run's value of a metric, and the step it stands at; None when the run has none.

    The best value is of the whole run, where it is known, or guessed from the name, which way is better.
    """

    value: Number | None
    step: int | None
    best: Number | None = None
    best_step: int | None = None


class Comparison(Reply, kw_only=True):
    """Answer to `compare`; every list is in the order of `runs`."""

    runs: list[RunEntry]
    metrics: dict[str, list[ComparedValue]]
    config: dict[str, list[Any]]
    """Only keys that differ; nested keys joined with dots."""


class Compare(Query, frozen=True, kw_only=True, tag="compare"):
    """Put runs side by side: last and best values, and what differs in their configuration.

    RUN@STEP takes the last values at or before that step.
    """

    command: ClassVar = "compare"
    reply: ClassVar = Comparison
    budget: ClassVar = 400

    runs: RunRefs
    filter: Annotated[
        Word | None,
        Meta(description="Only metrics whose name has this text.", extra={"flags": ("-f", "--filter")}),
    ] = None
