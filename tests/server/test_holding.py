"""What a connection holds is let go of when it ends, not when the garbage collector comes by."""

from __future__ import annotations

import gc
import socket
import weakref
from collections.abc import Iterator

import anyio
import pytest
from runwise_protocol import __version__, frames

from runwised.server.dispatch import Dispatcher
from runwised.server.pulse import Pulse
from runwised.server.session import Limits, Session
from runwised.server.wire import Wire
from tests.server.echo_daemon import Echo

QUESTIONS = 20


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Without the garbage collector."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("uncollected")
def test_nothing_is_left_of_a_connection_that_was_answered() -> None:
    held: list[weakref.ref[Session]] = []

    async def serve() -> None:
        dispatcher = Dispatcher(Echo())
        for _ in range(QUESTIONS):
            ours, theirs = socket.socketpair()
            with theirs:
                theirs.sendall(frames.lane_request(__version__, b"/here", 77, "", [], [b"latest"]))
                descriptor = ours.detach()
                session = Session(Wire(descriptor, descriptor), dispatcher, Limits(), Pulse(1))
                held.append(weakref.ref(session))
                async with anyio.create_task_group() as group:
                    group.start_soon(session.run)
                    del session
                    answered = b""
                    while b"latest /here" not in answered:
                        await anyio.wait_readable(theirs)
                        answered += theirs.recv(1 << 16)
                        assert answered
                    theirs.shutdown(socket.SHUT_WR)
        await anyio.lowlevel.checkpoint()

    anyio.run(serve)
    assert len(held) == QUESTIONS
    assert [each for each in held if each() is not None] == []
