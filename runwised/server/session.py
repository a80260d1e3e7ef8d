"""One connection, from its first byte to its last."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import msgspec
from runwise_protocol import frames
from runwise_protocol.errors import Kind, RunwiseError

from runwised.server.conversation import CommandLine, Conversation, Opening, Question, Refusal, Request
from runwised.server.dispatch import Dispatcher
from runwised.server.pulse import Pulse
from runwised.server.wire import Gone, Wire


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How long, and how many."""

    request_seconds: float = 10
    """From the first byte of a request to its last."""
    quiet_seconds: float = 60
    """Between two requests; whoever asks later connects again."""
    stall_seconds: float = 300
    """Without a byte being taken: a person may be reading in a pager."""
    alive_seconds: float = 5
    """Between two signs of life while an answer is worked on."""
    clients: int = 4096


def _alive() -> bytes:
    return b"."


class Session:
    """Answers one connection's requests in order, until the other side goes away or breaks the rules."""

    def __init__(self, wire: Wire, dispatcher: Dispatcher, limits: Limits, pulse: Pulse) -> None:
        self._wire = wire
        self._dispatcher = dispatcher
        self._limits = limits
        self._pulse = pulse
        self._conversation = Conversation()
        self._ahead = b""
        """Bytes that came while an answer was worked on."""
        self._begun = 0.0
        """When the request that has not ended yet began."""
        self._gone = False
        self._sign: Callable[[], bytes] = _alive
        """What gives the payload of the next sign of life."""
        self._taken_at = 0.0
        """When the last sign of life was taken."""

    async def run(self) -> None:
        """Serve it. Raises nothing; does not close the wire."""
        try:
            while data := await self._receive():
                was_partial = self._conversation.partial
                requests = self._conversation.receive(data)
                if requests or not was_partial:
                    self._begun = anyio.current_time()
                for request in requests:
                    await self._answer(request)
                    if isinstance(request, Opening) and self._dispatcher.hosts:
                        await self._dispatcher.host(self._wire, request.where)
                        return
                    if self._gone or (isinstance(request, Refusal) and request.last):
                        return
        except Gone:
            pass

    async def _receive(self) -> bytes:
        """The next bytes; none when nothing more is to be done here."""
        if self._ahead:
            data, self._ahead = self._ahead, b""
            return data
        partial, seconds = self._conversation.partial, self._limits.quiet_seconds
        if partial:
            seconds = self._begun + self._limits.request_seconds - anyio.current_time()
        with anyio.move_on_after(seconds):
            return await self._wire.receive()
        if partial:
            message = f"the request was not finished within {self._limits.request_seconds:g} s"
            await self._answer(Refusal(RunwiseError(Kind.USAGE, message), last=True))
        return b""

    async def _answer(self, request: Request) -> None:
        """Answer; stop at once when the other side goes away meanwhile."""
        if not isinstance(request, CommandLine | Question):
            await self._dispatcher.answer(request, self._send)
            return
        self._sign = _alive
        self._taken_at = anyio.current_time()
        watching = anyio.CancelScope()
        async with anyio.create_task_group() as group:
            group.start_soon(self._watch, group.cancel_scope, watching)
            with self._pulse.beating(lambda: self._beat(group.cancel_scope)):
                try:
                    await self._dispatcher.answer(request, self._send, self._say)
                except Gone:
                    self._gone = True
            watching.cancel()

    async def _watch(self, answering: anyio.CancelScope, watching: anyio.CancelScope) -> None:
        """See the other side go away, until `watching` is cancelled.

        A task that ends by a cancellation is in a knot with it, and with all this connection holds, until the garbage
        collector unties it; this one ends by itself.
        """
        with watching:
            while not self._gone:
                if len(self._ahead) >= frames.REQUEST_CAP:
                    await anyio.sleep_forever()
                data = await self._wire.receive()
                self._gone = not data
                self._ahead += data
            answering.cancel()

    def _beat(self, answering: anyio.CancelScope) -> None:
        """Show the other side that we are here; one that takes nothing for long has gone."""
        now = anyio.current_time()
        try:
            if self._wire.offer(frames.encode(frames.ALIVE, self._sign())):
                self._taken_at = now
        except Gone:
            self._gone = True
        if self._gone or now - self._taken_at > self._limits.stall_seconds:
            self._gone = True
            answering.cancel()

    def _say(self, payload: Callable[[], bytes]) -> None:
        """Say so from now on, and at once: who is to ask the next daemon what is left must know from where."""
        self._sign = payload
        try:
            self._wire.offer(frames.encode(frames.ALIVE, payload()))
        except Gone:
            self._gone = True

    async def _send(self, kind: int, payload: bytes) -> None:
        await self._wire.send(frames.encode(kind, payload), self._limits.stall_seconds)
