"""Where a progress bar stood when a row was written over it, as ``tqdm.write`` does it.

A bar is drawn ten times a second at most: the one before a row may be many steps old. To write, tqdm clears its bars,
so that the row stands behind a carriage return, and draws them anew right after: that bar says the row's step. A row
waits for it, at most until something else was printed or `WINDOW` bytes are there.
"""

from __future__ import annotations

import re

WINDOW = 1024
"""Bytes behind a row that are looked at."""
_LONGEST_ROW = 4096
_ESCAPE = rb"\x1b\[[0-9;]*[A-Za-z]"
_ROW = re.compile(rb"(?:" + _ESCAPE + rb"|[ \t])*\{['\"][^\n\r\b]*\}[ \t]*\n")
_BAR = re.compile(
    rb"(?:" + _ESCAPE + rb"|\s)*[^\n\r\b|]{0,200}?\d{1,3}%\|[^|\n\r\b]*\| *(?P<n>\d{1,15})/(?P<total>\d{1,15}) \["
)
_ONE_ESCAPE = re.compile(_ESCAPE)


def bar_behind(behind: bytes) -> tuple[int, int] | None:
    """Count and total of the bar that the bytes behind a row begin with; None: they begin with something else."""
    found = _BAR.match(behind[:WINDOW])
    return (int(found["n"]), int(found["total"])) if found else None


def waiting(text: bytes, behind: bytes, *, returned: bool) -> int:
    """Where the row begins that is the last thing in whole records and must wait for its bar; their size: none does.

    `behind` is the part of a record that follows, `returned` whether a carriage return stands before the text.
    """
    size = len(text)
    last = text[-_LONGEST_ROW - WINDOW :]
    row = _without_blanks(last)
    if not row.endswith(b"}"):
        return size
    start = size - len(last) + max(row.rfind(end) for end in (b"\n", b"\r", b"\b")) + 1
    end = end_over_bars(text, start, returned=returned)
    follows = text[end:] + behind
    return start if end and len(follows) < WINDOW and bar_behind(follows) is None else size


def end_over_bars(text: bytes, start: int, *, returned: bool) -> int:
    """Where the record that begins at a place ends if it is a row written over bars; 0: it is none."""
    if not (text[start - 1 : start] == b"\r" if start else returned):
        return 0
    found = _ROW.match(text, start)
    return found.end() if found and found.end() - start <= _LONGEST_ROW else 0


def _without_blanks(text: bytes) -> bytes:
    """The text before the blanks and escape sequences at its end."""
    while True:
        text = text.rstrip()
        start = text.rfind(b"\x1b")
        if start < 0 or not _ONE_ESCAPE.fullmatch(text, start):
            return text
        text = text[:start]
