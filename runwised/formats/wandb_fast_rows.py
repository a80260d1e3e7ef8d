"""Makes `Rows` of the items of many W&B history records: sorted by key they are columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from runwised.formats.json_value import LONGEST_OTHER, encode_json, kind_of
from runwised.formats.record import NO_STEP, Column, Floats, Ints, Other, Rows
from runwised.formats.rows_builder import RowsBuilder
from runwised.formats.wandb_fast_items import Items
from runwised.formats.wandb_fast_keys import KeyTable
from runwised.formats.wandb_fast_values import decode_value, decode_values
from runwised.formats.wandb_fast_words import Flags, Window
from runwised.formats.wandb_items import HistoryRow

_EXACT = float(1 << 53)
_ROWS_A_BATCH = 16384


class Decoded(NamedTuple):
    """The regular rows of a window. `steps` and `times` have shape (rows,)."""

    steps: Ints
    times: Floats
    columns: list[Column]
    others: list[Other]


def decode_rows(window: Window, items: Items, stepped: Flags, odd: Flags, table: KeyTable) -> Decoded:
    """Columns of all rows that are not odd; marks those as `odd` that turn out to be. Both have shape (rows,).

    `stepped`: the row has a step field, which counts where there is no ``_step``.
    """
    while True:
        known = np.count_nonzero(odd)
        decoded = _decode_regular(window, items, stepped, odd, table)
        if np.count_nonzero(odd) == known:
            return decoded
        items = items.without(odd)


def _decode_regular(window: Window, items: Items, stepped: Flags, odd: Flags, table: KeyTable) -> Decoded:
    values = decode_values(window, items)
    odd[items.lanes[values.dicts]] = True
    order = items.keys.astype(np.uint16).argsort(kind="stable")
    lanes, numbers = items.lanes[order], values.numbers[order]
    numeric = None if values.numeric.all() else values.numeric[order]
    decoded = Decoded(np.full(len(odd), NO_STEP), np.full(len(odd), np.nan), [], [])
    met: set[str] = set()
    for key, part in _segments(items, order, table):
        rows, column = lanes[part], numbers[part]
        odd[rows if key in met else rows[1:][rows[1:] == rows[:-1]]] = True
        met.add(key)
        if numeric is not None and not numeric[part].all():
            others = np.flatnonzero(~numeric[part])
            if key in ("_step", "_timestamp"):
                odd[rows[others]] = True
            last = order[part.start + others[-1]]
            value = decode_value(window, int(items.values[last]), int(items.sizes[last]))
            decoded.others.append(_other(key, rows[others], value))
            rows, column = rows[numeric[part]], column[numeric[part]]
        _take_column(decoded, key, rows, column, odd)
    odd |= stepped & (decoded.steps == NO_STEP)
    return decoded


def _segments(items: Items, order: Ints, table: KeyTable) -> list[tuple[str, slice]]:
    """The keys met, in the order of their first items, and where the items of each are in `order`."""
    counts = np.bincount(items.keys, minlength=len(table))
    stops = counts.cumsum()
    met = np.flatnonzero(counts)
    met = met[order[(stops - counts)[met]].argsort()]
    return [(table.keys[key], slice(int(stops[key] - counts[key]), int(stops[key]))) for key in met.tolist()]


def _take_column(decoded: Decoded, key: str, rows: Ints, column: Floats, odd: Flags) -> None:
    if key == "_step":
        exact = (np.abs(column) < _EXACT) & (column == np.floor(column))
        odd[rows[~exact]] = True
        decoded.steps[rows[exact]] = column[exact].astype(np.int64)
    elif key == "_timestamp":
        decoded.times[rows] = column
    elif len(rows):
        decoded.columns.append(Column(key, None if len(rows) == len(odd) else rows, column))


def _other(key: str, rows: Ints, last: Any) -> Other:
    text = encode_json(last)
    return Other(key, rows, kind_of(last), text if len(text) <= LONGEST_OTHER else b"null")


class _Part(NamedTuple):
    """What some consecutive rows of a batch hold, or some of them; row numbers in it count from the first."""

    first: int
    size: int
    columns: Sequence[Column]
    others: Sequence[Other]


class RowsJoiner:
    """Takes windows of rows in file order; gives them as few `Rows`."""

    def __init__(self) -> None:
        self._done: list[Rows] = []
        self._clear()

    def _clear(self) -> None:
        self._count = 0
        self._offsets: list[Ints] = []
        self._steps: list[Ints] = []
        self._times: list[Floats] = []
        self._parts: list[_Part] = []

    def add(self, offsets: Ints, decoded: Decoded, odd: Mapping[int, HistoryRow]) -> None:
        """Add the rows at `offsets`: the regular ones, and the odd ones by their numbers."""
        count = len(offsets)
        if self._count + count > _ROWS_A_BATCH:
            self._end()
        self._parts.append(_Part(self._count, count, decoded.columns, decoded.others))
        if odd:
            self._parts.append(_odd_part(self._count, count, odd))
            rows = list(odd)
            decoded.steps[rows] = [row.step for row in odd.values()]
            decoded.times[rows] = [row.time for row in odd.values()]
        self._offsets.append(offsets)
        self._steps.append(decoded.steps)
        self._times.append(decoded.times)
        self._count += count

    def take(self) -> list[Rows]:
        """Everything since the last call."""
        self._end()
        done, self._done = self._done, []
        return done

    def _end(self) -> None:
        if not self._count:
            return
        columns: dict[str, list[tuple[_Part, Column]]] = {}
        others: dict[str, list[Other]] = {}
        for part in self._parts:
            for column in part.columns:
                columns.setdefault(column.key, []).append((part, column))
            for other in part.others:
                others.setdefault(other.key, []).append(other._replace(rows=other.rows + part.first))
        joined = Rows(
            "history",
            np.concatenate(self._offsets),
            np.concatenate(self._steps),
            np.concatenate(self._times),
            tuple([_join_column(key, pieces, self._count) for key, pieces in columns.items()]),
            tuple([_join_other(pieces) for pieces in others.values()]),
        )
        self._done.append(joined)
        self._clear()


def _odd_part(first: int, size: int, odd: Mapping[int, HistoryRow]) -> _Part:
    builder = RowsBuilder()
    for step, time, values in odd.values():
        builder.add(0, step, time, values)
    built, rows = builder.build(), np.array(list(odd))
    columns = [each._replace(rows=rows if each.rows is None else rows[each.rows]) for each in built.columns]
    return _Part(first, size, columns, [each._replace(rows=rows[each.rows]) for each in built.others])


def _join_column(key: str, pieces: list[tuple[_Part, Column]], count: int) -> Column:
    values = np.concatenate([column.values for _, column in pieces])
    if len(values) == count and all(column.rows is None for _, column in pieces):
        return Column(key, None, values)
    rows = np.concatenate(
        [part.first + (np.arange(part.size) if column.rows is None else column.rows) for part, column in pieces]
    )
    if (rows[1:] < rows[:-1]).any():
        order = rows.argsort()
        rows, values = rows[order], values[order]
    return Column(key, None if len(values) == count else rows, values)


def _join_other(pieces: list[Other]) -> Other:
    last = max(pieces, key=lambda piece: int(piece.rows[-1]))
    return last._replace(rows=np.sort(np.concatenate([piece.rows for piece in pieces])))
