"""One clock for the signs of life of all who wait: a timer for each of a thousand costs more than their answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio

TURNS = 10
"""So many times in a period some of them have their beat: all at once would hold up the loop, and wake up everybody."""


class Pulse:
    """Calls everybody who has joined once in `seconds`, as long as it runs."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._turns: tuple[dict[object, Callable[[], None]], ...] = tuple({} for _ in range(TURNS))
        self._turn = 0
        self._joined = anyio.Event()

    @contextmanager
    def beating(self, beat: Callable[[], None]) -> Iterator[None]:
        """Have `beat` called, for the first time after a whole period. It must neither block nor raise."""
        turn, key = self._turns[self._turn], object()
        turn[key] = beat
        self._joined.set()
        try:
            yield
        finally:
            del turn[key]

    async def run(self) -> None:
        """Work until cancelled; without anybody, sleep."""
        while True:
            if not any(self._turns):
                self._joined = anyio.Event()
                await self._joined.wait()
            await anyio.sleep(self._seconds / TURNS)
            self._turn = (self._turn + 1) % TURNS
            for beat in list(self._turns[self._turn].values()):
                beat()
