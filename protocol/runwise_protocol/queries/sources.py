"""`sources`: which files the answers stand on, and why others were not read."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from runwise_protocol.query import Query, Reply, RunRef


class PassedReason(msgspec.Struct, kw_only=True):
    """Files of one place that were not read for the same reason."""

    reason: str
    files: int
    example: str
    """One of them, or a pattern that several of one folder fit."""


class WatchedPlace(msgspec.Struct, kw_only=True):
    """A folder (or database) where logs are looked for. Paths are relative to the project where they lie below it."""

    path: str
    exists: bool
    formats: dict[str, int]
    """Logs found there, by format; a store counts each of its runs."""
    passed: list[PassedReason]


class FoundLog(msgspec.Struct, kw_only=True):
    """One log that is read."""

    path: str
    format: str
    run: str
    """The run's id."""
    incomplete_bytes: int = 0
    """Bytes with which it ends that are the beginning of a line or record whose rest has not come."""


class PassedFiles(msgspec.Struct, kw_only=True):
    """A file that is not read, or several of one folder and kind: then the path is a pattern."""

    path: str
    reason: str
    files: int


class Sources(Reply, kw_only=True):
    """Answer to `sources`."""

    places: list[WatchedPlace]
    """Empty where one run was asked for."""
    sources: list[FoundLog]
    passed: list[PassedFiles]
    """Filled where all were asked for."""


class ListSources(Query, frozen=True, kw_only=True, tag="sources"):
    """Show what was read as what: the places watched, the logs in them by format, and why other files are not read."""

    command: ClassVar = "sources"
    reply: ClassVar = Sources
    budget: ClassVar = 300

    run: Annotated[
        RunRef,
        Meta(
            description="Only what this run is read from: id, unique prefix of an id, or name.",
            extra={"positional": True},
        ),
    ] = None
    all: Annotated[bool, Meta(description="Every log, and every file that was passed over, one line each.")] = False
