"""Time a piece of work may take, and when it has to let others in."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.lowlevel import checkpoint

SLICE_SECONDS = 0.005


class Pace:
    """Ask `spent` before each further piece, and `breathe` after it: no other task then waits for long."""

    def __init__(self, seconds: float) -> None:
        self._started = self._slice = time.perf_counter()
        self._ends = self._started + seconds

    def spent(self, share: float = 1.0) -> bool:
        """Whether this share of the time is over."""
        return time.perf_counter() >= self._started + share * (self._ends - self._started)

    async def breathe(self) -> None:
        """Let other tasks run, when this one has for long enough."""
        if time.perf_counter() - self._slice >= SLICE_SECONDS:
            await checkpoint()
            self._slice = time.perf_counter()


@asynccontextmanager
async def alone(lock: anyio.Lock) -> AsyncIterator[None]:
    """Nobody else looks meanwhile; who asked may go away, but not before what was begun is whole."""
    async with lock:
        with anyio.CancelScope(shield=True):
            yield
