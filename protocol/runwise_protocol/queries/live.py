"""`live`: what is running now."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from runwise_protocol.query import Number, Query, Reply


class LiveRun(msgspec.Struct, kw_only=True):
    """One running run."""

    id: str
    name: str
    state: str
    proof: str
    step: int | None
    steps_per_second: float | None
    """Over the last rows."""
    silent_seconds: float | None
    """Since the last row that reached the disk."""
    metrics: dict[str, Number]
    """Latest values of the main metrics."""


class LiveStatus(Reply, kw_only=True):
    """Answer to `live`."""

    runs: list[LiveRun]


class Live(Query, frozen=True, kw_only=True, tag="live"):
    """Show every running run: step, rate, latest main metrics, last sign of life."""

    command: ClassVar = "live"
    reply: ClassVar = LiveStatus
    budget: ClassVar = 300
