"""One connection without its socket: bytes in, requests out."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from runwise_protocol import __version__, frames, messages
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.query import Where


class Greeting(NamedTuple):
    """The other side wants to know our version (also where its command line is of another one)."""


class CommandLine(NamedTuple):
    """A command line."""

    lane: messages.Lane


class Question(NamedTuple):
    """A typed question."""

    ask: messages.Ask
    streamed: bool


class Order(NamedTuple):
    """A verb for the daemon itself."""

    verb: str


class Opening(NamedTuple):
    """An MCP session is to begin: the connection is no longer one of frames."""

    where: Where


class Refusal(NamedTuple):
    """A request that cannot be taken; `last`: what follows it cannot be read."""

    error: RunwiseError
    last: bool


Request: TypeAlias = Greeting | CommandLine | Question | Order | Opening | Refusal


class Conversation:
    """Takes what the other side sends, in pieces of any size, and gives its requests in order; raises nothing."""

    def __init__(self) -> None:
        self._frames = frames.Frames(frames.REQUEST_CAP)
        self._greeted = False

    @property
    def partial(self) -> bool:
        """Whether a request has begun and not ended."""
        return self._frames.partial

    def receive(self, data: bytes) -> list[Request]:
        """The requests that these bytes complete; nothing is taken after a `Refusal` that is the last."""
        try:
            return [self._request(*frame) for frame in self._frames.feed(data)]
        except frames.FrameError as error:
            refusal = Refusal(RunwiseError(Kind.USAGE, f"not a request: {error}", "see WIRE.md"), last=True)
            return [*(self._request(*frame) for frame in error.whole), refusal]

    def _request(self, kind: int, payload: bytes) -> Request:
        try:
            return self._read(kind, payload)
        except RunwiseError as error:
            return Refusal(error, last=False)
        except ValueError as error:
            return Refusal(RunwiseError(Kind.USAGE, f"not a request: {error}", "see WIRE.md"), last=False)

    def _read(self, kind: int, payload: bytes) -> Request:
        if kind in (frames.LANE, frames.MCP):
            if messages.lane_version(payload) != __version__:
                return Greeting()
            lane = messages.decode_lane(payload)
            return CommandLine(lane) if kind == frames.LANE else Opening(lane.where)
        if kind == frames.HELLO:
            self._greeted = payload.decode() == __version__
            return Greeting()
        if kind == frames.CONTROL:
            return Order(payload.decode())
        if kind not in (frames.ASK, frames.WRITE):
            raise ValueError(f"unknown kind {kind:#04x}")
        if not self._greeted:
            raise ValueError(f"this daemon is version {__version__}; a HELLO of that version comes first")
        return Question(messages.decode_ask(payload), streamed=kind == frames.WRITE)
