"""`runwise-mcp --http`: the same server over streamable HTTP, on loopback, for who knows the token."""

from __future__ import annotations

import hmac
import json
import secrets
import socket
import sys
from collections.abc import Sequence

import anyio
import uvicorn
from runwise_protocol.aio import AsyncClient
from runwise_protocol.client import here
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.frames import REQUEST_CAP
from runwise_protocol.queries.runs import ListRuns, RunList
from runwise_protocol.query import Look, Query, Reply, Where
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runwise_mcp.session import Session

HOST = "127.0.0.1"
PATH = "/mcp"
_SESSION = b"mcp-session-id"


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
            served = session.server.streamable_http_app(streamable_http_path=PATH, host=HOST)
            application = guarded(released(served), token)
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


def released(application: ASGIApp) -> ASGIApp:
    """The application for clients of the era with sessions, which takes back what a client asked that hung up.

    In that era to hang up is not to cancel, for an answer could be fetched later; here none is kept.
    """

    async def watch(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or not dict(scope["headers"]).get(_SESSION):
            await application(scope, receive, send)
            return
        asked = bytearray()
        ended = gone = False

        async def hear() -> Message:
            nonlocal gone
            message = await receive()
            if message["type"] == "http.disconnect":
                gone = gone or not ended
            elif len(asked) <= REQUEST_CAP:
                asked.extend(message.get("body", b""))
            return message

        async def say(message: Message) -> None:
            nonlocal ended
            await send(message)
            ended = ended or (message["type"] == "http.response.body" and not message.get("more_body"))

        await application(scope, hear, say)
        if gone:
            await _cancel(application, scope, bytes(asked))

    return watch


async def _cancel(application: ASGIApp, scope: Scope, asked: bytes) -> None:
    """Say for the client that it does not want the answer to its request any more."""
    try:
        message = json.loads(asked)
    except (ValueError, RecursionError):
        return
    if not isinstance(message, dict) or "method" not in message or not isinstance(message.get("id"), str | int):
        return
    said = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": message["id"]}}
    body = json.dumps(said).encode()
    headers = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
    pieces = [{"type": "http.request", "body": body}]

    async def receive() -> Message:
        return pieces.pop() if pieces else {"type": "http.disconnect"}

    async def send(_: Message) -> None:
        """Nobody hears it."""

    await application({**scope, "headers": [*headers, (b"content-length", b"%d" % len(body))]}, receive, send)


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
