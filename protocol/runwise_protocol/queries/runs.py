"""`list`: every run of the project, one line each."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from runwise_protocol.query import Condition, Count, Query, Reply, Word


class SourceEntry(msgspec.Struct, kw_only=True):
    """One file a run is read from."""

    path: str
    """Relative to the project root."""
    format: str
    bytes: int


class RunEntry(msgspec.Struct, kw_only=True):
    """One run, as a list shows it."""

    id: str
    name: str
    project: str | None
    state: str
    exit_code: int | None
    created: str | None
    """UTC, ISO 8601."""
    updated: str | None
    step: int | None
    rows: int | None
    """Logged rows; None while the run is not indexed yet."""
    tags: list[str]
    group: str | None
    sources: list[SourceEntry]
    proof: str
    """How the state is known."""
    root: str | None = None
    """The project's folder; only where runs of several projects are listed."""


class RunList(Reply, kw_only=True):
    """Answer to `list`."""

    runs: list[RunEntry]
    total: int
    """Runs in the project that fit the question, shown or not."""
    unindexed: int = 0
    """Runs that are still being indexed."""
    filtered: int = 0
    """Runs in the project that do not fit the question."""
    undecided: int = 0
    """Of these, runs without a value that ``where`` asks about."""


class ListRuns(Query, frozen=True, kw_only=True, tag="list"):
    """List the project's runs, newest first: name, state, step, age, main metric with its trend.

    EXPR is such as: min(val/loss) < 2 and (config.lr = 3e-4 or tag ~ base) and not nan(grad/*) and age < 2d.
    """

    command: ClassVar = "list"
    tool: ClassVar = "list_runs"
    reply: ClassVar = RunList
    budget: ClassVar = 300

    limit: Annotated[
        Count | None,
        Meta(description="Show at most this many runs.", extra={"flags": ("-n", "--limit")}),
    ] = None
    state: Annotated[Word | None, Meta(description="Only runs in this state.")] = None
    where: Condition = None
    sort: Annotated[
        Word | None,
        Meta(description="Least first: a metric, step, age, name, created, config.KEY …; -KEY: greatest first."),
    ] = None
    reverse: Annotated[bool, Meta(description="Turn the order around.")] = False
    tag: Annotated[Word | None, Meta(description="Only runs with this tag.")] = None
    group: Annotated[Word | None, Meta(description="Only runs of this group.")] = None
    match: Annotated[Word | None, Meta(description="Only runs with this text in name, id, notes, tags or group.")] = (
        None
    )
    all: Annotated[
        bool,
        Meta(description="The runs of every project that was ever asked about.", extra={"flags": ("-a", "--all")}),
    ] = False
    no_spark: Annotated[bool, Meta(description="Leave the trend out.")] = False
