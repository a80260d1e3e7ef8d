"""`history`: sampled curves that cannot lose a spike."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from runwise_protocol.query import Count, Keys, Number, Query, Reply, RunRef


class Bucket(msgspec.Struct, kw_only=True, rename={"start": "from", "end": "to"}):
    """Consecutive points of one metric. `min`, `mean`, `max` are of the finite values, None when there is none."""

    start: Number
    """First step in the bucket (with ``--x``: the first value on that axis)."""
    end: Number
    n: int
    nonfinite: int
    min: Number | None
    mean: Number | None
    max: Number | None
    first: Number
    last: Number


class Curves(Reply, kw_only=True):
    """Answer to `history`."""

    run: str
    x: str
    series: dict[str, list[Bucket]]
    omitted: int = 0
    """Metrics that were left out because no keys were asked for and these are not the main ones."""


class History(Query, frozen=True, kw_only=True, tag="history"):
    """Show curves, sampled to what was asked; every bucket keeps its extremes, so no spike is lost."""

    command: ClassVar = "history"
    tool: ClassVar = "get_history"
    reply: ClassVar = Curves
    budget: ClassVar = 400

    run: RunRef = None
    keys: Keys = ()
    samples: Annotated[
        Count | None,
        Meta(
            description="Points a curve; by default what fits the budget (500 in csv and json).",
            extra={"flags": ("-n", "--samples")},
        ),
    ] = None
    start: Annotated[int | None, Meta(description="First step, on any axis.", extra={"flags": ("--from",)})] = None
    end: Annotated[int | None, Meta(description="Last step, inclusive.", extra={"flags": ("--to",)})] = None
    around: Annotated[int | None, Meta(description="Middle step of a window.", extra={"flags": ("--around",)})] = None
    window: Annotated[
        int, Meta(ge=1, description="Steps on either side of --around.", extra={"flags": ("--window",)})
    ] = 50
    x: Annotated[str, Meta(description="Axis: step, time (seconds since start), or a metric.", max_length=1000)] = (
        "step"
    )
