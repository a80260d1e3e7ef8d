"""`AsyncClient`: the same as `Client`, for programs that run on anyio."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, BinaryIO, Self, TypeVar

import anyio
import anyio.to_thread

from runwise_protocol.client import Client
from runwise_protocol.query import Look, Query, Reply, Where

T = TypeVar("T")


class AsyncClient:
    """A `Client` in a worker thread; questions of several tasks are asked one after the other.

    Who is cancelled while it asks takes its question back: the daemon stops working on it.
    """

    def __init__(self, *, start: bool = True) -> None:
        self._start = start
        self._client = Client(start=start)
        self._turn = anyio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        with anyio.CancelScope(shield=True):
            await self._in_turn(Client.close)

    async def ask(self, query: Query, *, look: Look | None = None, where: Where | None = None) -> Reply:
        """See `Client.ask`."""
        return await self._in_turn(lambda client: client.ask(query, look=look, where=where))

    async def write(self, query: Query, look: Look | None, where: Where | None, out: BinaryIO) -> int:
        """See `Client.write`; `out` is written to in a worker thread."""
        return await self._in_turn(lambda client: client.write(query, look, where, out))

    async def control(self, verb: str) -> dict[str, Any]:
        """See `Client.control`."""
        return await self._in_turn(lambda client: client.control(verb))

    async def _in_turn(self, call: Callable[[Client], T]) -> T:
        async with self._turn:
            client = self._client
            try:
                return await anyio.to_thread.run_sync(call, client, abandon_on_cancel=True)
            except anyio.get_cancelled_exc_class():
                self._client = Client(start=self._start)  # the thread has the other one until it sees its end
                client.abandon()
                raise
