"""Tables between two rules, as Stable-Baselines and its kin print one each time they log: each table is one row.

::

    ----------------------------------
    | rollout/           |           |
    |    ep_rew_mean     | 22.5      |
    | time/              |           |
    |    total_timesteps | 256       |
    ----------------------------------

A name set in belongs to the section above it. Without a count that can be its step such a table is none of a training.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from runwised.formats.record import NO_STEP, escape

LONGEST_TABLE = 1 << 14
"""Bytes of a table above which it is none."""
LONGEST_LINE = 512
_MOST_DIGITS = 15
"""Of an integer that a float64 holds."""
_SHORTEST_RULE = b"--------\n"
_RULE = rb"-{8,400}\n"
_LINE = rb"\|[^|\n\r\b]{1,200}\|[^|\n\r\b]{0,200}\|[ ]{0,20}\n"
_TABLE = re.compile(_RULE + rb"((?:" + _LINE + rb")+)" + _RULE)
_BEGUN = re.compile(_RULE + rb"(?:" + _LINE + rb")*")
_CELLS = re.compile(rb"\|([^|\n]*)\|([^|\n]*)\|")
_NUMBER = re.compile(r"[-+]?(?:\d[\d_]{0,40}(?:\.\d*)?|\.\d+)(?:e[-+]?\d{1,4})?|[-+]?(?:nan|inf)", re.IGNORECASE)
_STEPS = ("total_timesteps", "totalenvinteracts", "timesteps", "global_step", "step", "iterations", "epoch")
"""Last parts of the names, in lower case, that count a program's progress; the first of these is the step."""


class Place(NamedTuple):
    """Where a table begins and ends."""

    start: int
    end: int
    """-1: it may still go on."""


def find_table(text: bytes, start: int, last: int, size: int) -> Place | None:
    """The first table that begins between two places; `size` bytes of the text are whole records.

    `start` is where a record begins, outside of any table.
    """
    at = start
    while True:
        rule = text.find(_SHORTEST_RULE, at, min(size, last + LONGEST_LINE))
        if rule < 0:
            return None
        before = max(start, rule - LONGEST_LINE)
        begin = max(before, max(text.rfind(end, before, rule) for end in (b"\n", b"\r", b"\b")) + 1)
        at = rule + 1
        if begin >= last:
            return None
        if found := _TABLE.match(text, begin, size):
            if found.end() - begin <= LONGEST_TABLE:
                return Place(*found.span())
            continue
        begun = _BEGUN.match(text, begin, size)
        if begun and begun.end() == size and size - begin <= LONGEST_TABLE:
            return Place(begin, -1)


def goes_on(behind: bytes) -> bool:
    """Whether a table's next line can begin with these bytes, a record without its end."""
    return not behind or (behind[:1] in b"|-" and len(behind) < LONGEST_LINE)


def begins_table(text: bytes) -> bool:
    """Whether these bytes, the beginning of a row, are a rule."""
    return _BEGUN.match(text) is not None


def read_table(table: bytes) -> tuple[int, dict[str, float]] | None:
    """Step and values of a whole table, values by key; None: it is none of a training."""
    found = _TABLE.match(table)
    if found is None:
        return None
    section = ""
    values: dict[str, float] = {}
    steps: dict[str, int] = {}
    for name, cell in _CELLS.findall(found[1]):
        key, value = (part.decode("utf-8", "replace") for part in (name, cell.strip()))
        if not value and key.rstrip().endswith("/"):
            section = key.strip()
        elif key.strip() and _NUMBER.fullmatch(value):
            path = (section if key.startswith("  ") else "") + key.strip()
            counts = value.isdecimal() and len(value) <= _MOST_DIGITS
            values[escape((path,))] = int(value) if counts else float(value)
            if counts:
                steps.setdefault(path.rpartition("/")[2].lower(), int(value))
    step = next((steps[word] for word in _STEPS if word in steps), NO_STEP)
    return None if step == NO_STEP else (step, values)
