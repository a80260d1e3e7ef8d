"""The decoded rows of a block of a JSON-lines log, as columns."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from runwised.formats.json_value import DEEPEST, as_float
from runwised.formats.jsonl_axes import Axes
from runwised.formats.jsonl_bulk import Decoded, OddRow
from runwised.formats.jsonl_rows import MOST_KEYS, is_deeper, open_value, path_length, plain_value
from runwised.formats.jsonl_shape import WIDEST, Shape
from runwised.formats.jsonl_tokens import restore, restored
from runwised.formats.record import NO_STEP, Column, Floats, Ints, Other, Rows
from runwised.formats.rows_builder import other_of
from runwised.formats.step_keys import as_step
from runwised.formats.wall_time import epoch_seconds, epoch_seconds_each

_EXACT = 2.0**53


class Cells:
    """The values of a block's rows by key and row, before it is known what they are."""

    def __init__(self, shape: Shape, decoded: Decoded) -> None:
        self.numbers = shape.numbers
        self.loose: dict[str, list[tuple[int, Any]]] = {}
        """What has no place in the matrix: row and value, by key."""
        rows, count = decoded.typed_rows, len(decoded.offsets)
        self.matrix, plains = shape.take(decoded.typed)
        """Numbers by key and row; shape (numbers, rows)."""
        if rows is not None:
            taken, self.matrix = self.matrix, np.full((len(shape.numbers), count), np.nan)
            self.matrix[:, rows] = taken
        self.there: NDArray[np.bool_] = self.matrix == self.matrix
        """Where a number was logged; a NaN that was logged is a number."""
        self._missing = decoded.respelled and decoded.respelled - restore(self.matrix)
        """NaN and infinities that were respelled and not yet put back."""
        self._suspect = False
        """Only its line can tell whether a value nests too deep, or a row holds too many."""
        self._opened: Counter[int] = Counter()
        numbered = range(count) if rows is None else rows.tolist()
        for key, values in plains.items():
            self._add_plain(key, [cell for cell in zip(numbered, values, strict=True) if cell[1] is not msgspec.UNSET])
        self._add_odd(decoded.odd, shape.place)
        for loose in self.loose.values():
            loose.sort(key=itemgetter(0))

    @property
    def exact(self) -> bool:
        """Whether these are the values that were logged, and no row that the line itself would not be."""
        return not self._missing and not self._suspect

    def _add_plain(self, key: str, cells: list[tuple[int, Any]]) -> None:
        if self._missing:
            tokens = {number: token for number, cell in enumerate(cells) if (token := restored(cell[1])) is not None}
            self._missing -= len(tokens)
            for number, token in tokens.items():
                cells[number] = cells[number][0], token
        if not any(type(value) is dict or type(value) is list for _, value in cells):
            cells = [(row, plain_value(value)) for row, value in cells]
            self.loose.setdefault(key, []).extend(cells)
            return
        deepest = DEEPEST - path_length(key)
        for row, value in cells:
            leaves = {key: plain_value(value)}
            if type(value) is dict or type(value) is list:
                self._suspect |= is_deeper(value, deepest)
            if type(value) is dict and not self._suspect:
                leaves = open_value(key, value)
                self._opened[row] += len(leaves)
                self._suspect |= self._opened[row] + WIDEST > MOST_KEYS
            for name, leaf in leaves.items():
                self.loose.setdefault(name, []).append((row, leaf))

    def _add_odd(self, rows: Iterable[OddRow], places: Mapping[str, int]) -> None:
        for row, _, _, values in rows:
            for key, value in values.items():
                place = places.get(key)
                if place is not None and (type(value) is float or type(value) is int):
                    self.matrix[place, row] = as_float(value)
                    self.there[place, row] = True
                else:
                    self.loose.setdefault(key, []).append((row, value))

    def take_steps(self, key: str) -> Ints | None:
        """Take the key's steps out, `NO_STEP` where it has none; None when float64 may not hold one exactly."""
        steps = np.full(self.matrix.shape[1], NO_STEP, np.int64)
        if key in self.numbers:
            column = self.numbers.index(key)
            values, there = self.matrix[column], self.there[column]
            if (np.abs(values) >= _EXACT).any():
                return None
            used = there & (np.floor(values) == values)
            steps[used] = values[used].astype(np.int64)
            there &= ~used
        for row, step in self._take_loose(key, as_step):
            steps[row] = step
        return steps

    def take_times(self, key: str) -> Floats:
        """Take the key's wall times out, as epoch seconds; NaN where it has none."""
        times = np.full(self.matrix.shape[1], np.nan)
        if key in self.numbers:
            column = self.numbers.index(key)
            there = self.there[column]
            times[there] = epoch_seconds_each(self.matrix[column][there])
            there &= np.isnan(times)
        for row, time in self._take_loose(key, _time_or_none):
            times[row] = time
        return times

    def columns(self) -> Iterator[Column]:
        """The numbers that were not taken out."""
        for key, values, there in zip(self.numbers, self.matrix, self.there, strict=True):
            if there.all():
                yield Column(key, None, values)
            elif there.any():
                rows = np.flatnonzero(there)
                yield Column(key, rows, values[rows])
        for key, cells in self.loose.items():
            numbers = [(row, as_float(value)) for row, value in cells if type(value) in (int, float)]
            if numbers:
                yield Column(key, _rows(numbers), np.array([value for _, value in numbers]))

    def others(self) -> Iterator[Other]:
        """What is no number."""
        for key, cells in self.loose.items():
            others = [cell for cell in cells if type(cell[1]) not in (int, float)]
            if others:
                yield other_of(key, _rows(others), others[-1][1])

    def _take_loose(self, key: str, meaning: Callable[[Any], Any]) -> Iterator[tuple[int, Any]]:
        left = []
        for row, value in self.loose.get(key, ()):
            meant = meaning(value)
            if meant is None:
                left.append((row, value))
            else:
                yield row, meant
        if key in self.loose:
            self.loose[key] = left


def rows_of(shape: Shape, decoded: Decoded, axes: Axes) -> Rows | None:
    """The rows as columns; None, and nothing happened, where these ways are not exact: the lines tell.

    That is when a step is too large for float64, a value nested too deep, or a token stands within a text.
    """
    cells, span = Cells(shape, decoded), axes.now
    steps = cells.take_steps(span.step_key) if span.step_key else _no_steps(len(decoded.offsets))
    if steps is None or not cells.exact:
        return None
    times = cells.take_times(span.time_key) if span.time_key else np.full(len(steps), np.nan)
    steps = axes.take_each(decoded.offsets, steps)
    columns = tuple(cells.columns())
    return Rows("history", decoded.offsets, steps, times, columns, tuple(cells.others()), by_key=True)


def _no_steps(count: int) -> Ints:
    return np.full(count, NO_STEP, np.int64)


def _time_or_none(value: Any) -> float | None:
    time = epoch_seconds(value)
    return None if math.isnan(time) else time


def _rows(cells: Iterable[tuple[int, Any]]) -> Ints:
    return np.array([row for row, _ in cells], np.int64)
