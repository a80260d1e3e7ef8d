"""`Lines`: bytes to lines, the framing of the stdio transport."""

from __future__ import annotations

from runwise_protocol.frames import REQUEST_CAP


class Lines:
    """Takes bytes in pieces of any size and gives the lines they complete; None for each that is too long."""

    def __init__(self, cap: int = REQUEST_CAP) -> None:
        self._cap = cap
        self._held = bytearray()
        self._skipping = False

    @property
    def begun(self) -> bytes:
        """The line that has begun and not ended; nothing of one that is too long."""
        return bytes(self._held)

    def feed(self, data: bytes) -> list[bytes | None]:
        """The lines completed by these bytes, without their ends; blank ones are left out.

        A line over the cap is told of as soon as it is, and none of it is held.
        """
        found: list[bytes | None] = []
        *ends, rest = data.split(b"\n")
        for end in ends:
            self._add(end, found)
            if self._held.strip():
                found.append(bytes(self._held))
            self._held.clear()
            self._skipping = False
        self._add(rest, found)
        return found

    def _add(self, piece: bytes, found: list[bytes | None]) -> None:
        if self._skipping:
            return
        if len(self._held) + len(piece) > self._cap:
            self._held.clear()
            self._skipping = True
            found.append(None)
        else:
            self._held += piece
