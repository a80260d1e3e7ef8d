"""`live`: what is running now."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from runwise_protocol.query import Number, Query, Reply, RunRefs


class BestYet(msgspec.Struct, kw_only=True):
    """The best value of a metric so far."""

    value: Number
    step: int | None


class LiveRun(msgspec.Struct, kw_only=True):
    """One running run."""

    id: str
    name: str
    state: str
    proof: str
    """How that is known: a process of this machine, or else that its log grows."""
    pid: int | None
    """None: only growth tells that it lives, and silence will that it does not."""
    step: int | None
    steps_per_second: float | None
    """Over the last rows."""
    overall_steps_per_second: float | None
    """From the first row to the last, pauses too."""
    total_steps: int | None
    total_source: str | None
    """What in its configuration says how many there will be."""
    eta_seconds: float | None
    """At the present rate."""
    silent_seconds: float | None
    """Since the last row that reached the disk."""
    usual_seconds: float | None
    """The usual pause between two rows."""
    stalled: float | None
    """How many usual pauses it has been silent, where that is unusual."""
    heard_seconds: float | None
    """Since it last logged or printed anything."""
    metrics: dict[str, Number]
    """Latest values of the main metrics."""
    best: dict[str, BestYet]
    """Of those of them of which it is known which way is better."""


class LiveStatus(Reply, kw_only=True):
    """Answer to `live`."""

    runs: list[LiveRun]


class Live(Query, frozen=True, kw_only=True, tag="live"):
    """Show every running run: step, rate, ETA, latest and best of its main metrics, and whether it has stalled."""

    command: ClassVar = "live"
    tool: ClassVar = "live_status"
    reply: ClassVar = LiveStatus
    budget: ClassVar = 300

    runs: RunRefs = ()
