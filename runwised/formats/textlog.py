"""What a program printed: the metrics in its console output, whatever program it was.

Every record ends with a line feed, a carriage return or a backspace, so a progress bar's states are rows while it still
runs. Metrics have no list of programs behind them: `runwised.formats.text_shapes` says how they are found. Nothing is
kept of the text: its lines are read from the file itself. Time stamps without a zone are taken as UTC.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from runwised.formats.record import (
    NO_HINTS,
    NO_STEP,
    Batch,
    Facts,
    Hints,
    Identity,
    Probe,
    Resume,
    Row,
    Rows,
    Text,
)
from runwised.formats.text_bars import WINDOW, waiting
from runwised.formats.text_rows import Memory, TextRows
from runwised.formats.text_shapes import LONGEST_RECORD
from runwised.formats.text_tables import (
    LONGEST_LINE,
    LONGEST_TABLE,
    begins_table,
    find_table,
    goes_on,
    read_table,
)

_BLOCK = 1 << 18
_ENDS = (b"\n", b"\r", b"\b")
_END = re.compile(rb"[\n\r\b]")
_NAMED = re.compile(r"(?:.*\.(?:log|out|err|txt)|stdout.*|stderr.*|console.*)(?:\.\d+)?", re.IGNORECASE)
_CERTAIN = re.compile(r".*\.(?:log|out|err)(?:\.\d+)?", re.IGNORECASE)
_HEAD = 4096
_CONTROL = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f]")


class TextReader:
    """Reads console output; see `runwised.formats.record.Reader`."""

    def __init__(self, resume: Resume | None = None, hints: Hints = NO_HINTS) -> None:
        self._offset = resume.offset if resume else 0
        self._buffer = bytearray()
        self._dropped = 0
        self._waits = False
        self._rows = TextRows(hints, Memory.decode(resume.state, hints) if resume else Memory.of(hints))

    @property
    def resume(self) -> Resume:
        """The first record not delivered."""
        return Resume(self._offset, self._rows.memory.encode())

    def feed(self, data: bytes | bytearray | memoryview) -> list[Batch]:
        """Take the next bytes; give the rows they complete."""
        piece = bytes(data)
        if self._dropped:
            end = _END.search(piece)
            if end is None:
                self._dropped += len(piece)
                return []
            self._offset += self._dropped + end.end()
            self._dropped = 0
            self._rows.memory.returned = piece[end.end() - 1 : end.end()] == b"\r"
            piece = piece[end.end() :]
        batches: list[Batch] = []
        whole = last_end(piece)
        if whole or self._waits:
            if self._buffer:
                piece = bytes(self._buffer) + piece
                self._buffer.clear()
                whole = last_end(piece)
            size = waiting(piece[:whole], piece[whole : whole + WINDOW], returned=self._rows.memory.returned)
            size = self._read(piece, size, whole, batches)
            self._waits = size < whole
            whole = size
        self._buffer += piece[whole:]
        if len(self._buffer) > LONGEST_RECORD:
            self._dropped = len(self._buffer)
            self._buffer.clear()
        return batches

    def close(self) -> list[Batch]:
        """Nothing: a line without its end may still grow."""
        return []

    def _read(self, text: bytes, size: int, whole: int, batches: list[Batch]) -> int:
        """Read the records of the first `size` bytes, out of `whole` ones; where the first begins that must wait."""
        at = 0
        while at < size:
            end = size
            if end - at > _BLOCK:
                end = at + last_end(text[at : at + _BLOCK]) or _first_end(text, at + _BLOCK)
            table = find_table(text, at, end, size)
            if table and table.end < 0 and size == whole and goes_on(text[whole : whole + LONGEST_LINE]):
                size = end = table.start
            elif table and table.start == at and table.end > 0:
                end = table.end
                batches += self._rows.read_table(text[at:end], self._offset)
                self._offset += end - at
                at = end
                continue
            elif table and table.end > 0:
                end = table.start
            if end > at:
                batches += self._rows.read(text[at:end], self._offset, text[end : end + WINDOW])
            self._offset += end - at
            at = end
        return size


def last_end(text: bytes) -> int:
    """Where the last whole record ends; 0: there is none."""
    return max(text.rfind(end) for end in _ENDS) + 1


def _first_end(text: bytes, at: int) -> int:
    """Where the first record ends that ends behind a place."""
    found = _END.search(text, at)
    return found.end() if found else len(text)


class TextLog:
    """Console output as a `runwised.formats.record.Format`."""

    name = "text"
    rewritten = False
    console = True
    together = True
    tells_end = False

    def matches(self, filename: str, head: bytes) -> bool:
        """By its name, and a first line that is a row; or, where 4 KiB of text hold none yet, by a name for logs."""
        if not head or not _NAMED.fullmatch(filename) or b"\0" in head:
            return False
        if len(head) >= _HEAD and _CERTAIN.fullmatch(filename) and not _CONTROL.search(head):
            return True
        return any(isinstance(batch, Rows) for batch in TextReader().feed(head))

    def reader(self, resume: Resume | None = None, hints: Hints = NO_HINTS) -> TextReader:
        """See `runwised.formats.record.Format`."""
        return TextReader(resume, hints)

    def probe(self, head: bytes, tail: bytes, tail_offset: int, hints: Hints = NO_HINTS) -> Probe:
        """The last rows' step, time and values, as far as the tail shows them."""
        reader = TextReader(hints=hints)
        batches: list[Batch] = []
        if tail_offset > len(head):
            batches = [batch for batch in reader.feed(head) if isinstance(batch, Facts)]
            reader = TextReader(Resume(0, reader.resume.state), hints)
            tail = tail[_first_end(tail, 0) :]
        else:
            tail = head[:tail_offset] + tail
        summary: dict[str, Any] = {}
        facts: dict[str, Any] = {}
        step = time = None
        for batch in [*batches, *reader.feed(tail)]:
            if isinstance(batch, Facts):
                facts |= batch.fields
            elif isinstance(batch, Rows):
                summary |= {_plain(column.key): float(column.values[-1]) for column in batch.columns}
                step = None if batch.steps[-1] == NO_STEP else int(batch.steps[-1])
                told = batch.times[~np.isnan(batch.times)]
                time = float(told[-1]) if len(told) else time
        return Probe(Identity(), facts, {}, summary, step, time, None, header=bool(head))

    def row(self, data: bytes, offset: int, resume: Resume) -> Row | None:
        """The row whose line begins at ``data[0]``; see the protocol."""
        if begins_table(data):
            return _table_row(data, offset)
        end = _END.search(data, 0, LONGEST_RECORD + 1)
        if end is None:
            if len(data) > LONGEST_RECORD:
                raise ValueError(f"no line of a text log at byte {offset}")
            return None
        memory = Memory.decode(resume.state, NO_HINTS)
        found = TextRows(memory.hints, memory).row(data[: end.end()])
        if found is None:
            raise ValueError(f"no row in the line at byte {offset}")
        step, time, values = found
        return Row(step, time, values)

    def text(self, data: bytes, offset: int, resume: Resume) -> Text | None:  # noqa: ARG002 - the protocol's
        """There are no console chunks: the file's lines are the console."""
        raise ValueError(f"no console chunk at byte {offset} of a text log")


def _table_row(data: bytes, offset: int) -> Row | None:
    """The row that is a table."""
    found = read_table(data)
    if found is not None:
        return Row(found[0], math.nan, dict(found[1]))
    if len(data) > LONGEST_TABLE:
        raise ValueError(f"no table in the text at byte {offset}")
    return None


def _plain(key: str) -> str:
    """A key of one element as it was printed."""
    return re.sub(r"\\(.)", r"\1", key)


TEXTLOG = TextLog()
