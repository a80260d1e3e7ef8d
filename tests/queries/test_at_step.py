"""A metric at a step is what it last was by then, or its best so far, however long the curve."""

import numpy as np
import pytest

from runwised.formats.record import Column, Rows
from runwised.index.run_index import RunIndex
from runwised.index.sidecar import Sidecar, encode
from runwised.queries.at_step import best_at, last_at, stands
from tests.queries.conftest import Memory


def index_of(values, every=1):
    """A run as it is indexed: the metric x in every so many rows, ten steps apart, beside one in all of them."""
    count = len(values) * every
    numbers, index = np.arange(count), RunIndex()
    index.start_source("log")
    beside = np.random.default_rng(4).normal(size=count)
    columns = (Column("x", numbers[::every], np.asarray(values)), Column("y", None, beside))
    index.fold(Rows("history", numbers, numbers * 10, numbers * 1.0, columns))
    return index


class Kept:
    """As much of a `RunView` as is asked here."""

    def __init__(self, history):
        self.history, self.memory = history, Memory()


def logged(values, every=1):
    return index_of(values, every).history


@pytest.fixture(params=[(300, 1), (300, 7), (30_000, 1), (9000, 70)], ids=str)
def table(request):
    points, every = request.param
    values = np.random.default_rng(points).normal(size=points)
    values[:: points // 30] = np.nan
    return logged(values, every), values, 10 * every


def test_values_at_any_step_are_those_of_the_points_before(table):
    history, values, apart = table
    run = Kept(history)
    found = history.stats("x")
    for step in (0, 1, apart, apart * 17 - 1, apart * (len(values) // 2), apart * len(values) * 2):
        at = min(step // apart, len(values) - 1)
        value, stands_at = last_at(run, "x", found, step)
        assert (value, stands_at) == (pytest.approx(values[at], nan_ok=True), at * apart)
        for side, choose in (("min", np.nanargmin), ("max", np.nanargmax)):
            top = best_at(run, "x", found, step, side)
            if np.isfinite(values[: at + 1]).any():
                best = int(choose(values[: at + 1]))
                assert top == (values[best], best * apart)
            else:
                assert top is None


def test_a_metric_that_stopped_holds_no_longer_than_its_own_pace_allows():
    found = logged([1.0] * 5, every=10).stats("x")
    assert (found.first_step, found.last_step) == (0, 400)
    assert [stands(found, step) for step in (0, 399, 550, 551)] == [True, True, True, False]
    once = logged([1.0]).stats("x")
    assert [stands(once, step) for step in (-1, 0, 1)] == [False, True, False]


@pytest.mark.parametrize(("rows", "at", "expected"), [(1, 612_345, 612_345), (500, 600_499, 600_000)])
def test_a_value_among_a_million_rows_reads_a_few_chunks(rows, at, expected):
    """Of a metric in every row, and of one in few of them."""
    count = 1_000_000 // rows
    index = index_of(np.random.default_rng(3).normal(size=count), rows)
    data, read = b"".join(encode(index, b"")), []

    def read_at(offset, length):
        read.append(length)
        return data[offset : offset + length]

    history = Sidecar(read_at, len(data)).history
    read.clear()
    value, step = last_at(Kept(history), "x", history.stats("x"), at * 10)
    assert (value, step) == (index.history.series("x").values[expected // rows], expected * 10)
    assert sum(read) < len(data) / 200


def test_a_curve_that_went_back_and_on_is_read_anew():
    index = index_of(np.arange(10.0))
    history = index.history
    run = Kept(history)
    assert last_at(run, "x", history.stats("x"), 55) == (5.0, 50)
    again = np.arange(7)
    index.fold(Rows("history", again + 10, again * 10 + 40, again + 10.0, (Column("x", None, again + 100.0),)))
    assert last_at(run, "x", history.stats("x"), 55) == (101.0, 50)
    assert best_at(run, "x", history.stats("x"), 55, "max") == (101.0, 50)
