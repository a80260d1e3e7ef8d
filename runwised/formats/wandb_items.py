"""W&B items: the (path, JSON value) pairs that history, summary and config records are made of, and history rows.

The Python writer stores one item for each top-level key, nested dicts as JSON; the Go writer one item for each leaf,
media exploded too. Both come out alike here: dicts flattened to leaves, a dict with a ``_type`` kept as one value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from runwised.formats.json_value import DEEPEST, as_float, decode_json
from runwised.formats.protowire import WireError, double, fields, signed, text, zigzag
from runwised.formats.record import NO_STEP, Patch, Path, escape

Item: TypeAlias = tuple[Path, Any]

_RECORD_HISTORY = 2 << 3 | 2
_HISTORY_ITEM = 1 << 3 | 2
_HISTORY_STEP = 2 << 3 | 2
_STEP_NUM = 1 << 3 | 0

_KEY = 1 << 3 | 2
_NESTED_KEY = 2 << 3 | 2
_NONE = 3 << 3 | 0
_BOOLEAN = 4 << 3 | 0
_INTEGER = 5 << 3 | 0
_NUMBER = 6 << 3 | 1
_TEXT = 7 << 3 | 2
_JSON = 8 << 3 | 2
_VALUE_JSON = 16 << 3 | 2
_VALUE_JSON_TAG = b"\x82\x01"


class HistoryRow(NamedTuple):
    """One logged row: `values` by escaped key, without ``_step`` and ``_timestamp`` where those could be used."""

    step: int
    """`NO_STEP` when the row has none."""
    time: float
    """Epoch seconds; NaN when the row has none."""
    values: dict[str, Any]


def decode_history(payload: bytes) -> HistoryRow:
    """The row in a serialized W&B ``Record``. Raises WireError when it is malformed or holds no history."""
    for tag, value in fields(payload):
        if tag == _RECORD_HISTORY:
            return history_row(value)
    raise WireError("no history in the record")


def history_row(message: bytes) -> HistoryRow:
    """The row in a serialized ``HistoryRecord``. Raises WireError."""
    items: list[Item] = []
    step = NO_STEP
    for tag, value in fields(message):
        if tag == _HISTORY_ITEM:
            items.append(decode_item(value))
        elif tag == _HISTORY_STEP:
            step = 0
            for inner, number in fields(value):
                if inner == _STEP_NUM:
                    step = signed(number)
    return row_of(items if _are_leaves(items) else regroup(flatten(items)), step)


def _are_leaves(items: list[Item]) -> bool:
    """Whether there is certainly nothing to flatten or to regroup."""
    return all(len(path) == 1 and type(value) is not dict for path, value in items)


def row_of(leaves: Iterable[Item], step: int = NO_STEP) -> HistoryRow:
    """Name the leaves of one row and take its step and time out; `step` is used where there is no ``_step``."""
    values = {_name(path): value for path, value in leaves}
    time = float("nan")
    logged = values.get("_step")
    if type(logged) is float and logged.is_integer():
        logged = int(logged)
    if type(logged) is int and -(2**63) <= logged < 2**63:
        step = logged
        del values["_step"]
    if type(values.get("_timestamp")) in (int, float):
        time = as_float(values.pop("_timestamp"))
    return HistoryRow(step, time, values)


def decode_item(message: bytes) -> Item:
    """Path and value of one item; None when it has no value at all. Raises WireError.

    ``value_json`` counts when it is there, the typed fields of wandb 0.31 only when it is not.
    """
    return _usual_item(message) or _any_item(message)


def _usual_item(message: bytes) -> Item | None:
    """A short key, then a short ``value_json``, and nothing else: nearly all items; None for the others."""
    key_end = 2 + message[1] if len(message) > 1 else 2
    value_at = key_end + 3
    if (
        value_at < len(message)
        and message[0] in (_KEY, _NESTED_KEY)
        and key_end < 130
        and message[key_end : key_end + 2] == _VALUE_JSON_TAG
        and value_at + message[key_end + 2] == len(message) < value_at + 128
    ):
        return _short_path(message[2:key_end]), decode_json(message[value_at:])
    return None


@lru_cache(8192)
def _short_path(key: bytes) -> Path:
    return (text(key),)


def _name(path: Path) -> str:
    """`escape`, quick for what needs none."""
    if len(path) == 1 and "." not in path[0] and "\\" not in path[0]:
        return path[0]
    return escape(path)


def _any_item(message: bytes) -> Item:
    key = b""
    nested: list[bytes] = []
    value_json = b""
    typed: tuple[int, Any] | None = None
    for tag, value in fields(message):
        if tag == _NESTED_KEY:
            nested.append(value)
        elif tag == _VALUE_JSON:
            value_json = value
        elif tag == _KEY:
            key = value
        elif tag in _TYPED:
            typed = tag, value
    path = tuple([text(part) for part in nested]) if nested else (text(key),)
    if len(path) > DEEPEST:
        path = (*path[: DEEPEST - 1], escape(path[DEEPEST - 1 :]))
    if value_json:
        return path, decode_json(value_json)
    return path, _TYPED[typed[0]](typed[1]) if typed else None


_TYPED: dict[int, Callable[[Any], Any]] = {
    _NONE: lambda _: None,
    _BOOLEAN: bool,
    _INTEGER: zigzag,
    _NUMBER: double,
    _TEXT: text,
    _JSON: decode_json,
}


def flatten(items: Iterable[Item]) -> Iterator[Item]:
    """Leaves of logged dicts under their paths; a dict with a ``_type`` is a leaf, an empty dict has none."""
    for path, value in items:
        if isinstance(value, dict) and not isinstance(value.get("_type"), str):
            yield from flatten(((*path, key), inner) for key, inner in value.items())
        else:
            yield path, value


def regroup(leaves: Iterable[Item]) -> list[Item]:
    """Put media that were exploded into leaves together again: all below the parent of a leaf named ``_type``."""
    listed = list(leaves)
    parents = {path[:-1] for path, value in listed if path[-1] == "_type" and len(path) > 1 and isinstance(value, str)}
    if not parents:
        return listed
    lengths = sorted({len(parent) for parent in parents})
    whole: dict[Path, Any] = {}
    for path, value in listed:
        parent = next((path[:n] for n in lengths if n < len(path) and path[:n] in parents), None)
        if parent is None:
            whole[path] = value
            continue
        if not isinstance(whole.get(parent), dict):
            whole[parent] = {}
        put(whole[parent], path[len(parent) :], value)
    return list(whole.items())


def put(tree: dict[str, Any], path: Path, value: Any) -> None:
    """Set the value at a path, making the dicts on the way; what stood in the way gives place."""
    for key in path[:-1]:
        deeper = tree.get(key)
        if not isinstance(deeper, dict):
            deeper = tree[key] = {}
        tree = deeper
    tree[path[-1]] = value


def apply_patch(tree: dict[str, Any], patch: Patch) -> None:
    """Change a nested config or summary as the patch says."""
    for path, value in patch.sets:
        put(tree, path, value)
    for path in patch.removes:
        parent: Any = tree
        for key in path[:-1]:
            parent = parent.get(key) if isinstance(parent, dict) else None
        if isinstance(parent, dict):
            parent.pop(path[-1], None)
