"""`Watching`: tells subscribers that a run gained rows or changed state, and costs nothing while there are none."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from runwise_protocol.errors import RunwiseError
from runwise_protocol.queries.run import ShowRun

from runwise_mcp.answering import Ask
from runwise_mcp.resources import parse

LOOK_SECONDS = 1.0
"""Between two looks at the runs that are watched."""
REST_SECONDS = 5.0
"""Between two notices about one resource."""


class _Watched:
    def __init__(self, run: str, ask: Ask, tell: Callable[[], Awaitable[None]]) -> None:
        self.run = run
        self.ask = ask
        self.tell = tell
        self.state: Any = None
        """As it was when the subscriber last knew it."""
        self.told_at = -math.inf


class Watching:
    """All subscriptions of a session."""

    def __init__(self) -> None:
        self._watched: list[_Watched] = []
        self._begun = anyio.Event()

    async def add(self, uri: str, ask: Ask, tell: Callable[[], Awaitable[None]]) -> Callable[[], None]:
        """Have `tell` called when the resource changes; gives what ends that. Raises RunwiseError."""
        watched = _Watched(parse(uri).run, ask, tell)
        watched.state = _state(await _look(watched))
        self._watched.append(watched)
        self._begun.set()
        return lambda: self._watched.remove(watched)

    async def run(self) -> None:
        """Look and tell until cancelled."""
        while True:
            if not self._watched:
                self._begun = anyio.Event()
                await self._begun.wait()
            await anyio.sleep(LOOK_SECONDS)
            seen: dict[tuple[str, Ask], Any] = {}
            for watched in tuple(self._watched):
                place = (watched.run, watched.ask)
                if place not in seen:
                    seen[place] = await _seen(watched)
                await _tell(watched, seen[place])


async def _tell(watched: _Watched, state: Any) -> None:
    now = anyio.current_time()
    if state != watched.state and now - watched.told_at >= REST_SECONDS:
        watched.state, watched.told_at = state, now
        await watched.tell()


async def _seen(watched: _Watched) -> Any:
    try:
        return _state(await _look(watched))
    except RunwiseError as error:
        return error.message  # it has gone: a change like any other


async def _look(watched: _Watched) -> Any:
    reply, _ = await watched.ask(ShowRun(run=watched.run))
    return reply.run


def _state(run: Any) -> Any:
    """What has to differ for a subscriber to be told."""
    return (run.rows, run.step, run.state, run.exit_code)
