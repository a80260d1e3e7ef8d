"""`keys` and `stats`: what a run logged, and its exact statistics."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from runwise_protocol.queries.run import MetricStats
from runwise_protocol.query import Keys, Query, Reply, RunRef


class KeyEntry(msgspec.Struct, kw_only=True):
    """One logged key."""

    key: str
    kind: str
    """``number``, ``string``, ``bool``, ``null``, ``list`` or a media type."""
    count: int
    last_step: int


class KeyList(Reply, kw_only=True):
    """Answer to `keys`."""

    run: str
    keys: list[KeyEntry]


class ListKeys(Query, frozen=True, kw_only=True, tag="keys"):
    """List the keys a run logged, with kind and count, grouped by prefix."""

    command: ClassVar = "keys"
    tool: ClassVar = "list_keys"
    reply: ClassVar = KeyList
    budget: ClassVar = 300

    run: RunRef = None
    keys: Keys = ()


class StatsTable(Reply, kw_only=True):
    """Answer to `stats`."""

    run: str
    metrics: dict[str, MetricStats]


class ShowStats(Query, frozen=True, kw_only=True, tag="stats"):
    """Exact statistics over every logged value: count, first, last, min and max with their steps, mean, std, best."""

    command: ClassVar = "stats"
    tool: ClassVar = "get_stats"
    reply: ClassVar = StatsTable
    budget: ClassVar = 400

    run: RunRef = None
    keys: Keys = ()
