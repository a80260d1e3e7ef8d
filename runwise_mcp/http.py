"""`runwise-mcp --http`: the same server over streamable HTTP, on loopback, for who knows the token."""

from __future__ import annotations

import hmac
import secrets
import socket
import sys
from collections.abc import Sequence

import anyio
import uvicorn
from runwise_protocol.aio import AsyncClient
from runwise_protocol.client import here
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries.runs import ListRuns, RunList
from runwise_protocol.query import Look, Query, Reply, Where
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from runwise_mcp.session import Session

HOST = "127.0.0.1"
PATH = "/mcp"


def run(port: int, token: str | None) -> None:
    """Serve until interrupted. Raises RunwiseError when it cannot begin."""
    anyio.run(serve, port, token or secrets.token_urlsafe(24))


async def serve(port: int, token: str | None) -> None:
    """Serve on a port (0: any that is free); without a token whoever reaches it may ask. Raises RunwiseError."""
    start = here()
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    with listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, port))
        except OSError as error:
            raise RunwiseError(Kind.UNREACHABLE, f"cannot listen on port {port}: {error.strerror}") from error
        async with AsyncClient() as client, anyio.create_task_group() as tasks:
            session = Session(_Daemon(client), start)
            tasks.start_soon(session.watch)
            application = guarded(session.server.streamable_http_app(streamable_http_path=PATH, host=HOST), token)
            _announce(listening.getsockname()[1], token)
            config = uvicorn.Config(application, log_level="warning", lifespan="on")
            await uvicorn.Server(config).serve(sockets=[listening])
            tasks.cancel_scope.cancel()


def guarded(application: ASGIApp, token: str | None) -> ASGIApp:
    """The application for requests that bear the token alone; it checks Host and Origin itself."""
    expected = f"Bearer {token}".encode()

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if token is not None and scope["type"] == "http":
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, expected):
                challenge = {"WWW-Authenticate": "Bearer"}
                await PlainTextResponse("a token is needed\n", 401, challenge)(scope, receive, send)
                return
        await application(scope, receive, send)

    return guard


def _announce(port: int, token: str | None) -> None:
    print(f"http://{HOST}:{port}{PATH}", file=sys.stderr)
    if token is not None:
        print(f"Authorization: Bearer {token}", file=sys.stderr, flush=True)


class _Daemon:
    """The daemon at the other end of its socket; see `runwise_mcp.answering.Answering`."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def ask(self, query: Query, look: Look, where: Where) -> tuple[Reply, str]:
        if not query.patience:
            reply = await self._client.ask(query, look=look, where=where)
        else:
            async with AsyncClient() as alone:  # the other questions do not wait with it
                reply = await alone.ask(query, look=look, where=where)
        return reply, str(reply)

    async def root(self, where: Where) -> str | None:
        """The folder that is asked from, where there is a project: the daemon does not say its root."""
        try:
            await self._client.ask(ListRuns(limit=1), where=where)
        except RunwiseError as error:
            if error.kind is Kind.NOT_FOUND:
                return None
            raise
        return where.cwd

    async def recent(self) -> Sequence[str]:
        """The projects of the newest runs."""
        reply = await self._client.ask(ListRuns(all=True))
        assert isinstance(reply, RunList)
        return list(dict.fromkeys(run.root for run in reply.runs if run.root))
