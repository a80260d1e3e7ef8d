"""Questions that wait: how long a client may let one wait, and what it is told meanwhile."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import anyio
from msgspec.structs import replace
from runwise_protocol.duration import spelled
from runwise_protocol.errors import RunwiseError
from runwise_protocol.queries.since import Since
from runwise_protocol.queries.wait import Progress, Waited, WaitFor
from runwise_protocol.query import Query

from runwise_mcp.answering import Ask
from runwise_mcp.visible import shown

Report: TypeAlias = Callable[[float, float, str], Awaitable[None]]
"""Sends one notice: seconds gone, seconds in all, and a line."""

TELL_SECONDS = 10.0
"""Between two notices."""
LONGEST = "9m"
"""No client is kept waiting longer: most give up after ten minutes."""
LONGEST_SECONDS = 540.0
USUAL = "50s"
"""Wait of a model that names none: many clients give up after a minute."""


def capped(query: Query) -> Query:
    """The same question, waiting no longer than clients do."""
    if query.patience > LONGEST_SECONDS:
        if isinstance(query, WaitFor):
            return replace(query, timeout=LONGEST)
        if isinstance(query, Since):
            return replace(query, wait=LONGEST)
    return query


async def tell(query: Query, ask: Ask, report: Report) -> None:
    """Report how far it is, now and then, until cancelled."""
    begun = anyio.current_time()
    while True:
        await anyio.sleep(TELL_SECONDS)
        line = ""
        if isinstance(query, WaitFor):
            with contextlib.suppress(RunwiseError):  # what is wrong is told by the answer
                reply, _ = await ask(replace(query, timeout="0s"))
                line = far(reply)
        gone = anyio.current_time() - begun
        left = f"{max(query.patience - gone, 0):.0f} s left"
        await report(gone, query.patience, f"{line}; {left}" if line else left)


def far(reply: Waited) -> str:
    """How far the newest of the runs is."""
    if not reply.runs:
        return ""
    first, others = reply.runs[0], len(reply.runs) - 1
    return f"{_far(first)}{f' (and {others} more)' if others else ''}"


def _far(run: Progress) -> str:
    parts = [shown(run.name), run.state]
    if run.step is not None:
        parts.append(f"step {run.step}" + (f" of {run.total_steps}" if run.total_steps else ""))
    if run.eta_seconds is not None:
        parts.append(f"eta {spelled(run.eta_seconds)}")
    return " ".join(parts)
