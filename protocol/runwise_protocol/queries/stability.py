"""`stability`: how much a curve swings, where most and where least, and which way it goes."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

import msgspec
from msgspec import Meta

from runwise_protocol.query import Count, Keys, Number, Query, Reply, RunRef

Points: TypeAlias = Annotated[
    Annotated[int, Meta(ge=2, le=10_000_000)] | None,
    Meta(
        description="Points a window; by default 100, of short curves a quarter.",
        extra={"flags": ("-w", "--window")},
    ),
]


class Window(msgspec.Struct, kw_only=True, rename={"start": "from", "end": "to"}):
    """Consecutive points of one metric. `mean` and `std` (population) are of the finite values.

    `mean` is None without a finite value, `std` with fewer than two.
    """

    start: int
    """Step of its first point."""
    end: int
    n: int
    """Points."""
    nonfinite: int
    mean: Number | None
    std: Number | None
    std_max: Number | None
    """The greatest one of this window and those between it and the one listed before."""


class Slope(msgspec.Struct, kw_only=True, rename={"start": "from", "end": "to"}):
    """A straight line through a curve, by the median of the slopes between all pairs of at most 65 block means (Theil
    and Sen), with its 95 % interval (Sen, 1968), widened where blocks go with their neighbours.
    """

    start: int
    end: int
    per_step: Number
    low: Number
    high: Number
    direction: Literal["falling", "rising", "flat"]
    """``flat``: the interval has 0 in it."""


class Steadiness(msgspec.Struct, kw_only=True):
    """One metric."""

    points: int
    nonfinite: int
    window: int
    """Points a window, those that are not finite among them."""
    windows: int
    """All there are: one begins at each point that has enough points from there on."""
    median_std: Number | None
    noise: Number | None
    """Robust standard deviation of single points about a smooth curve, at the end: of the last quarter of the finite
    points, or the last 12 where these are more."""
    level: Number | None
    """Median at the end."""
    relative_noise: Number | None
    """Noise over the level's size."""
    steadiest: Window | None
    """Of all windows; at least half of its points are finite."""
    wildest: Window | None
    whole: Slope | None
    """None: too few points to tell."""
    end: Slope | None
    rolling: list[Window]
    """Evenly spaced ones, the last one of all at the end."""


class Stability(Reply, kw_only=True):
    """Answer to `stability`."""

    run: str
    metrics: dict[str, Steadiness]


class ShowStability(Query, frozen=True, kw_only=True, tag="stability"):
    """Show how steady curves are: rolling mean and standard deviation, noise, robust trend, wildest stretch.

    The trend is the median slope between block means (Theil and Sen) over the last quarter of the points, with its
    95 % interval.
    """

    command: ClassVar = "stability"
    reply: ClassVar = Stability
    budget: ClassVar = 400

    run: RunRef = None
    keys: Keys = ()
    window: Points = None
    samples: Annotated[
        Count | None,
        Meta(
            description="Windows a curve; by default what fits the budget (500 in csv and json).",
            extra={"flags": ("-n", "--samples")},
        ),
    ] = None
