"""Serves one MCP server on a stream of bytes: lines to messages and back, until the other side goes away."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeAlias

import anyio
import mcp_types as types
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.server.lowlevel import Server
from mcp.shared.message import SessionMessage
from runwise_protocol.frames import REQUEST_CAP

from runwise_mcp.lines import Lines

Receive: TypeAlias = Callable[[], Awaitable[bytes]]
"""Gives the next bytes; none when the other side has gone."""
Send: TypeAlias = Callable[[bytes], Awaitable[None]]
"""Sends all of it. Raises anyio.BrokenResourceError when the other side has gone, or takes nothing."""

GRACE_SECONDS = 2.0
"""What is being worked on when the client closes its sending side is answered if that takes no longer."""
_ENDLESS = "subscriptions/listen"


class _Refusal(NamedTuple):
    """What a line that is no message is answered with. An error that the client sends is a message."""

    error: types.JSONRPCError


class Transport:
    """One connection; see `serve`."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._open: set[str] = set()
        """Ids of requests that are to be answered."""
        self._settled = anyio.Event()

    async def serve(self, server: Server[Any]) -> None:
        """Serve until the other side goes away. Raises nothing of the other side's doing."""
        arriving, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        outgoing, leaving = anyio.create_memory_object_stream[SessionMessage](0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._read, arriving, outgoing.clone())
            tasks.start_soon(self._write, leaving, tasks.cancel_scope)
            await server.run(incoming, outgoing, server.create_initialization_options())
            tasks.cancel_scope.cancel()

    async def _read(
        self,
        arriving: MemoryObjectSendStream[SessionMessage | Exception],
        refusing: MemoryObjectSendStream[SessionMessage],
    ) -> None:
        lines = Lines()
        async with arriving, refusing:
            while data := await self._receive():
                for line in lines.feed(data):
                    message = _read(line)
                    if isinstance(message, _Refusal):
                        await refusing.send(SessionMessage(message.error))
                    else:
                        self._count(message)
                        await arriving.send(SessionMessage(message))
            with anyio.move_on_after(GRACE_SECONDS):
                while self._open:
                    self._settled = anyio.Event()
                    await self._settled.wait()

    async def _write(self, leaving: MemoryObjectReceiveStream[SessionMessage], serving: anyio.CancelScope) -> None:
        async with leaving:
            async for item in leaving:
                message = item.message
                try:
                    await self._send(message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
                except anyio.BrokenResourceError:
                    serving.cancel()
                    return
                if isinstance(message, types.JSONRPCResponse | types.JSONRPCError):
                    self._settle(message.id)

    def _count(self, message: types.JSONRPCMessage) -> None:
        if isinstance(message, types.JSONRPCRequest) and message.method != _ENDLESS:
            self._open.add(str(message.id))
        elif isinstance(message, types.JSONRPCNotification) and message.method == "notifications/cancelled":
            self._settle((message.params or {}).get("requestId"))

    def _settle(self, request_id: object) -> None:
        self._open.discard(str(request_id))
        self._settled.set()


def _read(line: bytes | None) -> types.JSONRPCMessage | _Refusal:
    """The message in a line, or what to answer where there is none."""
    if line is None:
        return _refusal(None, types.INVALID_REQUEST, f"a message of more than {REQUEST_CAP} bytes")
    try:
        message = types.jsonrpc_message_adapter.validate_json(line, by_name=False)
        if not (isinstance(message, types.JSONRPCNotification) and b'"id"' in line):
            return message
    except ValueError:
        message = None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return _refusal(None, types.PARSE_ERROR, "not a line of JSON")
    if message is not None and "id" not in found:
        return message
    request_id = found.get("id") if isinstance(found, dict) else None
    known = request_id if isinstance(request_id, str | int) and not isinstance(request_id, bool) else None
    return _refusal(known, types.INVALID_REQUEST, "not a JSON-RPC 2.0 message")


def _refusal(request_id: types.RequestId | None, code: int, message: str) -> _Refusal:
    return _Refusal(types.JSONRPCError(jsonrpc="2.0", id=request_id, error=types.ErrorData(code=code, message=message)))
