"""The rows in one line of a JSON-lines log, exact: whatever the line is, and where in it each object begins."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import msgspec

from runwised.formats.json_value import DEEPEST, depth_of, parse_integer, storable
from runwised.formats.record import escape

MOST_GLUED = 1024
"""Objects taken from one line."""

MOST_KEYS = 16_384
"""An object of more values is damage: no program logs that many, and each would become a metric."""

_MOST_TRIES = 64
_LONGEST_MENDED = 1 << 20
_BOM = b"\xef\xbb\xbf"
_BLANKS = b" \t\r"
_AFTER_BLANKS = re.compile(r"[ \t\r]*")

_SEPARATOR = re.compile(r"(?<!\\)(?:\\\\)*\.")

_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

_fast = msgspec.json.Decoder().decode
_tolerant = json.JSONDecoder(strict=False, parse_int=parse_integer).raw_decode


class LineRow(NamedTuple):
    """One object of a line."""

    at: int
    """Where it begins, bytes from the line's start."""
    logged: dict[str, Any]
    """As `json.loads` gives it; of a key that is there twice the last value."""
    values: dict[str, Any]
    """The same by escaped key."""


class LineDamage(NamedTuple):
    """Bytes of a line that are no row; the line's end is one of them when they reach it."""

    at: int
    size: int
    reason: str


LinePart: TypeAlias = LineRow | LineDamage
IsRow: TypeAlias = Callable[[dict[str, Any]], bool]


def parts_of(line: bytes, is_row: IsRow, *, first: bool = False) -> list[LinePart]:
    r"""What a line (without its ``\n``) holds, in order; nothing when it is blank. `first`: there may be a BOM.

    Usually that is one object. Several objects may be glued together; and where a program died within a row and the
    next one was written right behind the torn half, that one is found. `is_row` tells a row from an object that may as
    well be a value within the torn half.
    """
    begin = len(_BOM) if first and line.startswith(_BOM) else 0
    body = line[begin:].lstrip(_BLANKS)
    begin = len(line) - len(body)
    body = body.rstrip(_BLANKS)
    if not body:
        return []
    if depth_of(body) > DEEPEST:
        return [LineDamage(begin, len(line) - begin + 1, f"a line nested deeper than {DEEPEST}")]
    try:
        logged = _fast(body)
    except ValueError:
        return [_moved(part, begin, len(line)) for part in _objects(body, is_row)]
    if not isinstance(logged, dict):
        return [LineDamage(begin, len(line) - begin + 1, "a line is no JSON object")]
    return [_part(begin, len(line) - begin + 1, logged)]


def values_at_start(line: bytes) -> dict[str, Any]:
    """By escaped key, the values of the object that begins at ``line[0]``, whatever follows it.

    Raises ValueError when there is none.
    """
    part = parts_of(line, lambda _: True)[:1]
    if not part or part[0].at or not isinstance(part[0], LineRow):
        raise ValueError("no JSON object begins there")
    return part[0].values


def flatten(logged: dict[str, Any]) -> dict[str, Any]:
    """Values by escaped key: nested objects opened, one with a ``_type`` kept whole, an empty one left out.

    The texts "NaN", "Infinity" and "-Infinity" are numbers: so they are written where JSON is taken strictly.
    """
    values: dict[str, Any] = {}
    for key, value in logged.items():
        if type(value) is dict:
            _open(element(key), value, values)
        else:
            values[element(key)] = plain_value(value)
    return values


def plain_value(value: Any) -> Any:
    """The number where a text is one that JSON cannot spell."""
    return _NUMBERS.get(value, value) if type(value) is str else value


def is_number(value: Any) -> bool:
    """Whether it is a number, or spelled as a text."""
    return type(value) is float or type(value) is int or (type(value) is str and value in _NUMBERS)


def open_value(name: str, value: dict[str, Any]) -> dict[str, Any]:
    """`flatten` of an object that is logged under an (escaped) key."""
    values: dict[str, Any] = {}
    _open(name, value, values)
    return values


def path_length(key: str) -> int:
    """Elements of an escaped key."""
    return len(_SEPARATOR.findall(key)) + 1


def is_deeper(value: Any, most: int) -> bool:
    """Whether lists and objects nest deeper in a value than `most` levels, its own being the first."""
    level = [value]
    while level and most >= 0:
        most -= 1
        parts = (part for held in level for part in (held.values() if type(held) is dict else held))
        level = [part for part in parts if type(part) is dict or type(part) is list]
    return most < 0


def element(key: str) -> str:
    """`escape` of a path of one element, quick for what needs none."""
    return key if "." not in key and "\\" not in key else escape((key,))


def _open(name: str, logged: dict[str, Any], values: dict[str, Any]) -> None:
    if isinstance(logged.get("_type"), str):
        values[name] = logged
        return
    for key, value in logged.items():
        path = f"{name}.{element(key)}"
        if type(value) is dict:
            _open(path, value, values)
        else:
            values[path] = plain_value(value)


def _part(at: int, size: int, logged: dict[str, Any]) -> LinePart:
    values = flatten(logged)
    if len(values) > MOST_KEYS:
        return LineDamage(at, size, f"an object of more than {MOST_KEYS} values")
    return LineRow(at, logged, values)


def _moved(part: LinePart, by: int, line_size: int) -> LinePart:
    """The part of a body as part of its line, which begins `by` bytes earlier; damage without end goes to its end."""
    at = part.at + by
    if isinstance(part, LineDamage):
        return LineDamage(at, part.size or line_size - at + 1, part.reason)
    return part._replace(at=at)


def _objects(body: bytes, is_row: IsRow) -> Iterator[LinePart]:
    """The parts of a line that is not one plain JSON value: NaN and Infinity, glued objects, torn ones, no JSON."""
    text = body.decode("utf-8", "surrogateescape")
    ascii_only = text.isascii()
    surrogates = not ascii_only or "\\u" in text
    at = place = 0
    for _ in range(MOST_GLUED):
        found = _object(text, at)
        end = found[1] if found else _next_row(text, at, is_row)
        size = end - at if ascii_only else len(text[at:end].encode("utf-8", "surrogateescape"))
        if found:
            yield _part(place, size, storable(found[0]) if surrogates else found[0])
        else:
            yield LineDamage(place, size if end < len(text) else 0, "a line is no JSON object")
        at, place = end, place + size
        if at == len(text):
            return
    yield LineDamage(place, 0, f"a line of more than {MOST_GLUED} objects")


def _object(text: str, at: int) -> tuple[dict[str, Any], int] | None:
    """The object that begins at a place, and where what follows it begins."""
    if text[at] != "{":
        return None
    try:
        logged, end = _tolerant(text, at)
    except (ValueError, RecursionError):  # no JSON, or so deep that the parser gave up
        return None
    if depth_of(text[at:end].encode("utf-8", "surrogateescape")) > DEEPEST:
        return None
    after = _AFTER_BLANKS.match(text, end)
    return logged, after.end() if after else end


def _next_row(text: str, at: int, is_row: IsRow) -> int:
    """Where behind a place a whole row begins that reaches to the end; the end when there is none."""
    if len(text) - at > _LONGEST_MENDED:
        return len(text)
    begin = len(text)
    for _ in range(_MOST_TRIES):
        begin = text.rfind('{"', at + 1, begin + 1)
        if begin < 0:
            break
        found = _object(text, begin)
        if found and found[1] == len(text) and (not _is_value(text, begin) or is_row(found[0])):
            return begin
    return len(text)


def _is_value(text: str, at: int) -> bool:
    """Whether what begins at a place may be a value in an object or a list."""
    return text[max(at - 16, 0) : at].rstrip()[-1:] in (":", ",", "[")
