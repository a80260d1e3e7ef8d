"""`Pump`: passes bytes between a client and the daemon, and outlives the daemon.

Loaded by the command before anything else, so it imports C modules alone (`__future__` neither).
"""

import os
import select

from runwise_mcp.journal import CLIENT, DAEMON, Journal

if os.name == "posix":
    try:
        from _socket import MSG_DONTWAIT, SHUT_WR, socket
    except ImportError:  # a Python that names its C module otherwise
        from socket import MSG_DONTWAIT, SHUT_WR, socket  # type: ignore[assignment]

_PIECE = 1 << 16
_AHEAD = 1 << 20
"""Bytes held for a side that does not take them; with more the other side is not read."""
_AT_ONCE = getattr(select, "PIPE_BUF", 512)
"""Bytes that a pipe takes without a wait when it takes any."""


class Pump:
    """Bytes from stdin to the daemon, and whole lines from it to stdout, so that none ends in the middle with it.

    When the daemon goes, the next one is told what matters of what it was told (`runwise_mcp.recovery`): at once where
    an answer is owed, else when the client says something.
    """

    def __init__(self, connection: socket | None, journal: Journal) -> None:
        self.connection = connection
        """None: the daemon has gone."""
        self.journal = journal
        self.resumed = connection is None
        """Whether another program began the session."""
        self.to_daemon = bytearray()
        self.to_client = bytearray()
        self.swallowed: set[str] = set()
        """Ids, as JSON, of requests that a new daemon was asked once more: the client has the answers."""
        self.later = b""
        """What a new daemon is told when it has answered the first of these; stdin is not read until then."""
        self.tried = False
        """Whether a new daemon was tried since the client last said something."""
        self._line: list[bytes] = []
        """Pieces of a line from the daemon that has not ended."""
        self._ended = False
        """Whether stdin has."""
        self._shut = False
        """Whether the daemon was told so."""

    def run(self) -> int:
        """Pass on until the client goes away, or has said all and is answered. The exit status."""
        try:
            if self.resumed:
                self._recover(lost=False)
            while self.connection is not None or not self._ended:
                self._turn()
            while self.to_client:
                self._write()
        except BrokenPipeError:
            pass  # the client has gone
        return 0

    def _turn(self) -> None:
        """Wait until something can be passed on, and do so."""
        connection = self.connection
        reading: list[int | socket] = []
        writing: list[int | socket] = [1] if self.to_client else []
        if not (self._ended or self.later or len(self.to_daemon) > _AHEAD):
            reading.append(0)
        if connection is not None:
            if len(self.to_client) < _AHEAD:
                reading.append(connection)
            if self.to_daemon or (self._ended and not self._shut and not self.later):
                writing.append(connection)
        ready, free, _ = select.select(reading, writing, [])
        if 1 in free:
            self._write()
        if connection is not None:
            try:
                if connection in free:
                    self._send(connection)
                if connection in ready:
                    self._receive(connection)
            except ConnectionError:
                self._lose(connection)
        if 0 in ready:
            self._read()

    def _read(self) -> None:
        data = os.read(0, _PIECE)
        self._ended, self.tried = not data, False
        self.journal.passed(CLIENT, data)
        if self.connection is not None:
            self.to_daemon += data
        elif data:
            self._recover(lost=False)

    def _write(self) -> None:
        del self.to_client[: os.write(1, self.to_client[:_AT_ONCE])]

    def _send(self, connection: socket) -> None:
        if self.to_daemon:
            try:
                del self.to_daemon[: connection.send(self.to_daemon, MSG_DONTWAIT)]
            except BlockingIOError:
                return
        if self._ended and not (self.to_daemon or self.later or self._shut):
            self._shut = True
            connection.shutdown(SHUT_WR)

    def _receive(self, connection: socket) -> None:
        data = connection.recv(_PIECE)
        if not data:
            self._lose(connection)
            return
        whole, end, rest = data.rpartition(b"\n")
        if end:
            lines = b"".join((*self._line, whole, end))
            self._line.clear()
            if self.swallowed:
                from runwise_mcp.recovery import strained

                lines = strained(self, lines)
            self.to_client += lines
            self.journal.passed(DAEMON, lines)
        if rest:
            self._line.append(rest)

    def _lose(self, connection: socket) -> None:
        connection.close()
        self.connection = None
        self.to_daemon.clear()
        self._line.clear()
        self.swallowed.clear()
        self.later = b""
        if not self._shut:
            self._recover(lost=True)

    def _recover(self, lost: bool) -> None:
        from runwise_mcp.recovery import recover

        recover(self, lost)
