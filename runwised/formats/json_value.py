"""JSON as training programs write it: bare NaN and Infinity, exact integers, and never an exception.

Fast parse first (msgspec), then the tolerant one (``json``); what neither can read stays text.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

DEEPEST = 64
"""Lists and objects nested deeper than this are not built: what recursion would meet them later could not bear it."""

LONGEST_OTHER = 1 << 16
"""Bytes of JSON text above which a value is not kept."""

_fast = msgspec.json.Decoder().decode
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_BRACKET = re.compile(rb"[\[{\]}]")


def decode_json(value: bytes) -> Any:
    """The value as `json.loads` gives it (integers exact, NaN and infinities as float).

    Where that would fail, or give what cannot be handled later: bytes that are no UTF-8 and lone surrogates become
    U+FFFD; an integer of more digits than Python converts (4300) becomes infinite; text that is no JSON, or is nested
    deeper than `DEEPEST`, comes back as str.
    """
    if value[:1] in (b"[", b"{") and depth_of(value) > DEEPEST:
        return value.decode("utf-8", "replace")
    try:
        return _fast(value)
    except ValueError:
        return _tolerant(value.decode("utf-8", "replace"))


def encode_json(value: Any) -> bytes:
    """JSON text of a value from `decode_json`; NaN and infinities bare."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def as_float(value: float) -> float:
    """A logged number as float64; integers beyond its range become infinite."""
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def kind_of(value: Any) -> str:
    """Of a value that is no number: ``string``, ``bool``, ``null``, ``list``, a dict's ``_type``, or ``object``."""
    if isinstance(value, dict):
        return str(value.get("_type", "object"))
    return _KINDS[type(value)]


_KINDS = {str: "string", bool: "bool", type(None): "null", list: "list"}


def depth_of(value: bytes) -> int:
    """How deep lists and objects nest; 0 when there are too few brackets to matter."""
    if value.count(b"[") + value.count(b"{") <= DEEPEST:
        return 0
    depth = deepest = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", value)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _tolerant(value: str) -> Any:
    try:
        parsed = json.loads(value, parse_int=parse_integer)
    except ValueError:
        parsed = value
    return storable(parsed)


def parse_integer(digits: str) -> int | float:
    """An integer's exact value; infinite when it has more digits than Python converts."""
    try:
        return int(digits)
    except ValueError:
        return float(digits)


def storable(value: Any) -> Any:
    """Without lone surrogates, which no UTF-8 can carry."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [storable(inner) for inner in value]
    if isinstance(value, dict):
        return {storable(key): storable(inner) for key, inner in value.items()}
    return value
