"""Signs of life cost no timer each, never wait, and never come between the bytes of something else."""

from __future__ import annotations

import os
import socket

import anyio
import anyio.to_thread
import pytest

from runwised.server.pulse import Pulse
from runwised.server.wire import Gone, Wire

pytestmark = pytest.mark.anyio
PERIOD = 0.01


class Heart:
    """Counts its beats."""

    def __init__(self) -> None:
        self.beats = 0
        self._beaten = anyio.Event()

    def beat(self) -> None:
        self.beats += 1
        self._beaten.set()
        self._beaten = anyio.Event()

    async def until(self, beats: int) -> None:
        with anyio.fail_after(5):
            while self.beats < beats:
                await self._beaten.wait()


async def test_everybody_beats_as_often_as_the_others_until_they_leave() -> None:
    pulse, one, other = Pulse(PERIOD), Heart(), Heart()
    async with anyio.create_task_group() as group:
        group.start_soon(pulse.run)
        with pulse.beating(one.beat):
            with pulse.beating(other.beat):
                await one.until(3)
                assert other.beats in (2, 3)
            left = other.beats
            await one.until(6)
            assert other.beats == left
        group.cancel_scope.cancel()


async def test_the_first_beat_comes_after_a_whole_period() -> None:
    pulse, early, late = Pulse(PERIOD), Heart(), Heart()
    async with anyio.create_task_group() as group:
        group.start_soon(pulse.run)
        with pulse.beating(early.beat):
            await early.until(1)
            with pulse.beating(late.beat):
                before = early.beats
                await late.until(1)
                assert early.beats == before + 1
        group.cancel_scope.cancel()


async def test_what_is_offered_to_one_who_takes_nothing_is_dropped_and_never_waits() -> None:
    near, far = socket.socketpair()
    with near, far:
        wire = Wire(near.fileno(), near.fileno())
        taken = 0
        while wire.offer(b"sign"):
            taken += 4
        assert not wire.offer(b"sign")
        assert len(await anyio.to_thread.run_sync(_all_of, far, taken)) == taken
        assert wire.offer(b"sign")


async def test_what_was_taken_in_part_goes_before_everything_else() -> None:
    reading, writing = os.pipe()
    incoming, other = os.pipe()
    wire, big = Wire(incoming, writing), b"a" * (1 << 20)
    try:
        assert wire.offer(big)
        read = bytearray()
        async with anyio.create_task_group() as group:
            group.start_soon(wire.send, b"after", 5)
            await anyio.wait_all_tasks_blocked()
            assert wire.offer(b"between")
            while len(read) < len(big) + 5:
                read += await anyio.to_thread.run_sync(os.read, reading, 1 << 16)
        assert bytes(read) == big + b"after"
    finally:
        wire.close()
        os.close(reading)
        os.close(other)


async def test_an_offer_to_one_who_has_gone_says_so() -> None:
    near, far = socket.socketpair()
    with near:
        far.close()
        with pytest.raises(Gone):
            Wire(near.fileno(), near.fileno()).offer(b"sign")


def _all_of(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += sock.recv(count - len(data))
    return data
