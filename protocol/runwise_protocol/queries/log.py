"""`log`: what the program printed."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from runwise_protocol.query import Count, Query, Reply, RunRef, Word


class LogLine(msgspec.Struct, kw_only=True):
    """One console line; a progress bar is its last state."""

    time: float | None
    stream: str
    """``stdout`` or ``stderr``."""
    text: str


class LogLines(Reply, kw_only=True):
    """Answer to `log`."""

    run: str
    lines: list[LogLine]
    matched: int
    """Lines that fit the question, shown or not."""


class Log(Query, frozen=True, kw_only=True, tag="log"):
    """Show a run's console output: the last lines, those that match, or the last traceback."""

    command: ClassVar = "log"
    reply: ClassVar = LogLines
    budget: ClassVar = 600

    run: RunRef = None
    tail: Annotated[
        Count | None, Meta(description="Last lines (20 by default).", extra={"flags": ("-n", "--tail")})
    ] = None
    grep: Annotated[Word | None, Meta(description="Only lines with this text (upper and lower case alike).")] = None
    errors: Annotated[bool, Meta(description="The last traceback, or else the last lines that speak of an error.")] = (
        False
    )
