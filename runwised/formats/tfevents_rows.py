"""Gathers what the events of a stretch log, and gives it as `Rows`: one row an event, in file order."""

from __future__ import annotations

import numpy as np

from runwised.formats.json_value import LONGEST_OTHER, as_float, encode_json, kind_of
from runwised.formats.protowire import text
from runwised.formats.record import Column, Floats, Ints, Other, Rows, escape
from runwised.formats.tfevents_alike import Alike
from runwised.formats.tfevents_fast import Scalars
from runwised.formats.tfevents_steps import StepNumbers
from runwised.formats.tfevents_values import Event


class EventRows:
    """The events of one stretch of records; `offsets` are those of all its records, shape (n,)."""

    def __init__(self, offsets: Ints) -> None:
        self._offsets = offsets
        self._steps = np.zeros(len(offsets), np.int64)
        self._times = np.full(len(offsets), np.nan)
        self._is_row = np.zeros(len(offsets), np.bool_)
        self._parts: dict[str, list[tuple[Ints, Floats]]] = {}
        """Parts of each column of numbers, each in file order."""
        self._single: dict[str, tuple[list[int], list[float]]] = {}
        self._others: dict[str, tuple[list[int], object]] = {}

    def add_scalars(self, found: Scalars) -> None:
        """Take in plain scalars decoded at once."""
        self._place(found.records, found.steps, found.times)
        for tag, members in found.tags.items():
            self._put(text(tag), found.records.take(members), found.values.take(members))

    def add_alike(self, found: Alike) -> None:
        """Take in other events decoded at once."""
        self._place(found.records, found.steps, found.times)
        for tag, values in found.numbers.items():
            self._put(tag, found.records, values)

    def _place(self, records: Ints, steps: Ints, times: Floats) -> None:
        self._steps[records] = steps
        self._times[records] = times
        self._is_row[records] = True

    def _put(self, tag: str, records: Ints, values: Floats) -> None:
        self._parts.setdefault(escape((tag,)), []).append((records, values))

    def add(self, record: int, event: Event) -> None:
        """Take in one event, behind all that were added before it one by one."""
        if not event.values:
            return
        self._steps[record] = event.step
        self._times[record] = event.time
        self._is_row[record] = True
        for key, value in event.values.items():
            if isinstance(value, int | float):
                rows, values = self._single.setdefault(key, ([], []))
                rows.append(record)
                values.append(as_float(value))
            else:
                rows = self._others[key][0] if key in self._others else []
                rows.append(record)
                self._others[key] = rows, value

    def build(self, numbers: StepNumbers) -> list[Rows]:
        """The rows, if there are any; events without a step are numbered."""
        for key, (singles, values) in self._single.items():
            self._parts.setdefault(key, []).append((np.array(singles, np.int64), np.array(values, np.float64)))
        merged = [(key, *_merged(parts)) for key, parts in self._parts.items()]
        columns = sorted(merged, key=lambda column: int(column[1][0]))
        tags = {key: records for key, records, _ in columns}
        for key, (others, _) in self._others.items():
            beside = np.array(others, np.int64)
            tags[key] = np.union1d(tags[key], beside) if key in tags else beside
        rows = np.flatnonzero(self._is_row)
        if not len(rows):
            return []
        numbers.number(self._steps, tags)
        arrays = self._offsets, self._steps, self._times
        if len(rows) < len(self._offsets):
            arrays = self._offsets[rows], self._steps[rows], self._times[rows]
        return [Rows("history", *arrays, self._columns(columns, rows), self._rest(rows), by_key=True)]

    def _columns(self, columns: list[tuple[str, Ints, Floats]], rows: Ints) -> tuple[Column, ...]:
        return tuple(
            Column(key, None if len(records) == len(rows) else _places(records, rows, len(self._offsets)), values)
            for key, records, values in columns
        )

    def _rest(self, rows: Ints) -> tuple[Other, ...]:
        return tuple(
            _other(key, _places(np.array(records, np.int64), rows, len(self._offsets)), last)
            for key, (records, last) in self._others.items()
        )


def _places(records: Ints, rows: Ints, count: int) -> Ints:
    """Row numbers of records, where `rows` of `count` records are rows."""
    return records if len(rows) == count else np.searchsorted(rows, records)


def _merged(parts: list[tuple[Ints, Floats]]) -> tuple[Ints, Floats]:
    """The parts of one column in file order; no record is in two."""
    if len(parts) == 1:
        return parts[0]
    records = np.concatenate([part[0] for part in parts])
    order = records.argsort(kind="stable")
    return records[order], np.concatenate([part[1] for part in parts])[order]


def _other(key: str, rows: Ints, last: object) -> Other:
    encoded = encode_json(last)
    return Other(key, rows, kind_of(last), encoded if len(encoded) <= LONGEST_OTHER else b"null")
