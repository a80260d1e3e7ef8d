"""Bytes in and out of a descriptor, without blocking the loop: a socket, or the two pipes of a child."""

from __future__ import annotations

import os

import anyio

RECEIVE_BYTES = 1 << 16


class Gone(Exception):  # noqa: N818 - a finding, worded as one
    """The other side has gone, or takes nothing."""


class Wire:
    """One stream of bytes each way. Holds nothing back: what was not taken stays with the system."""

    def __init__(self, incoming: int, outgoing: int) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._sending = anyio.Lock(fast_acquire=True)
        self._owed = b""
        """The end of what was offered and taken in part only; it goes before everything else."""
        for descriptor in (incoming, outgoing):
            os.set_blocking(descriptor, False)

    async def receive(self) -> bytes:
        """The next bytes; none when the other side has gone. Whoever stops waiting for it loses nothing."""
        while True:
            try:
                return os.read(self._incoming, RECEIVE_BYTES)
            except BlockingIOError:
                await anyio.wait_readable(self._incoming)
            except ConnectionError:
                return b""

    async def send(self, data: bytes, stall_seconds: float) -> None:
        """Send all of it, one sender after the other.

        Raises Gone, also when no byte is taken for so long.
        """
        async with self._sending:
            rest, self._owed = memoryview(self._owed + data if self._owed else data), b""
            while rest:
                try:
                    rest = rest[os.write(self._outgoing, rest) :]
                except BlockingIOError:
                    with anyio.move_on_after(stall_seconds) as stalled:
                        await anyio.wait_writable(self._outgoing)
                    if stalled.cancelled_caught:
                        raise Gone from None
                except ConnectionError as error:
                    raise Gone from error

    def offer(self, data: bytes) -> bool:
        """Send it where that needs no waiting; nothing while somebody sends. False: the other side takes nothing now.

        Raises Gone.
        """
        if self._sending.locked():
            return True
        offered = self._owed or data
        try:
            self._owed = offered[os.write(self._outgoing, offered) :]
        except BlockingIOError:
            return False
        except ConnectionError as error:
            raise Gone from error
        return True

    def close(self) -> None:
        """Close both ends, once nobody waits on them any more."""
        for descriptor in {self._incoming, self._outgoing}:
            os.close(descriptor)
