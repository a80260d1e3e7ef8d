"""Framing of logs made of lines: whole lines with their offsets; a last line without its end waits."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from runwised.formats.record import Damage

LONGEST_LINE = 4 << 20


class LogLine(NamedTuple):
    """One whole line, without its end."""

    offset: int
    text: bytes


Found: TypeAlias = LogLine | Damage


class LineLog:
    """Bytes in, from `offset` on, where a line begins; lines out. Keeps at most `LONGEST_LINE` bytes of one."""

    def __init__(self, offset: int = 0) -> None:
        self._buffer = bytearray()
        self._mark = offset
        self._dropped = 0

    @property
    def offset(self) -> int:
        """Start of the first line that has not been delivered."""
        return self._mark

    def feed(self, data: bytes | bytearray | memoryview) -> list[Found]:
        """Take the next bytes; give the lines they complete."""
        searched = len(self._buffer)
        self._buffer += data
        found: list[Found] = []
        start = 0
        while (end := self._buffer.find(b"\n", max(start, searched))) >= 0:
            found.append(self._line(bytes(self._buffer[start:end])))
            start = end + 1
        del self._buffer[:start]
        if len(self._buffer) > LONGEST_LINE:
            self._dropped += len(self._buffer)
            self._buffer.clear()
        return found

    def _line(self, text: bytes) -> Found:
        offset, size = self._mark, self._dropped + len(text) + 1
        self._mark += size
        self._dropped = 0
        if size > LONGEST_LINE:
            return Damage(offset, size, "line longer than 4 MiB")
        return LogLine(offset, text.rstrip(b"\r"))


def read_line(data: bytes) -> bytes | None:
    """The line that begins at ``data[0]``; None: more bytes are needed. Raises ValueError when it is too long."""
    end = data.find(b"\n", 0, LONGEST_LINE)
    if end >= 0:
        return data[:end].rstrip(b"\r")
    if len(data) >= LONGEST_LINE:
        raise ValueError("line longer than 4 MiB")
    return None


def last_lines(tail: bytes, tail_offset: int) -> list[bytes]:
    """The whole lines in the last bytes of a log."""
    whole, newline, _ = tail.rpartition(b"\n")
    lines = whole.split(b"\n") if newline else []
    return [line.rstrip(b"\r") for line in (lines[1:] if tail_offset else lines)]
