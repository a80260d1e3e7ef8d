"""One session on a stream of bytes: what the daemon calls when a client's pump has connected."""

from __future__ import annotations

import anyio
from runwise_protocol.query import Where

from runwise_mcp.answering import Answering
from runwise_mcp.session import Session
from runwise_mcp.transport import Receive, Send, Transport


async def serve(answering: Answering, start: Where, receive: Receive, send: Send) -> None:
    """Serve a client that was started in `start` until it goes away."""
    session = Session(answering, start)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(session.watch)
        await Transport(receive, send).serve(session.server)
        tasks.cancel_scope.cancel()
