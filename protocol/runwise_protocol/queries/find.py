"""`find`: runs by a word that stands anywhere in what is known about them."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from runwise_protocol.query import Count, Query, Reply, Word


class Match(msgspec.Struct, kw_only=True):
    """One place where the pattern was found."""

    field: str
    """``name``, ``id``, ``tag``, ``group``, ``job_type``, ``notes``, or ``config.`` and the dotted key."""
    value: str
    """The text there; long ones around what was found. Secrets are hidden."""


class FoundRun(msgspec.Struct, kw_only=True):
    """One run that was found."""

    id: str
    name: str
    state: str
    step: int | None
    updated: str | None
    """UTC, ISO 8601."""
    matches: list[Match]


class FoundRuns(Reply, kw_only=True):
    """Answer to `find`."""

    runs: list[FoundRun]
    """Newest first."""
    total: int
    """Runs that were found, shown or not."""
    filtered: int
    """Runs that were not."""


class FindRuns(Query, frozen=True, kw_only=True, tag="find"):
    """Find runs by a text, or a glob, in names, ids, tags, notes, groups, job types, config keys and values."""

    command: ClassVar = "find"
    reply: ClassVar = FoundRuns
    budget: ClassVar = 300

    pattern: Annotated[
        Word,
        Meta(
            description="Text to look for, upper and lower case alike; one with * or ? must fit the whole of a value.",
            min_length=1,
            extra={"positional": True},
        ),
    ]
    limit: Annotated[
        Count | None,
        Meta(description="Show at most this many runs.", extra={"flags": ("-n", "--limit")}),
    ] = None
