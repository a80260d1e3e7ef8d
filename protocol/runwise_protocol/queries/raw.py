"""`raw` and `export`: exact rows, a few of them or all."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import Meta

from runwise_protocol.queries.log import LogLine
from runwise_protocol.query import Keys, Query, Reply, RunRef, Span


class RawRows(Reply, kw_only=True, omit_defaults=True):
    """Answer to `raw`: one object a row, with `_row`, `_step`, `_time` (epoch seconds) and the row's metrics."""

    run: str
    rows: list[dict[str, Any]]
    matched: int
    """Rows that fit the question, shown or not."""
    system: list[dict[str, Any]] | None = None
    """With ``--at``: the system samples from before the first row to after the last, `_time` and metrics each."""
    system_matched: int | None = None
    """With ``--at``: the records these samples come from, handed on or not (the nearest are)."""
    lines: list[LogLine] | None = None
    """With ``--at``: the console lines from the row before the first to the row after the last."""
    lines_matched: int | None = None
    """With ``--at``: such lines, handed on or not (the nearest are)."""


class Raw(Query, frozen=True, kw_only=True, tag="raw"):
    """Show exact rows, as they were logged, by step or by row number; the last rows when neither is given.

    ``--at STEP`` shows a moment: the rows around it, and what the system and the console said at that time.
    """

    command: ClassVar = "raw"
    tool: ClassVar = "get_raw"
    reply: ClassVar = RawRows
    budget: ClassVar = 600

    run: RunRef = None
    keys: Keys = ()
    step: Annotated[
        Span | None,
        Meta(
            description="Step, or first:last (inclusive).",
            extra={"flags": ("--step",)},
        ),
    ] = None
    row: Annotated[
        Span | None,
        Meta(
            description="Row number from 0 (negative: from the end), or first:last (inclusive).",
            extra={"flags": ("--row",)},
        ),
    ] = None
    at: Annotated[
        int | None,
        Meta(description="Step of a moment: rows, system metrics and console lines around it, joined by time."),
    ] = None
    around: Annotated[
        Annotated[int, Meta(ge=0, le=1000)] | None, Meta(description="Rows on either side of --at (3 by default).")
    ] = None
    limit: Annotated[
        Annotated[int, Meta(ge=1, le=10_000)] | None,
        Meta(
            description="Show at most this many rows (100 by default; 5 when neither step nor row is given).",
            extra={"flags": ("-n", "--limit")},
        ),
    ] = None


class Exported(Reply, kw_only=True):
    """Answer to `export` where it is not streamed: how many rows there were."""

    run: str
    rows: int


class Export(Query, frozen=True, kw_only=True, tag="export"):
    """Stream every row in full precision (``--format csv`` or ``jsonl``; jsonl by default).

    Rows voided by a rewind are left out, unless ``--raw`` asks for every row in file order.
    """

    command: ClassVar = "export"
    reply: ClassVar = Exported
    budget: ClassVar = 1_000_000

    run: RunRef = None
    keys: Keys = ()
    raw: Annotated[bool, Meta(description="Every row in file order, voided ones too.")] = False
