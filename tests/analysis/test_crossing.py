import math
from types import SimpleNamespace

import numpy as np
import pytest

from runwised.analysis.crossing import first_crossing, rows_until
from runwised.formats.record import Column, Rows
from runwised.index.run_index import RunIndex
from runwised.index.sidecar import Sidecar, encode

MILLION = 1_000_000


@pytest.fixture
def table_of():
    """``table_of(steps, times, key=(rows or None, values), …)``: a table in a file; `read` counts its bytes."""

    def build(steps, times=None, **columns):
        index = RunIndex()
        index.start_source("log")
        n = len(steps)
        held = tuple(Column(key, rows, np.asarray(values, float)) for key, (rows, values) in columns.items())
        when = 1000.0 + np.arange(n) if times is None else np.asarray(times, float)
        index.fold(Rows("history", np.arange(n) * 10, np.asarray(steps, np.int64), when, held))
        data = b"".join(encode(index, b""))
        counted = SimpleNamespace(read=0, size=len(data))

        def read_at(offset, length):
            counted.read += length
            return data[offset : offset + length]

        counted.history = Sidecar(read_at, len(data)).history
        counted.read = 0
        return counted

    return build


def noisy(n, seed=0):
    return 2 + 8 * np.exp(-np.arange(n) / n * 3) + np.random.default_rng(seed).normal(size=n)


@pytest.mark.parametrize("relation", ["<", "<=", ">", ">="])
@pytest.mark.parametrize("bound", [-3.0, 1.5, 2.0, 5.0, 9.0, 12.5, 40.0])
def test_the_first_crossing_of_a_noisy_million_is_exact_and_costs_little(relation, bound, table_of):
    values = noisy(MILLION)
    values[40:50] = [math.nan, math.inf, -math.inf, math.nan, 3, 3, 3, math.nan, -math.inf, math.inf]
    table = table_of(np.arange(MILLION) * 3, loss=(None, values))
    passes = {"<": values < bound, "<=": values <= bound, ">": values > bound, ">=": values >= bound}[relation]
    hits = np.flatnonzero(passes & np.isfinite(values))
    found = first_crossing(table.history, "loss", relation, bound)
    if not len(hits):
        assert found is None
    else:
        at = int(hits[0])
        assert found == (at * 3, 1000.0 + at, values[at])
    assert table.read < table.size / 20


def test_a_sparse_metric_is_found_as_exactly(table_of):
    rows = np.sort(np.random.default_rng(1).choice(200_000, 5000, replace=False))
    values = np.random.default_rng(2).normal(size=5000)
    table = table_of(np.arange(200_000), sparse=(rows, values), dense=(None, np.zeros(200_000)))
    at = int(np.flatnonzero(values > 2.5)[0])
    assert first_crossing(table.history, "sparse", ">", 2.5) == (rows[at], 1000.0 + rows[at], values[at])
    assert first_crossing(table.history, "sparse", ">", 2.5, int(rows[at])) is None


def test_rows_until_a_time_are_counted_by_halving(table_of):
    table = table_of(np.arange(MILLION), loss=(None, noisy(MILLION)))
    assert [rows_until(table.history, time) for time in (999.9, 1000.0, 1500.5, 1e9)] == [0, 1, 501, MILLION]
    assert table.read < table.size / 10


def test_rows_without_a_time_are_where_their_neighbours_are(table_of):
    times = [1.0, math.nan, 3.0, math.nan, math.nan, 6.0]
    table = table_of(range(6), times, loss=(None, range(6)))
    assert [rows_until(table.history, time) for time in (0.5, 3.5, 9.0)] == [0, 5, 6]
    assert rows_until(table_of(range(3), [math.nan] * 3, loss=(None, range(3))).history, 5.0) is None
