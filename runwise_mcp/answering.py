"""What a session asks: the daemon it lives in, or the daemon at the other end of a socket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeAlias

from runwise_protocol.query import Look, Query, Reply, Where

Ask: TypeAlias = Callable[[Query], Awaitable[tuple[Any, str]]]
"""Asks in one project: gives the reply that the query's `reply` names, and its text. Raises RunwiseError."""


class Answering(Protocol):
    """Answers questions."""

    async def ask(self, query: Query, look: Look, where: Where) -> tuple[Reply, str]:
        """The typed answer, and its text. Raises RunwiseError and nothing else."""

    async def root(self, where: Where) -> str | None:
        """Root of the project that a question from there is about; None where there is none."""

    async def recent(self) -> Sequence[str]:
        """Roots of the projects that were ever asked about, the latest first; some may be gone."""
