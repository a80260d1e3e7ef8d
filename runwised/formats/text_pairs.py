"""Numbers with a name: ``loss=2.3``, ``loss: 2.3``, ``loss 2.3``, ``42.4% bf16 MFU``, ``{'loss': '2.3'}``.

Everything here works on shapes (see `runwised.formats.text_numbers`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

from runwised.formats.text_numbers import Number
from runwised.formats.text_prefix import CleanLine
from runwised.formats.text_words import IGNORED, PROSE

LONGEST_KEY = 64

_NUMBER = (
    rb"(?P<sign>[-+])?(?:(?P<whole>0(?:,0)*)(?:\.(?P<fraction>0)?)?|\.(?P<bare>0))(?:[eE](?P<esign>[-+])?(?P<exponent>0))?"
    rb"|(?P<special>[-+]?(?:[Nn][Aa][Nn]|[Ii][Nn][Ff](?:[Ii][Nn][Ii][Tt][Yy])?))\b"
)
_UNIT = rb"(?P<unit>%|(?:[A-Za-z]|\xc2\xb5)[A-Za-z]{0,9}(?:/[A-Za-z]{1,12})?)?"
_TAIL = rb"(?:\s*\([^()]*\))?(?=[\s,;|)\]}]|$)"
NUMBER = re.compile(_NUMBER)
VALUE = re.compile(rb"[\[(]?(?:" + _NUMBER + rb")[\])]?" + _UNIT + _TAIL)
_PLAIN_NAME = rb"[A-Za-z_][\w/.@%#+-]*"
_BLANK_PAIR = re.compile(rb"\s*(?P<key>" + _PLAIN_NAME + rb"(?: " + _PLAIN_NAME + rb"){0,4})\s+(?=[-+.0nNiI])")
_SIGN_PAIR = re.compile(
    rb"\s*(?P<key>[A-Za-z_\x80-\xff](?:[^:=,;\"'{}\[\]|]|(?<=[a-z0])'s ){0,63}?)\s*(?:[:=]|=>)\s*(?=[^\s>])"
)
_COUNTING = re.compile(rb"(?:^|\s)[#-]?0")
"""A number that stands alone within a name: it counts something, and each count would be a name of its own."""
_TOKEN = re.compile(rb"\S+(?:\s*\([^()]*\))?")
_NAMED_AFTER = re.compile(rb"\s+(?P<key>[A-Za-z][\w/%.@ -]*?)\s*$")
_DICT_PAIR = re.compile(
    rb"(?P<quote>['\"])(?P<key>(?:(?!(?P=quote)).){1,64})(?P=quote)\s*:\s*(?P<inner>['\"]?)(?:[A-Za-z_][\w.]*\()?(?:"
    + _NUMBER
    + rb")(?P=inner)(?:,[^(){}]*\))?\)?(?=\s*[,}])"
)
CUTS = re.compile(
    rb"\||;|,(?!0)|\t|(?<![:=\s])\s{2,}+(?![-+]?\.?0)|\s(?:-|\xe2\x80\x93|\xe2\x80\x94)\s|(?:(?<=\s)|^)\[|\](?=\s|$)"
)
"""What parts the pieces of a line from each other."""


class Field(NamedTuple):
    """One number of a line, and its name as it stands in the shape."""

    name: bytes
    name_runs: tuple[int, ...]
    """The runs of digits within the name."""
    number: Number
    unit: str = ""
    signed: bool = True
    """A colon or an equals sign stands between the two."""


def number_of(line: CleanLine, found: re.Match[bytes]) -> Number | None:
    """How a matched `NUMBER` is written; None when something stands inside it that is cut out."""
    if found["special"] is not None:
        value = float(found["special"])
        return Number(0, constant=math.nan if math.isnan(value) else value)
    start, end = found.span("bare" if found["whole"] is None else "whole")
    for group in ("fraction", "exponent"):
        end = max(end, found.end(group))
    runs = line.runs(start, end)
    if runs[-1] - runs[0] != len(runs) - 1:
        return None
    whole = 0 if found["whole"] is None else found["whole"].count(b"0")
    exponent = 0 if found["exponent"] is None else -1 if found["esign"] == b"-" else 1
    fraction = found["fraction"] is not None or found["bare"] is not None
    return Number(runs[0], whole, fraction, exponent, found["sign"] == b"-")


def dict_fields(line: CleanLine, start: int, end: int) -> list[Field]:
    """The numbers of a printed dict (or JSON object) between two places; quoted numbers are numbers."""
    fields = []
    for found in _DICT_PAIR.finditer(line.text, start, end):
        number = number_of(line, found)
        if number is not None:
            fields.append(Field(found["key"], line.runs(*found.span("key")), number))
    return fields


def piece_fields(line: CleanLine, start: int, end: int) -> list[Field] | None:
    """The numbers with a name before them that a piece of a line consists of; None when it is something else."""
    fields: list[Field] = []
    at = start
    while line.text[at:end].strip():
        found = _blank_pair(line, at, end) or _signed_pair(line, at, end)
        if found is None:
            return None
        field, at = found
        if field is not None:
            fields.append(field)
    return fields


def _blank_pair(line: CleanLine, at: int, end: int) -> tuple[Field | None, int] | None:
    found = _BLANK_PAIR.match(line.text, at, end)
    if found is None:
        return None
    value = VALUE.match(line.text, found.end(), end)
    if value is None or not PROSE.isdisjoint(found["key"].lower().split(b" ")):
        return None
    return _field(line, found, value, signed=False), value.end()


def _signed_pair(line: CleanLine, at: int, end: int) -> tuple[Field | None, int] | None:
    """A pair with a colon or an equals sign; its value may be anything, then there is no field."""
    found = _SIGN_PAIR.match(line.text, at, end)
    if found is None:
        return None
    value = VALUE.match(line.text, found.end(), end)
    if value is not None:
        return _field(line, found, value, signed=True), value.end()
    token = _TOKEN.match(line.text, found.end(), end)
    return None if token is None else (None, token.end())


def _field(line: CleanLine, name: re.Match[bytes], value: re.Match[bytes], *, signed: bool) -> Field | None:
    number = number_of(line, value)
    key = name["key"]
    if number is None or len(key) > LONGEST_KEY or key.lower() in IGNORED or _COUNTING.search(key):
        return None
    return Field(key, line.runs(*name.span("key")), number, (value["unit"] or b"").decode("utf-8", "replace"), signed)


def named_after(line: CleanLine, start: int, end: int) -> Field | None:
    """A number whose name stands behind it, or is its unit: ``42.4% bf16 MFU``, ``107.26 ms``."""
    while line.text[start : start + 1].isspace():
        start += 1
    value = VALUE.match(line.text, start, end)
    name = value and _NAMED_AFTER.match(line.text, value.end(), end)
    if value is None or not name:
        return None
    field = _field(line, name, value, signed=True)
    if field is not None and not field.unit and b" " not in field.name:
        field = field._replace(unit=field.name.decode())
    return field


def pieces(text: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The pieces between two places of a line, where each begins and ends."""
    at = start
    for cut in CUTS.finditer(text, start, end):
        if cut.start() > at:
            yield at, cut.start()
        at = cut.end()
    if end > at:
        yield at, end
