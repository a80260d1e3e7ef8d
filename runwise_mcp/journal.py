"""`Journal`: what a session has to say again to another daemon, when the one it spoke to has gone.

Loaded by the pump, so it imports nothing before there is something to look at (`__future__` neither).
"""

LIMIT = 1 << 18
"""What has passed is looked at when it comes to so many bytes: until then it is only kept."""

CLIENT, DAEMON = 0, 1


class Journal:
    """Takes what passes, in pieces of any size, and knows which requests are not answered yet; see `settle`."""

    def __init__(self) -> None:
        self._pieces: list[tuple[int, bytes]] = []
        self._size = 0
        self._lines: tuple[object, ...] = ()
        self.handshake: list[bytes] = []
        """The lines that began the session, where it is of an era that begins with some."""
        self.subscriptions: dict[str, bytes] = {}
        """By URI: the request that began it."""
        self.open: dict[str, bytes] = {}
        """By id, as JSON: the request that is not answered."""
        self.again: set[str] = set()
        """Ids of those among them that were asked of a second daemon already."""

    def passed(self, origin: int, data: bytes) -> None:
        """Note bytes from the `CLIENT`, or whole lines from the `DAEMON`; raises nothing of their doing."""
        self._pieces.append((origin, data))
        self._size += len(data)
        if self._size > LIMIT:
            self.settle()

    def settle(self) -> None:
        """Look at what has passed since the last time."""
        from runwise_mcp.lines import Lines

        if not self._lines:
            self._lines = (Lines(), Lines(cap=1 << 62))
        for origin, data in self._pieces:
            lines = self._lines[origin]
            assert isinstance(lines, Lines)
            for line in lines.feed(data):
                if line is not None:
                    self._take(origin, line)
        self._pieces.clear()
        self._size = 0

    @property
    def begun(self) -> bytes:
        """The line that the client has begun and not ended; call `settle` before."""
        from runwise_mcp.lines import Lines

        lines = self._lines[CLIENT] if self._lines else None
        return lines.begun if isinstance(lines, Lines) else b""

    def _take(self, origin: int, line: bytes) -> None:
        import json

        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            return
        if not isinstance(message, dict):
            return
        found = message.get("id")
        request_id = json.dumps(found) if isinstance(found, str | int) and not isinstance(found, bool) else ""
        method, params = message.get("method"), message.get("params")
        if origin == DAEMON:
            if method is None:
                self._close(request_id, refused="error" in message)
        elif method == "notifications/initialized":
            self.handshake[1:] = [line]
        elif method == "notifications/cancelled" and isinstance(params, dict):
            self.open.pop(json.dumps(params.get("requestId")), None)
        elif isinstance(method, str) and request_id:
            self._open(request_id, line, method, params if isinstance(params, dict) else {})

    def _close(self, request_id: str, refused: bool) -> None:
        line = self.open.pop(request_id, None)
        self.again.discard(request_id)
        if refused and line is not None:
            if line in self.handshake:
                self.handshake.clear()
            self.subscriptions = {uri: each for uri, each in self.subscriptions.items() if each != line}

    def _open(self, request_id: str, line: bytes, method: str, params: dict[str, object]) -> None:
        self.open[request_id] = line
        if method == "initialize" and not self.handshake:
            self.handshake.append(line)
        elif method == "resources/subscribe":
            self.subscriptions[str(params.get("uri"))] = line
        elif method == "resources/unsubscribe":
            self.subscriptions.pop(str(params.get("uri")), None)
