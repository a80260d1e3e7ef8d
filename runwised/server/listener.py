"""Takes connections from the listening socket, and keeps each one's troubles to itself."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket

import anyio
import anyio.abc
from runwise_protocol import frames, messages
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.launch import peer_uid

from runwised.server.dispatch import Dispatcher
from runwised.server.pulse import Pulse
from runwised.server.session import Limits, Session
from runwised.server.wire import Wire

_SHORT = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
"""Nothing is wrong with the listening socket, there is only no room."""
_PAUSE_SECONDS = 0.1
_TOLD_AT_ONCE = 64
"""Clients that are told so between two pauses."""

_log = logging.getLogger(__name__)


class Listener:
    """Serves everybody who connects, as long as it runs."""

    def __init__(self, listening: socket.socket, dispatcher: Dispatcher, limits: Limits) -> None:
        listening.setblocking(False)
        self._listening = listening
        self._dispatcher = dispatcher
        self._limits = limits
        self._pulse = Pulse(limits.alive_seconds)
        self._spare = _spare()
        self._accepting = anyio.CancelScope()
        self._closed = anyio.Event()
        self.clients = 0
        """Open connections."""

    async def run(self) -> None:
        """Take connections until closed, and serve them until cancelled."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._pulse.run)
            with self._accepting:
                await self._accept(group)
            self._closed.set()

    async def close(self) -> None:
        """Take no more connections; the listening socket is no longer used then."""
        self._accepting.cancel()
        await self._closed.wait()

    async def _accept(self, group: anyio.abc.TaskGroup) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except BlockingIOError:
                await anyio.wait_readable(self._listening)
            except ConnectionError:
                continue
            except OSError as error:
                if error.errno not in _SHORT:
                    raise
                await self._make_do(error)
            else:
                self._take(connection, group)

    def _take(self, connection: socket.socket, group: anyio.abc.TaskGroup) -> None:
        uid = peer_uid(connection)
        if uid not in (None, os.getuid()):
            _turn_away(connection, f"this daemon serves uid {os.getuid()} alone, you are {uid}", "runwise daemon start")
        elif self.clients >= self._limits.clients:
            _turn_away(connection, f"the daemon is busy with {self.clients} clients", "ask again")
        else:
            self.clients += 1
            group.start_soon(self._serve, connection)

    async def _serve(self, connection: socket.socket) -> None:
        descriptor = connection.detach()
        wire = Wire(descriptor, descriptor)
        try:
            await Session(wire, self._dispatcher, self._limits, self._pulse).run()
        except Exception:  # noqa: BLE001 - the boundary: one connection must not end the others
            _log.exception("a connection ended badly")
        finally:
            wire.close()
            self.clients -= 1

    async def _make_do(self, error: OSError) -> None:
        """Out of descriptors: give the spare one to those who wait, to be told so; then leave time to free some."""
        _log.warning("cannot take connections: %s", error)
        for _ in range(_TOLD_AT_ONCE):
            if self._spare is None or not self._turn_one_away(error):
                break
        await anyio.sleep(_PAUSE_SECONDS)
        self._spare = _spare() if self._spare is None else self._spare

    def _turn_one_away(self, error: OSError) -> bool:
        """Whether there was anybody, and the spare descriptor is back."""
        assert self._spare is not None
        os.close(self._spare)
        connection = None
        with contextlib.suppress(OSError):  # nobody waits, somebody else was quicker to take it, or the client has left
            connection, _ = self._listening.accept()
            _turn_away(connection, f"the daemon is busy: {error.strerror}", "ask again")
        self._spare = _spare()
        return connection is not None and self._spare is not None


def _spare() -> int | None:
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in _SHORT:
            raise
        return None


def _turn_away(connection: socket.socket, message: str, hint: str) -> None:
    """Say why and close; whoever does not take it at once does not get it."""
    failure = messages.encode_failure(RunwiseError(Kind.UNREACHABLE, message, hint))
    with connection, contextlib.suppress(OSError):
        connection.setblocking(False)
        connection.send(frames.encode(frames.FAILURE, failure))
