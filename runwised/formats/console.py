"""Console chunks to lines as a terminal would have shown them: a progress bar is its last state.

Each stream has a small screen of its own: its last `SCREEN` lines can still be changed (by a carriage return, by the
cursor going up), those above are final. Colours and other escape sequences are taken out.
"""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

SCREEN = 32
"""Lines of a stream the cursor can go back to."""

LONGEST_LINE = 1 << 16
"""Characters of a line that are kept."""

_MOST_WAITING = 512

_TOKEN = re.compile(
    r"(?P<text>[^\x00-\x08\x0a-\x1f\x7f-\x9f]+)"
    r"|\x1b\[(?P<args>[0-?]*)[ -/]*(?P<final>[@-~])"
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"
    r"|\x1b[ -/]+[0-~]"
    r"|\x1b[0-Z\\^-~]"
    r"|(?P<control>[\x00-\x1f\x7f-\x9f])"
)
_CUT_ESCAPE = re.compile(r"\x1b(?:\[[0-?]{0,64}[ -/]{0,8}|\][^\x07\x1b]{0,4096}\x1b?|[ -/]{0,8})\Z")


class ConsoleLine(NamedTuple):
    """One line."""

    time: float
    """Epoch seconds of the chunk that began it; NaN when not known."""
    stderr: bool
    text: str


class _Row:
    """A line on a screen; `order` is None until something was written there."""

    __slots__ = ("order", "text", "time")

    def __init__(self) -> None:
        self.order: int | None = None
        self.time = 0.0
        self.text = ""


class _Screen:
    """The last lines of one stream, and the cursor."""

    def __init__(self) -> None:
        self.rows = [_Row()]
        self.up = 0
        self.column = 0
        self.cut = ""

    def row(self) -> _Row:
        return self.rows[-1 - self.up]

    def newline(self) -> None:
        self.column = 0
        if self.up:
            self.up -= 1
        else:
            self.rows.append(_Row())

    def write(self, text: str) -> None:
        row = self.row()
        kept = row.text[: self.column].ljust(self.column)
        row.text = (kept + text + row.text[self.column + len(text) :])[:LONGEST_LINE]
        self.column = min(self.column + len(text), LONGEST_LINE)

    def control(self, control: str) -> None:
        if control == "\r":
            self.column = 0
        elif control == "\b":
            self.column = max(self.column - 1, 0)

    def sequence(self, final: str, args: str) -> None:
        """A control sequence: the cursor's moves and erasing are followed, all else is nothing."""
        first = args.split(";")[0]
        count = min(int(first[:9]), LONGEST_LINE) if first.isdecimal() else 0
        if final in ("A", "F"):
            self.up = min(self.up + max(count, 1), len(self.rows) - 1)
        elif final in ("B", "E"):
            self.up = max(self.up - max(count, 1), 0)
        elif final == "C":
            self.column = min(self.column + max(count, 1), LONGEST_LINE)
        elif final == "D":
            self.column = max(self.column - max(count, 1), 0)
        elif final == "G":
            self.column = max(count - 1, 0)
        elif final == "K":
            self._erase(count)
        if final in ("E", "F"):
            self.column = 0

    def _erase(self, what: int) -> None:
        row = self.row()
        if what == 0:
            row.text = row.text[: self.column]
        elif what == 1:
            row.text = " " * min(self.column, len(row.text)) + row.text[self.column :]
        else:
            row.text = ""


class LineResolver:
    """Takes chunks of both streams in the order they were written; gives lines in the order they were begun."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._screens = {False: _Screen(), True: _Screen()}
        self._begun = 0
        self._final: list[tuple[int, ConsoleLine]] = []

    def feed(self, time: float, stderr: bool, text: str) -> list[ConsoleLine]:
        """Take a chunk; give the lines that cannot change any more."""
        screen = self._screens[stderr]
        text = screen.cut + text
        cut = _CUT_ESCAPE.search(text)
        screen.cut = cut[0] if cut else ""
        for token in _TOKEN.finditer(text, 0, len(text) - len(screen.cut)):
            self._token(screen, time, token)
            if len(screen.rows) > SCREEN:
                self._scroll(screen, stderr, SCREEN)
        return self._release()

    def close(self) -> list[ConsoleLine]:
        """Give what is left, an unfinished last line too. The resolver starts anew."""
        for stderr, screen in self._screens.items():
            self._scroll(screen, stderr, 0)
        left = [line for _, line in sorted(self._final, key=lambda pair: pair[0])]
        self._clear()
        return left

    def _token(self, screen: _Screen, time: float, token: re.Match[str]) -> None:
        if (text := token["text"]) is not None:
            self._begin(screen.row(), time)
            screen.write(text)
        elif (final := token["final"]) is not None:
            screen.sequence(final, token["args"])
        elif token["control"] == "\n":
            self._begin(screen.row(), time)
            screen.newline()
        elif token["control"] is not None:
            screen.control(token["control"])

    def _begin(self, row: _Row, time: float) -> None:
        if row.order is None:
            row.order = self._begun
            row.time = time
            self._begun += 1

    def _scroll(self, screen: _Screen, stderr: bool, keep: int) -> None:
        """Make final all but the last `keep` lines."""
        for row in screen.rows[: len(screen.rows) - keep]:
            if row.order is not None:
                self._final.append((row.order, ConsoleLine(row.time, stderr, row.text.rstrip())))
        del screen.rows[: len(screen.rows) - keep]
        screen.up = max(min(screen.up, len(screen.rows) - 1), 0)

    def _release(self) -> list[ConsoleLine]:
        """Final lines begun before every line that may change; when too many wait for one, they go first."""
        if not self._final:
            return []
        limit = self._begun
        if len(self._final) < _MOST_WAITING:
            tops = [screen.rows[0].order for screen in self._screens.values()]
            limit = min([order for order in tops if order is not None], default=limit)
        self._final.sort(key=lambda pair: pair[0])
        ready = [line for order, line in self._final if order < limit]
        del self._final[: len(ready)]
        return ready


def shortened(line: str) -> str:
    """What of a line without an end may still be seen: what was written over is gone, and so is what is too long."""
    start = line.rfind("\r", 0, -1) + 1
    return line[start : start + LONGEST_LINE]


def resolve(chunks: Iterable[tuple[float, bool, str]]) -> Iterator[ConsoleLine]:
    """The lines of (time, stderr, text) chunks."""
    resolver = LineResolver()
    for time, stderr, text in chunks:
        yield from resolver.feed(time, stderr, text)
    yield from resolver.close()


def resolve_bytes(pieces: Iterable[bytes]) -> Iterator[ConsoleLine]:
    """The lines of a text log such as `output.log`, from its bytes in pieces of any size; times are NaN."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    texts = (decoder.decode(piece) for piece in pieces)
    return resolve((math.nan, False, text) for text in texts)
