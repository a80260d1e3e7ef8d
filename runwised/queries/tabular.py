"""The one list of objects in a reply that jsonl and csv write, and the writing."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import msgspec
from runwise_protocol.query import Reply

Objects: TypeAlias = list[dict[str, Any]]


def plain(reply: Reply) -> dict[str, Any]:
    """A reply as JSON can hold it: non-finite numbers are the strings "NaN", "Infinity" and "-Infinity"."""
    found: dict[str, Any] = finite(msgspec.to_builtins(reply))
    return found


def finite(value: Any) -> Any:
    """Builtins of any depth with every non-finite number as its string."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def listed(field: str) -> Callable[[Reply], Objects]:
    """The objects of a field that is a list of them."""
    return lambda reply: list(plain(reply)[field])


def keyed(field: str) -> Callable[[Reply], Objects]:
    """The objects of a field that holds one, or a list of them, by key; the key comes first, as ``key``."""

    def objects(reply: Reply) -> Objects:
        found = plain(reply)[field]
        items = ((key, item) for key, held in found.items() for item in (held if isinstance(held, list) else [held]))
        return [{"key": key, **item} for key, item in items]

    return objects


def flat(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a nested mapping, keys joined with dots; an empty mapping is a leaf."""
    for key, value in nested.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def flattened(field: str) -> Callable[[Reply], Objects]:
    """One object, ``key`` and ``value``, for each leaf of a nested field, keys joined with dots."""
    return lambda reply: [{"key": key, "value": value} for key, value in flat(plain(reply)[field])]


class _Echo:
    """What csv writes a line to, to have it back."""

    def write(self, line: str) -> str:
        return line


def csv_lines(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    """CSV in full precision, one line at a time; what is not there is empty, nested values are JSON."""
    writer = csv.writer(_Echo(), lineterminator="\n")
    yield str(writer.writerow(head))
    for row in rows:
        yield str(writer.writerow([_cell(value) for value in row]))


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list | bool):
        return msgspec.json.encode(value).decode()
    return value


def objects_csv(objects: Objects) -> str:
    """Objects as CSV; the head names every field that any of them has."""
    head = list(dict.fromkeys(name for item in objects for name in item))
    return "".join(csv_lines(head, ([item.get(name) for name in head] for item in objects)))


def json_line(value: Any) -> str:
    """Compact JSON and a line break."""
    return msgspec.json.encode(value).decode() + "\n"
