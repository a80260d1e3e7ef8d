"""The parts of a `trainer_state.json` as they arrive: entries of its `log_history`, and its other fields.

The scan knows brackets and strings, no more, and is forgiving: a string ends at a line end (JSON has none within one),
any closing bracket closes the innermost open one, and an object that begins where only a key may stand shows that the
entry before it has lost its end. So a wrong byte in a written-out document costs an entry, not the rest.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, TypeAlias

from runwised.formats.json_value import LONGEST_OTHER
from runwised.formats.record import Damage

LONGEST_ENTRY = 1 << 20

Place: TypeAlias = Literal["before", "fields", "history", "after", "broken"]
"""Before the document, among its fields, within `log_history`, behind the end; in what is no such document."""

_OUTSIDE = re.compile(rb'["{}\[\]:,]')
_INSIDE = re.compile(rb'["\\\n]')
_BLANK = re.compile(rb"[ \t\r\n]*")
_FLAT = re.compile(rb'[\s,]*+(\{[^{}\[\]"]*+(?:"[^"\\\n]*+"[^{}\[\]"]*+)*+\})')
_MOST_HEAD = 1 << 12


class Entry(NamedTuple):
    """One element of `log_history`, as text."""

    offset: int
    text: bytes


class Field(NamedTuple):
    """A field of the document that is not `log_history`, its value as text."""

    key: str
    text: bytes


class Closed(NamedTuple):
    """The document is whole."""

    offset: int


Part: TypeAlias = Entry | Field | Closed | Damage


class Document:
    """Bytes in, from `offset` on; parts out. Keeps at most `LONGEST_ENTRY` bytes and what was fed last."""

    def __init__(self, offset: int = 0, place: Place = "before") -> None:
        self.place: Place = place
        self.offset = offset
        """Where a new scan can take over, at `place`."""
        self._buffer = bytearray()
        self._base = offset
        self._at = 0
        self._quoted = False
        self._string = -1
        """Where the last string among the fields begins; -1: it is not held."""
        self._key: str | None = None
        self._last = b""
        """The token before this one."""
        self._item = -1
        """Where the entry or the field's value begins that is being read; -1: none is."""
        self._depth = 0
        self._held = True
        """Whether the buffer has all of that item."""

    def feed(self, data: bytes | bytearray | memoryview) -> list[Part]:
        """Take the next bytes; give the parts they complete, in file order."""
        self._buffer += data
        parts: list[Part] = []
        self._begin()
        while self.place in ("fields", "history"):
            if self.place == "history" and self._item < 0 and not self._quoted:
                self._flat(parts)
            token = self._token()
            if not token:
                break
            (self._in_history if self.place == "history" else self._in_fields)(token, parts)
            self._last = token
        self._end()
        self._trim()
        return parts

    def _begin(self) -> None:
        if self.place != "before":
            return
        head = bytes(self._buffer[: _MOST_HEAD + 4])
        text = head.removeprefix(b"\xef\xbb\xbf")
        start = len(head) - len(text.lstrip())
        if start < len(head) and not b"\xef\xbb\xbf".startswith(head):
            self.place = "fields" if head[start : start + 1] == b"{" else "broken"
            self._at, self.offset = start + 1, self._base + start + 1 if self.place == "fields" else self.offset
        elif len(head) > _MOST_HEAD:
            self.place = "broken"

    def _end(self) -> None:
        """Blanks behind the document belong to it; what else stands there does not."""
        if self.place == "after":
            found = _BLANK.match(self._buffer, self._at)
            assert found is not None, "it matches nothing, too"
            self._at = found.end()
            self.offset = self._base + self._at
            if self._at < len(self._buffer):
                self.place = "broken"

    def _flat(self, parts: list[Part]) -> None:
        """Take all whole entries that come next and hold only plain values: nearly all do."""
        buffer, base, at = self._buffer, self._base, self._at
        while found := _FLAT.match(buffer, at):
            at = found.end()
            start = found.start(1)
            parts.append(_entry(base + start, bytes(buffer[start:at]), at - start))
        if at > self._at:
            self._at, self.offset = at, base + at

    def _token(self) -> bytes:
        """The next bracket, colon, comma or (as a quote) whole string; empty: more bytes are needed."""
        while True:
            found = (_INSIDE if self._quoted else _OUTSIDE).search(self._buffer, self._at)
            if found is None:
                self._at = len(self._buffer)
                return b""
            token = found[0]
            if token == b"\\":
                if found.end() == len(self._buffer):
                    self._at = found.start()
                    return b""
                self._at = found.end() + 1
                continue
            self._at = found.end()
            if not self._quoted and token == b'"':
                self._quoted = True
                self._string = self._base + found.start()
                continue
            if self._quoted:
                self._quoted = False
                return b'"'
            return token

    def _in_fields(self, token: bytes, parts: list[Part]) -> None:
        if token in b"[{":
            if not self._depth and token == b"[" and self._key == "log_history" and self._last == b":":
                self._leave("history")
            else:
                self._depth += 1
        elif token in b"]}":
            if self._depth:
                self._depth -= 1
            else:
                self._finish_field(parts, self._at - 1)
                self._leave("after")
                parts.append(Closed(self.offset - 1))
        elif not self._depth and token == b":":  # where a comma is lost, also within a value
            self._key = self._held_key()
            self._item, self._held = self._base + self._at, True
        elif not self._depth and token == b",":
            self._finish_field(parts, self._at - 1)

    def _held_key(self) -> str | None:
        """The string before the colon that was just met."""
        if self._last != b'"' or self._string < self._base:
            return None
        text, quote, _ = self._buffer[self._string - self._base + 1 : self._at].partition(b'"')
        return text.decode("utf-8", "replace") if quote and len(text) < LONGEST_OTHER else None

    def _finish_field(self, parts: list[Part], end: int) -> None:
        if self._item >= 0:
            text = bytes(self._buffer[self._item - self._base : end]).strip() if self._held else b""
            if self._key is not None and text and len(text) <= LONGEST_OTHER:
                parts.append(Field(self._key, text))
        self._key, self._item = None, -1
        self.offset = self._base + end

    def _in_history(self, token: bytes, parts: list[Part]) -> None:
        if self._item < 0:
            if token in b"{[":
                self._item, self._depth, self._held = self._base + self._at - 1, 1, True
            elif token == b"]":
                self._leave("fields")
            elif token == b"}":
                parts.append(Damage(self.offset, self._base + self._at - self.offset, "entry without its beginning"))
                self.offset = self._base + self._at
        elif token == b"{" and self._depth == 1 and self._last != b":":
            here = self._base + self._at - 1
            parts.append(Damage(self._item, here - self._item, "entry without its end"))
            self._item, self._held, self.offset = here, True, here
        elif token in b"[{":
            self._depth += 1
        elif token in b"]}":
            self._depth -= 1
            if not self._depth:
                self._finish_entry(parts)

    def _finish_entry(self, parts: list[Part]) -> None:
        start, self._item = self._item, -1
        self.offset = self._base + self._at
        parts.append(_entry(start, bytes(self._buffer[max(0, start - self._base) : self._at]), self.offset - start))

    def _leave(self, place: Place) -> None:
        """Go on at another place, right behind the token just met."""
        self.place, self._key, self._item, self._depth = place, None, -1, 0
        self.offset = self._base + self._at

    def _trim(self) -> None:
        """Forget what is not needed: all but the item being read, or the key that may stand before one."""
        keep = self._item if self._item >= 0 else self._base + self._at
        if (
            self._item < 0
            and self.place == "fields"
            and self._string >= self._base
            and (self._quoted or self._last == b'"')
        ):
            keep = self._string
        if self.place in ("before", "after"):
            keep = self._base + (0 if self.place == "before" else self._at)
        elif self.place == "broken":
            keep = self._base + len(self._buffer)
        if self._base + self._at - keep > LONGEST_ENTRY:
            keep, self._held = self._base + self._at, False
        if keep > self._base:
            gone = keep - self._base
            del self._buffer[:gone]
            self._base, self._at = keep, max(0, self._at - gone)


def _entry(offset: int, text: bytes, size: int) -> Part:
    return Damage(offset, size, "entry longer than 1 MiB") if size > LONGEST_ENTRY else Entry(offset, text)
