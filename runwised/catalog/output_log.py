"""The console as W&B keeps it beside its log, in ``output.log``: one stream, no times, carriage returns resolved."""

from __future__ import annotations

import codecs
import math
import os
from collections.abc import Iterator

from runwised.catalog.opening import open_source
from runwised.catalog.readback import assemble
from runwised.formats.record import Text
from runwised.index.view import Line, Unreadable

CONSOLE = "files/output.log"
"""Where it lies in a run's folder; before 0.10 beside the log."""
PIECE_BYTES = 64 << 10
TAIL_BYTES = 1 << 20
"""How far from its end a line of the log is looked for."""


def find_output_log(folder: str) -> str | None:
    """The run folder's console file, when there is something in it."""
    for name in (CONSOLE, "output.log"):
        path = os.path.join(folder, name)
        try:
            if os.stat(path).st_size:
                return path
        except OSError:
            continue
    return None


def goes_on_after(path: str, last: Line) -> bool:
    """Whether the file has lines behind the last one that reached the log. False too where that one is not found.

    Raises Unreadable.
    """
    descriptor = _open(path)
    try:
        size = os.fstat(descriptor).st_size
        tail = os.pread(descriptor, TAIL_BYTES, max(size - TAIL_BYTES, 0))
    finally:
        os.close(descriptor)
    needle = last.text.strip().encode()
    at = tail.rfind(needle) if needle else -1
    return at >= 0 and bool(tail[at + len(needle) :].partition(b"\n")[2].strip())


def read_texts(path: str, offset: int = 0) -> Iterator[Text]:
    """The file from `offset` on, in pieces. Raises Unreadable."""
    descriptor = _open(path)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    try:
        while piece := os.pread(descriptor, PIECE_BYTES, offset):
            offset += len(piece)
            yield Text(math.nan, False, decoder.decode(piece))
        yield Text(math.nan, False, decoder.decode(b"", final=True))
    finally:
        os.close(descriptor)


def line_start(path: str, offset: int) -> int:
    """Where the line begins that goes on at `offset`; not looked for further back than a piece. Raises Unreadable."""
    descriptor = _open(path)
    try:
        start = max(offset - PIECE_BYTES, 0)
        return start + os.pread(descriptor, offset - start, start).rfind(b"\n") + 1
    finally:
        os.close(descriptor)


def read_lines(path: str, *, newest_first: bool) -> Iterator[Line]:
    """Its lines. Raises Unreadable."""
    if not newest_first:
        yield from assemble(read_texts(path))
        return
    descriptor = _open(path)
    try:
        offset, held = os.fstat(descriptor).st_size, b""
        while offset > 0:
            start = max(offset - PIECE_BYTES, 0)
            first, newline, rest = (os.pread(descriptor, offset - start, start) + held).partition(b"\n")
            offset, held = start, first + newline if start else b""
            yield from reversed(list(assemble([_text(rest if start else first + newline + rest)])))
    finally:
        os.close(descriptor)


def _open(path: str) -> int:
    try:
        return open_source(path)
    except OSError as error:
        raise Unreadable(path, error.strerror or str(error)) from error


def _text(data: bytes) -> Text:
    return Text(math.nan, False, data.decode(errors="replace"))
