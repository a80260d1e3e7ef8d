import math

import numpy as np
import pytest

from runwised.formats.record import Column, Row, Rows, escape
from runwised.index.run_index import RunIndex
from runwised.queries.rows import as_object, display, exact


@pytest.fixture
def table():
    """A real index whose keys are these paths."""
    paths = [("opt", "lr"), ("a.b",), ("a", "b"), ("c.d",), ("back\\slash",), ("tail\\", "x")]
    columns = tuple(Column(escape(path), None, np.ones(1)) for path in paths)
    index, row = RunIndex(), np.zeros(1, np.int64)
    index.start_source("log")
    index.fold(Rows("history", row, row, row * 1.0, columns))
    return index.history


def test_a_rows_keys_are_named_as_the_table_names_them(table):
    name = display(table)
    escaped = [escape(path) for path in (("opt", "lr"), ("a.b",), ("a", "b"), ("c.d",), ("back\\slash",))]
    assert [name(key) for key in escaped] == ["opt.lr", "a\\.b", "a.b", "c.d", "back\\slash"]
    assert [name(key) for key in table.columns] == list(table.names)


def test_bookkeeping_is_left_out_and_an_unknown_time_is_none(table):
    row = Row(3, math.nan, {"_runtime": 1.5, "opt.lr": 0.1, "c\\.d": None})
    assert as_object(7, row, display(table), None) == {"_row": 7, "_step": 3, "_time": None, "opt.lr": 0.1, "c.d": None}
    assert list(as_object(7, row, display(table), {"c.d"})) == ["_row", "_step", "_time", "c.d"]


def test_a_key_known_only_from_voided_rows_does_not_hide_one_that_prints_alike(table):
    row = Row(0, 0.0, {"x.y": 1, "x\\.y": 2})
    assert dict(list(as_object(0, row, display(table), None).items())[3:]) == {"x.y": 1, "x\\.y": 2}


def test_rows_far_apart_are_read_in_stretches_of_their_own(run_of):
    run = run_of([{"x": n} for n in range(200)])
    asked = []

    def rows(start, stop):
        asked.append((start, stop))
        return iter(list(enumerate(run.history.all_rows))[start:stop])

    run.rows = rows
    assert [number for number, _ in exact(run, np.array([3, 5, 100, 101]))] == [3, 5, 100, 101]
    assert asked == [(3, 6), (100, 102)]
