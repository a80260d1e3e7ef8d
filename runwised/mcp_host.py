"""Hosts MCP sessions in the daemon; the SDK is loaded on a thread, when the first one comes or where one ever came."""

from __future__ import annotations

import gc
import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import ModuleType

import anyio
import anyio.to_thread
from runwise_protocol.query import Look, Query, Reply, Where

from runwised.server.dispatch import Dispatcher
from runwised.server.wire import Gone, Wire

STALL_SECONDS = 300.0
"""Without a byte being taken; an agent may be stopped for a while."""

_log = logging.getLogger(__name__)


class McpHost:
    """Serves sessions; that one ever came is remembered in the cache folder, over the daemon's lives."""

    def __init__(self, cache: Path) -> None:
        self._sign = cache / "mcp"

    async def warm(self) -> None:
        """Load the SDK where an MCP client was here before."""
        if self._sign.exists():
            await anyio.to_thread.run_sync(_sdk)

    async def __call__(self, dispatcher: Dispatcher, wire: Wire, where: Where) -> None:
        """Serve one session on a wire until the other side goes away."""
        sdk = await anyio.to_thread.run_sync(_sdk)
        self._remember()

        async def send(data: bytes) -> None:
            try:
                await wire.send(data, STALL_SECONDS)
            except Gone:
                raise anyio.BrokenResourceError from None

        await sdk.serve(_Daemon(dispatcher), where, wire.receive, send)

    def _remember(self) -> None:
        try:
            self._sign.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._sign.touch()
        except OSError as error:
            _log.warning("%s cannot be written: %s", self._sign, error)


class _Daemon:
    """What sessions ask; see `runwise_mcp.answering.Answering`."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    async def ask(self, query: Query, look: Look, where: Where) -> tuple[Reply, str]:
        return await self._dispatcher.ask(query, look, where)

    async def root(self, where: Where) -> str | None:
        return await self._dispatcher.engine.root(where)

    async def recent(self) -> Sequence[str]:
        return await self._dispatcher.engine.recent()


@cache
def _sdk() -> ModuleType:
    gc.disable()  # thousands of classes come to stay: to look through them for garbage takes a fifth as long again
    try:
        from runwise_mcp import hosted
    finally:
        gc.freeze()
        gc.enable()
    return hosted
