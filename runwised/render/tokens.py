"""What a text costs in tokens (o200k), estimated from above without a tokenizer.

The text is cut into pieces as the tokenizer's own pattern cuts it: words with the one mark before them, runs of
digits, marks, breaks and spaces. Digits, breaks and spaces are then counted exactly. A word costs one token and what
makes it unusual costs more: length, rare letters, runs of consonants or vowels, capitals inside. The weights were
fitted to what o200k makes of the words in program text and of random letters, so as to come out above more often
than below.
"""

from __future__ import annotations

import math
import re

_PIECES = re.compile(
    r"[\t -/:-@\[-`{-~]?[A-Za-z]+"
    r"|[0-9]+"
    r"| ?[!-/:-@\[-`{-~]+[\r\n/]*"
    r"|[ \t]*[\r\n]+"
    r"|[^\S\r\n]+(?![^\s])|\s"
    r"|[^\x00-\x7f]+"
    r"|[\x00-\x7f]"
)
_HUMPS = re.compile(r"[A-Z]*[a-z]+|[A-Z]+")
_CONSONANTS = re.compile(r"[^aeiouyAEIOUY]{3,}")
_VOWELS = re.compile(r"[aeiouyAEIOUY]{2,}")
_RARE = str.maketrans("", "", "abcdefghilmnoprstuyABCDEFGHILMNOPRSTUY")
_BEFORE = {"": 0.0, " ": 0.0, "_": 0.2, "/": 0.95, "|": 0.95, ",": 0.8}
"""What the mark before a word adds; those of paths and tables mostly stay apart from it."""
_FIELD = """
a ab abs acc accuracy add after ago all and api arg args at avg back base batch best bin bit block by bytes cache
call case check class code col color config core count cut data date day default def device dim dir down end
entry env err error eval event exit export factor failed false field file files first flag float for format
found free from full func get grad group hash head height help hidden hint history hour id if import in index
info init input int is item job join json key keys kind label last latest layer layers left len length level
limit line lines link list load local lock log logs loss low main map mask max mean memory message method metric
min missing mode model module more move name names nan nearest net new next no node none norm not note now null
num number object of off offset old on open optimizer option or order other out output page param params parent
parse part path point port print process project query range rank rate raw read ready ref reply reset rest result
return right root row rows run running runs sample save scale score seed self send server set shape show sign
size sort source space spec speed split start state stats status std step steps stop store str sum summary tag
task temp test text the this time title to token tokens top total train training true type unit update url use
used user val valid value values version view wait weight width window with word write year zero
"""
_COMMON = frozenset(_FIELD.split())
"""Words of the field that are one token, at a line's start, after a space and after an underscore."""


def estimate(text: str) -> int:
    """Tokens of a text: at most a few too many, rarely too few. Linear in its length."""
    return math.ceil(sum(map(_costs.__getitem__, _PIECES.findall(text))))


_REMEMBERED = 10_000


class _Costs(dict[str, float]):
    """What pieces cost, remembered; not that of long numbers, which are hardly ever the same again."""

    def __missing__(self, piece: str) -> float:
        cost = _cost(piece)
        if len(piece) <= (3 if piece[0].isdigit() else 24):
            if len(self) >= _REMEMBERED:
                self.clear()
            self[piece] = cost
        return cost


_costs = _Costs()


def _cost(piece: str) -> float:
    if not piece.isascii():
        return sum(map(_foreign, piece))
    if piece[0].isdigit():
        return -(-len(piece) // 3)
    if piece[-1].isalpha():
        return _word(piece)
    bare = piece.strip()
    if not bare:
        return 1 + len(piece) // 64
    return _marks(bare)


def _word(piece: str) -> float:
    mark = "" if piece[0].isalpha() else piece[0]
    humps = _HUMPS.findall(piece)
    before = _BEFORE.get(mark, 0.5)
    return before + sum(map(_hump, humps))


def _hump(word: str) -> float:
    if word in _COMMON:
        return 1.0
    if len(word) == 2 and word.translate(_RARE):
        return 2.0
    cost = 1.05 + 0.11 * max(0, len(word) - 4) + 0.3 * max(0, len(word) - 10) + 0.55 * len(word.translate(_RARE))
    cost += sum(0.6 * (len(run) - 2) for run in _CONSONANTS.findall(word))
    cost += sum(0.3 * (len(run) - 1) - 0.2 for run in _VOWELS.findall(word))
    if len(word) > 2 and not word[1:].islower():
        cost += 0.12 * (len(word) - 2)
    return cost


def _marks(run: str) -> float:
    """A rule drawn of one mark is a token for each twelve or more; other runs cost about one for each two."""
    if len(set(run)) == 1 and run[0] in "-=*#_.~+":
        return 1 + len(run) // 12
    return max(1.0, 0.7 * len(run))


_USUAL = frozenset("→←↑↓…‹›«»×÷±≥≤≈∞√µ°·•–—‘’“”€£©®█▄▀■●✓")
"""Marks beyond ASCII that are one token."""
_ALPHABETS = ("iso8859-1", "iso8859-2", "iso8859-9", "cp1251", "cp1253", "koi8-u", "cp1255", "cp1256")
_SYLLABARIES = ("gb2312", "big5", "euc_kr")
_COMMON_WEIGHTS = ((0x700, 1.1), (0x3100, 1.4), (0xAC00, 1.75), (0xD800, 1.6))
"""Of characters that these old encodings, made for daily use, have: up to which code point, tokens each."""
_WEIGHTS = (
    (0x530, 2.25),  # Latin with marks, phonetic, Greek, Cyrillic
    (0x700, 1.9),  # Armenian, Hebrew, Arabic
    (0x900, 2.9),
    (0xE80, 1.7),  # scripts of India, Thai
    (0x1100, 2.3),
    (0x2000, 3.2),
    (0x2500, 2.9),  # punctuation, arrows, mathematics
    (0x2600, 2.6),  # lines and blocks
    (0x3000, 3.0),
    (0x3100, 1.5),  # kana
    (0x4E00, 3.1),
    (0xA000, 2.6),  # Han
    (0xAC00, 3.0),
    (0xD800, 2.7),  # Hangul
    (0xFB00, 3.0),
    (0x10000, 2.6),
    (0x1F000, 4.1),
    (0x1F700, 2.8),  # emoji
    (0x20000, 3.0),
)
"""Of all others; those of every encoding are what o200k makes of them drawn by chance, which is the worst case: in
words of a language neighbours share tokens."""


def _foreign(char: str) -> float:
    if char in _USUAL:
        return 1.0
    code = ord(char)
    weights = _COMMON_WEIGHTS if _is_common(char) else _WEIGHTS
    return next((weight for end, weight in weights if code < end), 4.0)


def _is_common(char: str) -> bool:
    """Whether an encoding for daily use has it; two bytes are the plain part of those with thousands of characters."""
    code = ord(char)
    encodings = _ALPHABETS if code < 0x700 else _SYLLABARIES if 0x3000 <= code < 0xD800 else ()
    return any(0 < len(char.encode(encoding, "ignore")) <= 2 for encoding in encodings)
