"""Exact rows as objects: which rows hold the wanted keys, read back from the source, under the names people see."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np

from runwised.formats.record import Ints, Row
from runwised.index.view import RunView, Table

_FARTHEST = 2**63 - 1
"""No step lies farther out: they are 64-bit numbers."""
_GAP = 16
"""Rows it is cheaper to read and throw away than to seek over."""


def all_keys(table: Table) -> list[str]:
    """Every key of a table: numbers first, then what holds other values only."""
    return list(dict.fromkeys([*table.names, *table.others]))


def display(table: Table) -> Callable[[str], str]:
    """From a row's escaped key to the name people see (`runwised.index.view` says when they differ)."""
    known = {name for name in all_keys(table) if "\\" in name}

    def name(key: str) -> str:
        return key if "\\" not in key or key in known else _plain(key)

    return name


def _plain(key: str) -> str:
    """The path's elements joined with dots, no escapes."""
    return "\\".join(part.replace("\\", "") for part in key.split("\\\\"))


def place(table: Table, step: int) -> int:
    """Position of the first served row at or after a step of any size; `row_count` when there is none."""
    return table.position(min(max(step, -_FARTHEST), _FARTHEST))


def last_step(table: Table, keys: Collection[str]) -> int:
    """The last step at which one of these keys was logged."""
    names, others = set(table.names), table.others
    numbers = [table.stats(key).last_step for key in keys if key in names]
    return max(numbers + [others[key].last_step for key in keys if key in others])


def are_indexed(table: Table, keys: Collection[str]) -> bool:
    """Whether `numbers_with` can tell which rows hold one of these keys."""
    return not set(keys) & set(table.others) or _in_every_row(table, keys)


def _in_every_row(table: Table, keys: Collection[str]) -> bool:
    numbers, others, rows = set(table.names), table.others, table.row_count
    return any(
        (key in numbers and table.stats(key).count == rows) or (key in others and others[key].count == rows)
        for key in keys
    )


def numbers_with(table: Table, keys: Collection[str], start: int, stop: int) -> Ints:
    """Numbers of the rows at positions [start, stop) that hold one of these keys, where they are `are_indexed`."""
    if _in_every_row(table, keys):
        return table.numbers(start, stop)
    found = [table.series(key, start, stop).rows for key in keys]
    return np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)


def exact(run: RunView, numbers: Ints, *, records: bool = False) -> Iterator[tuple[int, Row]]:
    """The rows with these numbers (increasing), or these records, each with the number of its newest record.

    They are read back from the source in as few stretches as make sense.
    """
    if not len(numbers):
        return
    read = run.records if records else run.rows
    cuts = np.flatnonzero(np.diff(numbers) > _GAP) + 1
    for part in np.split(numbers, cuts):
        shown = part if records else run.history.records(part)
        wanted = dict(zip(part.tolist(), shown.tolist(), strict=True))
        for number, row in read(int(part[0]), int(part[-1]) + 1):
            if number in wanted:
                yield wanted[number], row


def is_served(table: Table, record: int, row: dict[str, Any]) -> bool:
    """Whether anything of a record, shown as an object, still stands."""
    at = table.position(row["_step"])
    if not table.by_step:
        return bool((table.numbers(at, at + 1) == record).any())
    if not (table.numbers(at, at + 1) == row["_step"]).any():
        return False
    return bool(table.records(table.numbers(at, at + 1))[0] == record) or any(
        _stands(table, name, at, value) for name, value in row.items() if not name.startswith("_")
    )


def _stands(table: Table, name: str, at: int, value: Any) -> bool:
    """Whether a number is what a table by step serves at a position."""
    if name not in table.names or isinstance(value, bool) or not isinstance(value, int | float):
        return False
    found = table.series(name, at, at + 1).values
    return bool(len(found)) and (float(found[0]) == float(value) or (value != value and found[0] != found[0]))


def as_object(number: int, row: Row, name: Callable[[str], str], keys: Collection[str] | None) -> dict[str, Any]:
    """One row: `_row` (number of its newest record), `_step`, `_time` (None when not known), then its exact values.

    `keys`: only these names; None: all. W&B's own bookkeeping (names that begin with ``_``) is left out.
    """
    time = row.time if math.isfinite(row.time) else None
    values: dict[str, Any] = {"_row": number, "_step": row.step, "_time": time}
    for key, value in row.values.items():
        shown = name(key)
        if shown.startswith("_"):
            continue
        if shown in values:
            shown = key
        if keys is None or shown in keys:
            values[shown] = value
    return values
