"""`schema`: what the project's metrics seem to mean, as `runwise.json` would say it."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from runwise_protocol.query import Query, Reply


class LearnedGroup(msgspec.Struct, kw_only=True):
    """Metrics with one beginning."""

    name: str
    display_name: str
    metrics: dict[str, dict[str, bool]]
    """By key: ``higher_is_better``, where that is known."""


class LearnedSchema(msgspec.Struct, kw_only=True):
    """The fields of ``schema_inline`` in `runwise.json`; None or empty: the runs do not say."""

    loss_key: str | None
    step_key: str | None
    primary_metric: str | None
    per_step_pattern: str | None
    num_steps: int
    validation_sets: dict[str, str]
    groups: list[LearnedGroup]


class Learned(Reply, kw_only=True):
    """Answer to `schema`."""

    root: str
    """The project's folder."""
    settings: LearnedSchema = msgspec.field(name="schema")
    runs: int
    """Runs this was learned from."""
    left_out: int
    """Metrics that are in no group: too few runs have them, or there are too many."""


class LearnSchema(Query, frozen=True, kw_only=True, tag="schema"):
    """Say what the project's metrics seem to mean, as runwise.json would; runwise init --auto writes it there."""

    command: ClassVar = "schema"
    reply: ClassVar = Learned
    budget: ClassVar = 300
