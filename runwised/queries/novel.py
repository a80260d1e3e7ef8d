"""The kinds of lines a program printed: the first of each, how many there were, in memory that does not grow with them.

Two lines are of one kind when they are alike but for what varies from line to line: numbers, dates and times, ids,
absolute paths and addresses, quoted values, how wide things are spaced, how far a bar is filled. A line written over
itself (a progress bar) is its last state; blank lines are none.

Digits are made alike in whole chunks, at the speed of memory. What that leaves of a line is nearly always known; only
what is not is looked at with `shape`. Once there are as many kinds as are told apart (a model may sample prose), a line
that begins as none of them is not even that.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import takewhile

from runwised.formats.record import Text
from runwised.index.view import Line
from runwised.queries.tracebacks import may_speak_of_error, speaks_of_error
from runwised.render.untrusted import clean

MOST = 1000
"""Kinds that are told apart."""
MOST_ERRORS = 200
"""Further kinds, of lines that speak of an error: prose that a model samples must not crowd those out."""
LONGEST = 4096
"""Characters of a line that are kept."""
_LOOKED_AT = 512
"""Bytes of a line, its digits made alike, that decide on its kind."""
_HELD = 1 << 16
"""Characters of a line without an end that are held."""
_KNOWN_BYTES = 8 << 20
"""Lines, their digits made alike, whose kinds are remembered."""

_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_COLOURS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_BARS = re.compile(r"\[[=#>.\s-]+\]|\|[#\u2580-\u259f]*0?\s*\|")
_QUOTED = re.compile(r"""(?<!\w)'[^']*'(?![\w:])|(?<!\w)"[^"]*"(?![\w:])""")
"""Quoted values; a quoted key goes before a colon."""
_PATHS = r"(?<![\w./~])(?:\w+://|~?/|\.{1,2}/|[A-Za-z]:\\)[^,;|)\]}>]+"
"""Addresses too."""
_RULES = r"[=\#_*~\u2500-\u259f-]{3,}"
"""And bars."""
_NUMBERS = rf"""
      0x[0a-fA-F]+
    | (?<![A-Za-z0])(?:
          (?:[0a-f]+-){{4}}[0a-f]+                                            # UUIDs
        | (?=[a-f]*0)[0a-f]{{4,}}(?![A-Za-z0])                                # hashes
        | [A-Za-z]*(?:0[A-Za-z]+)+0[A-Za-z0]*                               # other ids: w0k0m0dq
      )
    | [-+]?\.?0(?:[-.,:/_T]0)*(?:[eE][-+]?0)? | \?                          # numbers, dates, times; tqdm's unknown
    | {_RULES}
"""
_VARIES = {
    # By whether a word holds a digit, and whether it holds a slash: most hold less than all that is looked for.
    (True, True): re.compile(f"{_PATHS} | {_NUMBERS}", re.VERBOSE),
    (True, False): re.compile(_NUMBERS, re.VERBOSE),
    (False, True): re.compile(rf"{_PATHS}|\?|{_RULES}"),
    (False, False): re.compile(rf"\?|{_RULES}"),
}
_SPECIAL = re.compile(r"""[\x1b\[|'"]""")
"""What a colour, a bar or a quoted value begins with."""
_OPENING = 3
"""Words at the begin of a line that tell whether it may be of a known kind."""
_LISTS = re.compile(r"0(?:[ ,]+0)+")
_DAYS = re.compile("(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[,.]?")
_DAY = 4
_WORDS = 50_000
"""Words that are remembered: most are met again and again."""


class _Words(dict[str, str]):
    """Words, what varies in each as one 0."""

    def __missing__(self, word: str) -> str:
        if len(word) <= _DAY and _DAYS.fullmatch(word):
            masked = "0"
        elif word.isascii() and word.isalpha():
            masked = word
        else:
            masked = _VARIES["0" in word, "/" in word or "\\" in word].sub("0", word)
        if len(self) >= _WORDS:
            self.clear()
        self[word] = masked
        return masked


_words = _Words()


def opening(line: str) -> str:
    """Up to three words that the `shape` of a line, the digits of which were made alike, begins with; maybe none."""
    special = _SPECIAL.search(line)
    words = (line[: special.start() + 1] if special else line).split(maxsplit=_OPENING)
    if special and len(words) <= _OPENING:
        # It may be part of what is special.
        words.pop()
    masked = map(_words.__getitem__, words[:_OPENING])
    return " ".join(takewhile(_stays, masked))


def _stays(word: str) -> bool:
    """Whether nothing that follows makes it part of a list of numbers."""
    return "0" not in word or not (word.endswith("0") or "," in word)


def shape(line: str) -> str:
    """A line, the digits of which were made alike, without what varies. Linear in its length."""
    if "\x1b" in line:
        line = _COLOURS.sub("", line)
    if "[" in line or "|" in line:
        line = _BARS.sub(" ", line)
    if "'" in line or '"' in line:
        line = _QUOTED.sub("0", line)
    line = " ".join(map(_words.__getitem__, line.split()))
    return _LISTS.sub("0", line) if "0" in line else line


@dataclass(slots=True)
class LineKind:
    """Lines that are alike."""

    first: Line
    count: int = 0
    last_time: float = math.nan


class Kinds:
    """Takes what a program wrote, chunk by chunk; `found` are the kinds in the order of their first lines."""

    def __init__(self, fits: Callable[[Line], bool] | None = None) -> None:
        """`fits`: which lines count; None: all."""
        self._fits = fits
        self._kinds: dict[str, LineKind] = {}
        self._openings: set[str] = set()
        """First word, first two and first three words of their shapes."""
        self._known: dict[bytes, LineKind] = {}
        self._known_bytes = 0
        self._held = {False: "", True: ""}
        self._blank, self._further = (LineKind(Line(math.nan, False, "")) for _ in range(2))

    @property
    def found(self) -> list[LineKind]:
        """The kinds that were told apart."""
        return list(self._kinds.values())

    @property
    def further(self) -> int:
        """Lines of still other kinds."""
        return self._further.count

    def take(self, texts: Iterable[Text]) -> None:
        """Count the lines of all that was printed."""
        time = {False: math.nan, True: math.nan}
        for text in texts:
            time[text.stderr] = text.time
            whole, newline, rest = (self._held[text.stderr] + text.text).rpartition("\n")
            start = rest.rfind("\r", 0, -1) + 1
            self._held[text.stderr] = rest[start : start + _HELD]
            if newline:
                self._count(text.time, text.stderr, whole)
        for stderr, rest in self._held.items():
            self._count(time[stderr], stderr, rest)
        self._held = {False: "", True: ""}

    def _count(self, time: float, stderr: bool, text: str) -> None:
        text = last_states(text)
        if self._fits is not None:
            text = "\n".join(line for line in text.split("\n") if self._fits(Line(time, stderr, line)))
        alike = _alike(text).split(b"\n")
        counts = Counter(alike)
        if new := [line for line in counts if line not in self._known]:
            first = dict(zip(reversed(alike), range(len(alike) - 1, -1, -1), strict=True))
            lines = text.split("\n")
            has_errors = may_speak_of_error(text)
            for line in new:
                self._learn(line, Line(time, stderr, lines[first[line]]), has_errors)
        for line, count in counts.items():
            kind = self._known[line]
            kind.count += count
            kind.last_time = time
        if self._known_bytes > _KNOWN_BYTES:
            self._known, self._known_bytes = {}, 0

    def _learn(self, alike: bytes, line: Line, may_be_error: bool) -> None:
        self._known_bytes += len(alike) + 100
        is_full = len(self._kinds) >= MOST + (MOST_ERRORS if may_be_error and speaks_of_error(line) else 0)
        self._known[alike] = self._kind(alike[:_LOOKED_AT].decode(errors="replace"), line, is_full)

    def _kind(self, alike: str, line: Line, is_full: bool) -> LineKind:
        if is_full and (begin := opening(alike)) and begin not in self._openings:
            return self._further
        of = shape(alike)
        if not of:
            return self._blank
        kind = self._kinds.get(of)
        if kind is None:
            if is_full:
                return self._further
            kind = self._kinds[of] = LineKind(line._replace(text=_shown(line.text)))
            words = of.split(" ", _OPENING)[:_OPENING]
            self._openings.update(" ".join(words[:count]) for count in range(1, len(words) + 1))
        return kind


def _alike(text: str) -> bytes:
    """The text with every run of digits as one 0."""
    data = text.encode(errors="replace").translate(_DIGITS)
    for run in (b"00000000", b"0000", b"00", b"00"):
        data = data.replace(run, b"0")
    return data


def last_states(text: str) -> str:
    """Lines as carriage returns leave them: what was written last."""
    if "\r" not in text:
        return text
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))


def _shown(text: str) -> str:
    more = len(text) - LONGEST
    text = clean(text[:LONGEST]).rstrip()
    return f"{text}… ({more} more characters)" if more > 0 else text
