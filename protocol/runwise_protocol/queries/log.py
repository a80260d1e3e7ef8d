"""`log`: what the program printed."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from runwise_protocol.query import Count, Query, Reply, RunRef, Word


class LogLine(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One console line; a progress bar is its last state."""

    time: float | None
    stream: str
    """``stdout`` or ``stderr``."""
    text: str
    count: int | None = None
    """With ``--novel``: the lines of this kind, of which it is the first."""
    last_time: float | None = None
    """With ``--novel``: when the last of them was printed, where that is known."""


class LogLines(Reply, kw_only=True, omit_defaults=True):
    """Answer to `log`."""

    run: str
    lines: list[LogLine]
    matched: int
    """Lines that fit the question, shown or not."""
    kinds: int | None = None
    """With ``--novel``: kinds of lines that were told apart, shown or not."""
    further: int | None = None
    """With ``--novel``: lines of still other kinds, where there were too many to tell apart."""


class Log(Query, frozen=True, kw_only=True, tag="log"):
    """Show a run's console output: the last lines, those that match, the last traceback, or one line of each kind."""

    command: ClassVar = "log"
    reply: ClassVar = LogLines
    budget: ClassVar = 600

    run: RunRef = None
    tail: Annotated[
        Count | None,
        Meta(description="Last lines (20 by default; with --novel all kinds).", extra={"flags": ("-n", "--tail")}),
    ] = None
    grep: Annotated[Word | None, Meta(description="Only lines with this text (upper and lower case alike).")] = None
    errors: Annotated[bool, Meta(description="The last traceback, or else the last lines that speak of an error.")] = (
        False
    )
    novel: Annotated[
        bool,
        Meta(
            description="The first line of each kind and how many there were (with --grep or --errors: of those lines)."
        ),
    ] = False
