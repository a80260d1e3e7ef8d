"""Decoded rows gathered into columnar `Rows` batches."""

from __future__ import annotations

from array import array
from typing import Any, Literal

import numpy as np

from runwised.formats.json_value import LONGEST_OTHER, as_float, encode_json, kind_of
from runwised.formats.record import Column, Floats, Ints, Other, Rows


class RowsBuilder:
    """Takes rows one by one, gives them as one `Rows`; columns stand in the order of their first appearance."""

    def __init__(self, table: Literal["history", "system"] = "history") -> None:
        self._table: Literal["history", "system"] = table
        self._clear()

    def _clear(self) -> None:
        self._offsets = array("q")
        self._steps = array("q")
        self._times = array("d")
        self._numbers: dict[str, tuple[array[int], array[float]]] = {}
        self._others: dict[str, tuple[array[int], list[Any]]] = {}

    def __len__(self) -> int:
        return len(self._offsets)

    def add(self, offset: int, step: int, time: float, values: dict[str, Any]) -> None:
        """Append a row: numbers to their columns, everything else beside them."""
        row = len(self._offsets)
        self._offsets.append(offset)
        self._steps.append(step)
        self._times.append(time)
        numbers, others = self._numbers, self._others
        for key, value in values.items():
            if type(value) is float or type(value) is int:
                column = numbers.get(key)
                if column is None:
                    column = numbers[key] = array("q"), array("d")
                column[0].append(row)
                column[1].append(value if type(value) is float else as_float(value))
            else:
                other = others.get(key)
                if other is None:
                    other = others[key] = array("q"), [None]
                other[0].append(row)
                other[1][0] = value

    def build(self) -> Rows:
        """All rows added since the last call."""
        n = len(self._offsets)
        columns = tuple(
            Column(key, None if len(rows) == n else ints(rows), floats(values))
            for key, (rows, values) in self._numbers.items()
        )
        others = tuple(other_of(key, ints(rows), last[0]) for key, (rows, last) in self._others.items())
        built = Rows(self._table, ints(self._offsets), ints(self._steps), floats(self._times), columns, others)
        self._clear()
        return built


def other_of(key: str, rows: Ints, last: Any) -> Other:
    """What a key holds at `rows` beside numbers, of which `last` is the last."""
    encoded = encode_json(last)
    return Other(key, rows, kind_of(last), encoded if len(encoded) <= LONGEST_OTHER else b"null")


def ints(values: array[int]) -> Ints:
    """An ``array("q")`` as int64 of shape (n,), without a copy."""
    return np.frombuffer(values, np.int64) if values else np.empty(0, np.int64)


def floats(values: array[float]) -> Floats:
    """An ``array("d")`` as float64 of shape (n,), without a copy."""
    return np.frombuffer(values, np.float64) if values else np.empty(0, np.float64)
