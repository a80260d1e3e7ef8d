"""`Client`: typed questions to the daemon, which is started when none answers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, BinaryIO, Self, TypeAlias, TypeVar

from runwise_protocol import __version__, frames, launch, messages
from runwise_protocol.channel import Channel, Child, NotRunning, open_channel
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.query import Look, Query, Reply, Where
from runwise_protocol.versions import is_newer

T = TypeVar("T")
Frame: TypeAlias = tuple[int, bytes]


_INSTALL = "runwise daemon install puts this one in its place"


class Upgraded(RunwiseError):  # noqa: N818 - a finding, worded as one
    """What is installed is of another version than this process, which began before that."""

    def __init__(self, version: str) -> None:
        message = f"runwise was upgraded to {version or 'another version'} after this {__version__} had begun"
        super().__init__(Kind.UNREACHABLE, message, "start this program anew")
        self.said = ""
        """The last sign of life of the daemon that was there before, for `Query.resumed`."""


class Client:
    """A connection to the user's daemon; not for several threads at once. Every method raises RunwiseError.

    With `start`, a daemon is started where none answers, and an older one is replaced. Where none can run, or a newer
    one does, the engine runs in a child process, after a line about that on stderr. A connection that was lost between
    two questions is made anew, and a question whose answer did not begin because the daemon ended is asked once more.
    """

    def __init__(self, *, start: bool = True) -> None:
        self._start = start
        self._channel: Channel | None = None
        self._frames = frames.Frames(frames.REPLY_CAP)
        self._whole: list[Frame] = []
        self._said = ""
        """Payload of the daemon's last sign of life."""
        self._abandoned = False
        self.version = ""
        """Version of the daemon."""
        self.is_alone = False
        """Whether the engine runs in a child process, for this client only."""

    @classmethod
    def connect(cls, *, start: bool = True) -> Self:
        """A client that has reached the daemon."""
        client = cls(start=start)
        client._open()
        return client

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection; another question would make a new one."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def abandon(self) -> None:
        """End what another thread is asking, which raises RunwiseError there; nothing can be asked after it."""
        self._abandoned = True
        channel = self._channel
        if channel is not None:
            channel.shut()

    def ask(self, query: Query, *, look: Look | None = None, where: Where | None = None) -> Reply:
        """The typed answer, of the type that `query.reply` names; its `str()` is the text."""
        frame = self._ask(frames.ASK, query, look, where)
        return _read(frame, frames.ANSWER, lambda payload: messages.decode_answer(payload, query)[0])

    def write(self, query: Query, look: Look | None, where: Where | None, out: BinaryIO) -> int:
        """Write the answer's text to `out` as it comes; gives the exit status. Raises OSError when `out` does."""
        frame = self._ask(frames.WRITE, query, look, where)
        try:
            while frame[0] == frames.OUT:
                out.write(frame[1])
                frame = self._next() or _torn()
            out.flush()
        except BaseException:
            self.close()  # what is still under way would be taken for the next answer
            raise
        return _read(frame, frames.EXIT, lambda payload: payload[0])

    def control(self, verb: str) -> dict[str, Any]:
        """What the daemon says to ``ping``, ``status``, ``stop`` or ``demo``, whatever its version."""
        return _read(self._request(frames.CONTROL, verb.encode()), frames.STATE, messages.decode_state)

    def _ask(self, kind: int, query: Query, look: Look | None, where: Where | None) -> Frame:
        """The first frame of the answer. A question that waits for something outlives any number of daemons."""
        where = where or here()
        left = query

        def resume() -> bytes | None:
            nonlocal left
            before, left = left, left.resumed(self._said)
            return None if left is before else messages.encode_ask(messages.Ask.of(left, look, where))

        return self._request(kind, messages.encode_ask(messages.Ask.of(query, look, where)), resume)

    def _request(self, kind: int, payload: bytes, resume: Callable[[], bytes | None] = lambda: None) -> Frame:
        """The first frame of the answer. `resume` says what to ask of the next daemon where that is something else."""
        if len(payload) > frames.REQUEST_CAP:
            raise RunwiseError(Kind.USAGE, f"a question of {len(payload)} bytes; {frames.REQUEST_CAP} are allowed")
        endings = 0
        while endings < 2:
            self._check()
            said, self._said = self._said, ""
            try:
                channel = self._channel or self._open()
            except Upgraded as upgraded:
                upgraded.said = said
                raise
            if kind != frames.CONTROL and self.version != __version__:
                message = f"the daemon is version {self.version}, this is {__version__}"
                raise RunwiseError(Kind.UNREACHABLE, message, "runwise daemon restart")
            frame = self._exchange(channel, kind, payload)
            if frame is not None:
                return frame
            self.close()
            left = resume()
            endings, payload = (endings + 1, payload) if left is None else (0, left)
        raise RunwiseError(Kind.UNREACHABLE, "the daemon ended twice without an answer", f"see {launch.log_path()}")

    def _open(self) -> Channel:
        """Connect and learn the daemon's version; with `start`, replace an older one, and leave a newer one alone."""
        was_replaced = False
        for _ in range(3):
            channel = self._greet(open_channel(start=self._start))
            if channel is None:
                continue
            if self.version == __version__ or not self._start:
                return channel
            if was_replaced:
                return self._beside(f"the service starts version {self.version}, this is {__version__}", _INSTALL)
            if is_newer(self.version, __version__):
                return self._beside(f"the daemon is version {self.version}, newer than this ({__version__})", "")
            self.close()
            launch.replace(self._stop_older)
            was_replaced = True
        raise RunwiseError(Kind.UNREACHABLE, "the daemon keeps ending", f"see {launch.log_path()}")

    def _greet(self, channel: Channel) -> Channel | None:
        """Make it the one that is used, once its version is known; None where the other side goes away."""
        self._channel, self.is_alone = channel, isinstance(channel, Child)
        self._frames, self._whole = frames.Frames(frames.REPLY_CAP), []
        said = self._exchange(channel, frames.HELLO, __version__.encode())
        if said is None:
            self.close()
            return None
        self.version = _read(said, frames.HELLO, bytes.decode)
        return channel

    def _stop_older(self) -> bool:
        """Ask an older daemon to end; whether there was one. It first finishes what it is answering."""
        try:
            channel = self._greet(open_channel(start=False))
        except NotRunning:
            return False
        is_older = channel is not None and self.version != __version__ and not is_newer(self.version, __version__)
        if channel is not None and is_older:
            self._exchange(channel, frames.CONTROL, b"stop")
        self.close()
        return is_older

    def _beside(self, why: str, hint: str) -> Channel:
        """An engine of our own version, beside a daemon of another one. Raises Upgraded where it is there no more."""
        self.close()
        channel = self._greet(Child())
        if channel is None or self.version != __version__:
            self.close()
            raise Upgraded(self.version)
        print(f"note: {why}; answering without it" + (f"; {hint}" if hint else ""), file=sys.stderr)
        return channel

    def _exchange(self, channel: Channel, kind: int, payload: bytes) -> Frame | None:
        """Send one frame and take one; None when the other side went away."""
        try:
            self._check()
            try:
                channel.send(frames.encode(kind, payload))
            except OSError:
                pass  # it may have said why before it went away
            return self._next()
        except BaseException:
            self.close()
            raise

    def _check(self) -> None:
        if self._abandoned:
            raise RunwiseError(Kind.UNREACHABLE, "the question was abandoned")

    def _next(self) -> Frame | None:
        if self._channel is None:
            return None
        while True:
            while not self._whole:
                try:
                    data = self._channel.receive()
                except OSError:
                    data = b""
                if not data:
                    return None
                try:
                    self._whole = self._frames.feed(data)
                except frames.FrameError as error:
                    raise _senseless(str(error)) from error
            frame = self._whole.pop(0)
            if frame[0] != frames.ALIVE:
                return frame
            self._said = frame[1].decode(errors="replace")


def here() -> Where:
    """From where this process asks. Raises RunwiseError when its working directory is gone."""
    try:
        cwd = os.getcwd()
    except FileNotFoundError as error:
        raise RunwiseError(Kind.NOT_FOUND, "the working directory is gone", "cd to a folder that exists") from error
    return Where(cwd=cwd, environ={name: os.environ[name] for name in frames.ENVIRON if name in os.environ})


def _read(frame: Frame, expected: int, decode: Callable[[bytes], T]) -> T:
    """What the last frame of an answer says; raises what it says where that is a failure."""
    kind, payload = frame
    try:
        if kind == frames.FAILURE:
            raise messages.decode_failure(payload)
        if kind == expected:
            return decode(payload)
    except ValueError as error:
        raise _senseless(str(error)) from error
    raise _senseless(f"a frame of kind {chr(kind)!r} for {chr(expected)!r}")


def _senseless(reason: str) -> RunwiseError:
    return RunwiseError(Kind.INTERNAL, f"the daemon's answer makes no sense: {reason}", "runwise daemon restart")


def _torn() -> Frame:
    raise RunwiseError(Kind.UNREACHABLE, "the daemon went away in the middle of the answer", "ask again")
