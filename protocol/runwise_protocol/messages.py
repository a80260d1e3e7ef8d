"""What is in the frames: requests and replies as structs, and their bytes; see WIRE.md."""

from __future__ import annotations

import json
import os
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from runwise_protocol import frames
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.harmless import portable
from runwise_protocol.queries import AnyQuery
from runwise_protocol.query import Look, Query, Reply, Where


class Lane(NamedTuple):
    """A command line, as the lane sends it."""

    where: Where
    width: int
    """Columns of the terminal; 0: not known."""
    terminal: bool
    color: bool
    argv: list[str]

    def look(self, given: dict[str, Any]) -> Look:
        """What the command line says about the look of the answer, completed by what is known of the terminal."""
        dress = "human" if self.terminal else "agent"
        width = {"width": min(max(self.width, 20), 10_000)} if self.width else {}
        return Look(**{"dress": dress, "color": self.color, **width, **given})


class Ask(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A typed question. Paths are bytes, for they need not be UTF-8."""

    query: AnyQuery
    look: Look = Look()
    cwd: bytes
    environ: dict[str, bytes] = {}
    project: bytes | None = None

    @classmethod
    def of(cls, query: Query, look: Look | None, where: Where) -> Ask:
        """The question as it is sent."""
        environ = {name: os.fsencode(value) for name, value in where.environ.items()}
        project = None if where.project is None else os.fsencode(where.project)
        asked = {"query": query, "look": look or Look(), "cwd": os.fsencode(where.cwd)}
        return cls(**asked, environ=environ, project=project)  # type: ignore[arg-type]

    @property
    def where(self) -> Where:
        """From where it is asked."""
        where = _where(os.fsdecode(self.cwd), {name: os.fsdecode(value) for name, value in self.environ.items()})
        return where if self.project is None else replace(where, project=os.fsdecode(self.project))


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A typed answer, with the text that a command would have printed."""

    reply: msgspec.Raw
    text: str
    exit_status: int = 0


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A `RunwiseError` on its way."""

    kind: str
    message: str
    hint: str = ""

    @property
    def error(self) -> RunwiseError:
        """What to raise."""
        return RunwiseError(Kind.of(self.kind), self.message, self.hint)


_ask_decoder = msgspec.msgpack.Decoder(Ask)
_answer_decoder = msgspec.msgpack.Decoder(Answer)
_failure_decoder = msgspec.msgpack.Decoder(Failure)


def lane_version(payload: bytes) -> str:
    """The version of who sent a LANE payload: its first field, in every version."""
    return payload.partition(b"\0")[0].decode(errors="replace")


def decode_lane(payload: bytes) -> Lane:
    """A LANE payload of our own version. Raises ValueError."""
    _, width, flags, count, cwd, *rest = payload.split(b"\0")
    known = int(count)
    if not 0 <= known <= len(rest):
        raise ValueError(f"{known} variables announced in {len(rest)} fields")
    environ = dict(os.fsdecode(entry).split("=", 1) for entry in rest[:known])
    where = _where(os.fsdecode(cwd), environ)
    return Lane(where, int(width), b"t" in flags, b"c" in flags, [os.fsdecode(word) for word in rest[known:]])


def encode_ask(ask: Ask) -> bytes:
    """Payload of ASK and WRITE. Raises RunwiseError (usage) for text that is not Unicode and vast whole numbers."""
    try:
        return msgspec.msgpack.encode(ask)
    except (UnicodeEncodeError, OverflowError) as error:
        raise RunwiseError(Kind.USAGE, f"cannot be asked: {error}", "runwise --help") from error


def decode_ask(payload: bytes) -> Ask:
    """Payload of ASK and WRITE. Raises RunwiseError (usage) that names the field."""
    try:
        ask = _ask_decoder.decode(payload)
        if any("\0" in path for path in (ask.where.cwd, ask.where.project or "", *ask.where.environ.values())):
            raise msgspec.DecodeError("a path with a null byte - at `$.where`")
        return ask
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RunwiseError(Kind.USAGE, f"not a question: {error}", "runwise --help") from error


def encode_answer(reply: Reply, text: str, exit_status: int) -> bytes:
    """Payload of ANSWER."""
    return _encode({"reply": reply, "text": text, "exit_status": exit_status})


def decode_answer(payload: bytes, query: Query) -> tuple[Reply, int]:
    """The reply to `query`, its text set, and the exit status. Raises ValueError."""
    answer = _answer_decoder.decode(payload)
    reply: Reply = msgspec.msgpack.decode(answer.reply, type=query.reply)
    reply.__dict__["text"] = answer.text
    return reply, answer.exit_status


def encode_failure(error: RunwiseError) -> bytes:
    """Payload of FAILURE."""
    return _encode({"kind": error.kind.code, "message": error.message, "hint": error.hint})


def decode_failure(payload: bytes) -> RunwiseError:
    """What a FAILURE says. Raises ValueError."""
    return _failure_decoder.decode(payload).error


def encode_state(state: dict[str, Any]) -> bytes:
    """Payload of STATE: JSON, which every version can read."""
    return json.dumps(state).encode()


def decode_state(payload: bytes) -> dict[str, Any]:
    """What a STATE says. Raises ValueError."""
    state = json.loads(payload)
    if not isinstance(state, dict):
        raise ValueError(f"expected an object, found {type(state).__name__}")
    return state


def _where(cwd: str, environ: dict[str, str]) -> Where:
    return Where(cwd=cwd, environ={name: environ[name] for name in frames.ENVIRON if name in environ})


def _encode(message: dict[str, Any]) -> bytes:
    try:
        return msgspec.msgpack.encode(message)
    except (UnicodeEncodeError, OverflowError):
        return msgspec.msgpack.encode(_portable(msgspec.to_builtins(message)))


def _portable(value: Any) -> Any:
    """The same without what msgpack has no room for: bytes in names become ``\\udcff``, vast whole numbers text."""
    if isinstance(value, str):
        return portable(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)
    if isinstance(value, dict):
        return {_portable(key): _portable(inner) for key, inner in value.items()}
    return [_portable(inner) for inner in value] if isinstance(value, list | tuple) else value
