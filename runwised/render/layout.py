"""Rows of cells as lines: one space apart for an agent, aligned for a person, or Markdown."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Literal

from runwised.render.untrusted import clean

STYLES = {"bold": 1, "dim": 2, "red": 31, "green": 32, "yellow": 33, "cyan": 36}
_STYLE = re.compile(r"\x1b\[(?:0|1|2|31|32|33|36)m")
_SPECIAL = re.compile(r"([\\`*_<>|#\[\]])")
_NUMBER = re.compile(r"-|[-+]?[\d.,]+(e[-+]?\d+)?%?(@\d+)?|nan|-?inf")
_LONGEST_CELL = 160
_FEIGNED = re.compile(r"""[^\w<`{]*(?:(?:next|cut|error|hint)\s*:|<\W*\w|```|\{")""", re.IGNORECASE)
"""How lines of a page begin that are its own, and what models are used to read of others."""
_LONGEST_NAME = 100
_LONGEST_LINE = 4000
"""Characters; what is longer is cut at once, so that a megabyte costs nothing to lay out."""
_CHARACTERS = 4096
"""Characters whose widths are remembered."""
_NARROWEST = 12
"""Terminal columns below which no column is cut."""


def tidy(text: str, *, styled: bool = False) -> str:
    """Clean text of any origin; with `styled` the page's own colours stay."""
    text = cut(text, _LONGEST_LINE)
    if not styled or "\x1b" not in text:
        return clean(text)
    marks = _STYLE.findall(text)
    parts = [clean(part) for part in _STYLE.split(text)]
    return "".join(part + mark for part, mark in zip(parts, [*marks, ""], strict=True))


def plain(text: str) -> str:
    """Text without the page's colours."""
    return _STYLE.sub("", text) if "\x1b" in text else text


def cut(text: str, length: int) -> str:
    """At most so many characters, ended by ``…`` when there were more."""
    return text if len(text) <= length else text[: length - 1] + "…"


def guarded(text: str) -> str:
    """A line, cleaned; where it begins with a name that feigns to be something else, with a quote before it."""
    return f"'{text}" if _FEIGNED.match(text) else text


def short(text: str) -> str:
    """A name as a line shows it: cleaned, the middle left out where it is very long."""
    text = tidy(text)
    return text if len(text) <= _LONGEST_NAME else f"{text[:60]}…{text[-30:]}"


def cell(text: str, *, styled: bool) -> str:
    """One cell of any table; an empty one is ``-``."""
    text = tidy(text, styled=styled).strip() or "-"
    return text if len(text) <= _LONGEST_CELL else cut(plain(text), _LONGEST_CELL)


def escaped(text: str) -> str:
    """Text that Markdown shows as it is."""
    return _SPECIAL.sub(r"\\\1", text)


def laid_out(
    head: Sequence[str], rows: Sequence[Sequence[str]], style: Literal["agent", "human", "md"], width: int
) -> tuple[list[str], list[str]]:
    """The lines of a table's head and of its rows."""
    if style == "agent":
        return [" ".join(head)], [_spaced(row) for row in rows]
    if style == "md":
        return [_piped(head), "|" + "---|" * len(head)], [_piped(row) for row in rows]
    first, *rest = aligned([head, *rows], width)
    return [first], rest


def _spaced(cells: Sequence[str]) -> str:
    """Cells one space apart; a cell with a space inside is quoted, unless it is the last."""
    inner = [f'"{cell}"' if " " in cell else cell for cell in cells[:-1]]
    return " ".join([*inner, *cells[-1:]])


def _piped(cells: Sequence[str]) -> str:
    return "|" + "|".join(escaped(cell) for cell in cells) + "|"


def columns(text: str) -> int:
    """Terminal columns the text takes; colours take none, wide characters two."""
    text = plain(text)
    if text.isascii():
        return len(text)
    return sum(map(_columns_of, text))


@lru_cache(_CHARACTERS)
def _columns_of(char: str) -> int:
    return 1 + (unicodedata.east_asian_width(char) in "WF") - (unicodedata.combining(char) != 0)


def aligned(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Rows, the head first, in columns two spaces apart, numbers to the right.

    The widest column gives way until `width` is kept.
    """
    wide = [max(columns(row[at]) for row in rows) for at in range(len(rows[0]))]
    while sum(wide) + 2 * (len(wide) - 1) > width and max(wide) > _NARROWEST:
        wide[wide.index(max(wide))] -= 1
    right = [all(_NUMBER.fullmatch(plain(row[at])) for row in rows[1:]) for at in range(len(wide))]
    return ["  ".join(_padded(*part) for part in zip(row, wide, right, strict=True)).rstrip() for row in rows]


def _padded(text: str, width: int, right: bool) -> str:
    if columns(text) > width:
        text = plain(text)
        text = text[: bisect_right(list(accumulate(map(_columns_of, text))), width - 1)] + "…"
    space = " " * (width - columns(text))
    return space + text if right else text + space
