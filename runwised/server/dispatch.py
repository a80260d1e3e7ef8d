"""From a request to the frames that answer it."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Protocol, TypeAlias, TypeVar

import anyio
import anyio.abc
import anyio.lowlevel
import msgspec
from runwise_protocol import __version__, argv, frames, messages
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.query import Look, Query, Reply, Where

from runwised.server.conversation import CommandLine, Greeting, Opening, Order, Question, Refusal, Request
from runwised.server.wire import Gone, Wire

CHUNK_BYTES = 1 << 16
"""What is taken of a stream at once, or a little more."""
CHUNK_SECONDS = 0.005
"""What taking it may take: all other clients wait meanwhile."""
MOST_BYTES = 1 << 20
"""Most of a stream in one frame."""
ANSWER_SECONDS = 600
"""Longest wait for an answer, beside what the question itself wants to wait."""

T = TypeVar("T")
_ME = {"version": __version__, "pid": os.getpid()}
_log = logging.getLogger(__name__)

Send: TypeAlias = Callable[[int, bytes], Awaitable[None]]
"""Sends one frame; waits until the other side has taken it."""


Say: TypeAlias = Callable[[Callable[[], bytes]], None]
"""Takes what gives the payload of the signs of life from now on, see WIRE.md."""


def nothing_to_say(payload: Callable[[], bytes]) -> None:
    """For askers that see no signs of life."""
    del payload


class Written(Protocol):
    """An answer, ready to send: `runwised.queries.respond.Written` is one."""

    @property
    def reply(self) -> Reply:
        """The typed answer."""

    @property
    def chunks(self) -> Iterator[str]:
        """Its text, in pieces; taking one may read files."""

    @property
    def exit_status(self) -> int:
        """What a command exits with."""


class Engine(Protocol):
    """What answers questions, behind the socket."""

    async def ask(self, query: Query, look: Look, where: Where, say: Say) -> Written:
        """Answer. Raises RunwiseError, and so may the chunks of what it gives.

        `say` is for an answer that may be long in coming: what it is given is asked for each sign of life.
        """

    def status(self) -> dict[str, Any]:
        """How it is, for a person; JSON."""

    def counts(self) -> dict[str, int]:
        """The same in a few numbers, for which no disk is touched."""

    async def demo(self) -> str:
        """Path of a folder with the demonstration project, made ready. Raises RunwiseError."""

    async def run(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Work in the background until cancelled; started when it can answer."""

    async def root(self, where: Where) -> str | None:
        """Root of the project that a question from there is about; None where there is none."""

    async def recent(self) -> list[str]:
        """Roots of the projects that were ever asked about, the latest first; some may be gone."""

    @property
    def stalled_seconds(self) -> float:
        """How long the background has been at one thing without getting on with it."""

    def reload(self) -> None:
        """Forget what was learned of the machine, and look at everything again."""

    async def close(self) -> None:
        """Save what is worth saving."""

    def rescue(self) -> None:
        """Save what can be saved while the loop hangs; called on another thread, and nothing is called after it."""


class Dispatcher:
    """Answers requests, several at once if need be, and keeps count of them."""

    def __init__(self, engine: Engine, host: Host | None = None) -> None:
        self.engine = engine
        self._host = host
        self._started = self._last = time.monotonic()
        self._answering = 0
        self._patient = 0
        """Those of them that wait for something to happen."""
        self._moved = anyio.Event()
        """Set when there are fewer of either."""
        self._answered = 0
        self._hosted = 0
        self.stop = anyio.Event()
        """Set when the daemon is asked to end."""
        self.gives_way = False
        """Whether it was a client who asked: the next daemon is then waited for."""
        self.facts: Callable[[], dict[str, Any]] = dict
        """What else `status` tells."""

    @property
    def idle_seconds(self) -> float:
        """Time since the last answer was given; 0 while one is being worked on, or an MCP session is open."""
        return 0.0 if self._answering or self._hosted else time.monotonic() - self._last

    @property
    def answered(self) -> int:
        """Answers that were given."""
        return self._answered

    async def drained(self) -> None:
        """Wait until no answer is worked on but those that wait for something to happen."""
        while self._answering > self._patient:
            self._moved = anyio.Event()
            await self._moved.wait()

    async def answer(self, request: Request, send: Send, say: Say = nothing_to_say) -> None:
        """Send what answers the request. Raises Gone when the other side does not take it."""
        with self._counted():
            try:
                await self._answer(request, send, say)
            except RunwiseError as error:
                await _fail(request, error, send)
            except Gone:
                raise
            except Exception as error:  # noqa: BLE001 - whatever one question meets, the others must be answered
                await _fail(request, _internal(error, request), send)

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        begun = time.monotonic()
        self._answering += 1
        try:
            yield
        finally:
            self._answering -= 1
            self._moved.set()
            self._answered += 1
            self._last = time.monotonic()
            _log.debug("answered in %.1f ms", 1000 * (self._last - begun))

    @property
    def hosts(self) -> bool:
        """Whether MCP sessions are served."""
        return self._host is not None

    async def host(self, wire: Wire, where: Where) -> None:
        """Serve the MCP session that an answered `Opening` began."""
        assert self._host is not None
        self._hosted += 1
        try:
            await self._host(self, wire, where)
        finally:
            self._hosted -= 1
            self._last = time.monotonic()

    async def ask(self, query: Query, look: Look, where: Where, say: Say = nothing_to_say) -> tuple[Reply, str]:
        """An answer for a session, and its text. Raises RunwiseError and nothing else."""
        with self._counted():
            try:
                written = await self._written(query, look, where, say)
                return written.reply, (await _text(query, written)).decode(errors="replace")
            except RunwiseError:
                raise
            except Exception as error:
                raise _internal(error, query) from error

    async def _answer(self, request: Request, send: Send, say: Say) -> None:
        match request:
            case CommandLine(lane):
                parsed = argv.parse(lane.argv)
                if parsed is None:
                    await send(frames.DECLINE, b"not a plain command line")
                else:
                    await self._stream(parsed.query, lane.look(parsed.look), parsed.seen_from(lane.where), send, say)
            case Question(ask, streamed=True):
                await self._stream(ask.query, _dressed(ask.look), ask.where, send, say)
            case Question(ask, streamed=False):
                await send(frames.ANSWER, await self._whole(ask.query, _dressed(ask.look), ask.where, say))
            case Order("stop"):
                await send(frames.STATE, messages.encode_state(_ME))
                self.gives_way = True
                self.stop.set()
            case Order(verb):
                await send(frames.STATE, messages.encode_state(await self._obey(verb)))
            case Opening() if self._host is None:
                raise RunwiseError(Kind.USAGE, "no MCP sessions here", "runwise daemon start")
            case Greeting() | Opening():
                await send(frames.HELLO, __version__.encode())
            case Refusal(error):
                raise error

    async def _written(self, query: Query, look: Look, where: Where, say: Say) -> Written:
        is_patient = query.patience > 0
        self._patient += is_patient
        self._moved.set()
        try:
            return await _bounded(self.engine.ask(query, look, where, say), query.patience)
        finally:
            self._patient -= is_patient

    async def _stream(self, query: Query, look: Look, where: Where, send: Send, say: Say) -> None:
        written = await self._written(query, look, where, say)
        for data in _pieces(written.chunks):
            for start in range(0, len(data), MOST_BYTES):
                await send(frames.OUT, data[start : start + MOST_BYTES])
            await anyio.lowlevel.checkpoint()  # a long stream must not keep the others waiting
        await send(frames.EXIT, bytes((written.exit_status,)))

    async def _whole(self, query: Query, look: Look, where: Where, say: Say) -> bytes:
        written = await self._written(query, look, where, say)
        text = await _text(query, written)
        payload = messages.encode_answer(written.reply, text.decode(errors="surrogateescape"), written.exit_status)
        if len(payload) > frames.REPLY_CAP:
            raise _too_long(query)
        return payload

    async def _obey(self, verb: str) -> dict[str, Any]:
        match verb:
            case "ping":
                return _ME
            case "demo":
                return {"path": await _bounded(self.engine.demo())}
            case "status":
                up = round(time.monotonic() - self._started, 3)
                counts = {"uptime_seconds": up, "answering": self._answering - 1, "answered": self._answered}
                counts["mcp_sessions"] = self._hosted
                return {**_ME, **counts, **self.facts(), "engine": self.engine.status()}
        raise RunwiseError(Kind.USAGE, f"no verb {verb[:40]!r}; ping, status, stop, demo", "runwise daemon --help")


class Host(Protocol):
    """What serves MCP sessions."""

    async def warm(self) -> None:
        """Get ready for one, where one is likely to come. Raises nothing."""

    async def __call__(self, dispatcher: Dispatcher, wire: Wire, where: Where) -> None:
        """Serve one on a wire, asked for from a place, until the other side goes away."""


async def _text(query: Query, written: Written) -> bytearray:
    """The whole text of an answer. Raises RunwiseError when it is too long for one piece."""
    text = bytearray()
    for data in _pieces(written.chunks):
        text += data
        if len(text) > frames.REPLY_CAP:
            raise _too_long(query)
        await anyio.lowlevel.checkpoint()
    return text


async def _bounded(work: Awaitable[T], patience: float = 0.0) -> T:
    """The result. Raises RunwiseError when it does not come in time, so that nobody waits for ever."""
    seconds = ANSWER_SECONDS + patience
    with anyio.move_on_after(seconds):
        return await work
    raise RunwiseError(Kind.UNREADABLE, f"no answer within {seconds:g} s", "runwise daemon status")


def _pieces(chunks: Iterator[str]) -> Iterator[bytes]:
    """The same text in pieces that are worth a frame, none of which takes long to make."""
    data, begun = bytearray(), time.monotonic()
    for chunk in chunks:
        data += chunk.encode(errors="surrogateescape")
        if len(data) >= CHUNK_BYTES or time.monotonic() - begun > CHUNK_SECONDS:
            yield bytes(data)
            data, begun = bytearray(), time.monotonic()
    yield bytes(data)


def _too_long(query: Query) -> RunwiseError:
    message = f"the answer is longer than {frames.REPLY_CAP} bytes, which is the most in one piece"
    return RunwiseError(Kind.USAGE, message, f"take it as a stream: runwise {query.command}")


def _dressed(look: Look) -> Look:
    """An asker that is no terminal and names no dress is a program."""
    return look if look.dress else msgspec.structs.replace(look, dress="agent")


def _internal(error: Exception, request: Request | Query) -> RunwiseError:
    name = secrets.token_hex(3)
    _log.error("internal error %s in %s", name, type(request).__name__, exc_info=error)
    return RunwiseError(Kind.INTERNAL, f"internal error {name}: {type(error).__name__}", "see the daemon's log")


async def _fail(request: Request, error: RunwiseError, send: Send) -> None:
    if isinstance(request, CommandLine):
        await send(frames.ERR, f"{error}\n".encode(errors="surrogateescape"))
        await send(frames.EXIT, bytes((error.kind.exit_status,)))
    else:
        await send(frames.FAILURE, messages.encode_failure(error))
