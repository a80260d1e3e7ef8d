"""An index says of any log what a plain-Python model says, whatever batches it came in."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runwised.formats.record import NO_STEP, Column, Rows
from runwised.index.run_index import RunIndex
from runwised.index.view import Buckets

SIZES = st.lists(st.one_of(st.integers(1, 4), st.integers(1, 700)), max_size=30)


def same(left: Any, right: Any) -> bool:
    return bool(np.array_equal(np.asarray(left, float), np.asarray(right, float), equal_nan=True))


def rows_of(steps: list[int], **keys: list[float]) -> Rows:
    count = len(steps)
    columns = tuple(Column(key, None, np.array(values, float)) for key, values in keys.items())
    return Rows("history", np.arange(count) * 10, np.array(steps), np.arange(count) * 1.0, columns)


def folded(*batches: Rows) -> RunIndex:
    index = RunIndex()
    index.start_source("a")
    for batch in batches:
        index.fold(batch)
    return index


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_an_index_says_what_the_model_says(runs: SimpleNamespace, data: st.DataObject) -> None:
    log = data.draw(runs.LOGS)
    index = runs.fold(RunIndex(), log, data.draw(SIZES))
    model, table = runs.Model(log), index.history
    served = [log[row] for row in model.served]
    assert table.total_rows == len(log)
    assert table.numbers(0, table.row_count).tolist() == model.served
    assert table.steps(0, table.row_count).tolist() == [model.steps[row] for row in model.served]
    assert same(table.times(0, table.row_count), [row.time for row in served])
    assert index.rewinds == model.rewinds
    assert [index.locate(row) for row in range(len(log))] == [(row.source, row.offset) for row in log]
    for step in data.draw(st.lists(st.integers(-5, 3000), max_size=8)):
        before = sum(model.steps[row] < step for row in model.served)
        assert table.position(step) == before
    start, stop = sorted(data.draw(st.tuples(*[st.integers(0, len(served))] * 2)))
    for key in runs.KEYS:
        points = model.points(key, start, stop)
        if not model.points(key):
            if key != "val.loss":
                with pytest.raises(KeyError):
                    table.series(model.name(key))
            continue
        series = table.series(model.name(key), start, stop)
        assert series.rows.tolist() == [row for _, row, _ in points]
        assert series.steps.tolist() == [model.steps[row] for _, row, _ in points]
        assert same(series.times, [log[row].time for _, row, _ in points])
        assert same(series.values, [value for *_, value in points])
    texts = model.texts("mixed")
    other = table.others.get("mixed")
    assert (other.count if other else 0) == len(texts)
    if other:
        assert other.last_step == model.steps[texts[-1]]
        latest = max(row for row, each in enumerate(log) if "mixed" in each.texts)
        assert other.last == (log[latest].texts["mixed"].decode() if latest == texts[-1] else "null")


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_batches_of_any_size_make_the_same_index(runs: SimpleNamespace, data: st.DataObject) -> None:
    log = data.draw(runs.LOGS)
    whole = runs.answers(runs.fold(RunIndex(), log))

    def ask(index: RunIndex) -> None:
        for name in index.history.names:
            index.history.sample(name, 2)
            index.history.stats(name)

    assert runs.answers(runs.fold(RunIndex(), log, data.draw(SIZES), ask)) == whole


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_statistics_are_those_of_the_whole_column(runs: SimpleNamespace, data: st.DataObject) -> None:
    log = data.draw(runs.LOGS)
    index, model = runs.fold(RunIndex(), log, data.draw(SIZES)), runs.Model(log)
    for key in runs.KEYS:
        points = model.points(key)
        if not points:
            continue
        stats = index.history.stats(model.name(key))
        finite = [(row, value) for _, row, value in points if math.isfinite(value)]
        assert (stats.count, stats.nonfinite) == (len(points), len(points) - len(finite))
        assert same([stats.first, stats.last], [points[0][2], points[-1][2]])
        assert (stats.first_step, stats.last_step) == (model.steps[points[0][1]], model.steps[points[-1][1]])
        assert stats.last_row == points[-1][1]
        bad = [row for _, row, value in points if not math.isfinite(value)]
        assert stats.first_nonfinite_step == (model.steps[bad[0]] if bad else None)
        if not finite:
            assert (stats.min, stats.max, stats.mean, stats.std, stats.last_finite) == (None,) * 5
            continue
        low = min(finite, key=lambda point: point[1])
        high = max(finite, key=lambda point: point[1])
        assert (stats.min, stats.min_row, stats.min_step) == (low[1], low[0], model.steps[low[0]])
        assert (stats.max, stats.max_row, stats.max_step) == (high[1], high[0], model.steps[high[0]])
        assert stats.last_finite == finite[-1][1]
        values = [value for _, value in finite]
        size = max(map(abs, values)) or 1.0
        mean = math.fsum(value / size / len(values) for value in values)
        assert stats.mean == pytest.approx(mean * size, rel=1e-12, abs=1e-15 * size)
        spread = math.sqrt(math.fsum((value / size - mean) ** 2 / len(values) for value in values))
        assert stats.std == pytest.approx(spread * size, rel=1e-9, abs=1e-300)


def check_groups(groups: Buckets, points: list[tuple[int, int, float]], most: int, start: int, length: int) -> None:
    """Whether `groups` are `points` (position, row, value) as `Table.sample` promises."""
    at = 0
    slots = groups.slot.tolist()
    assert slots == sorted(set(slots))
    assert len(slots) <= most
    for index, slot in enumerate(slots):
        group = points[at : at + int(groups.n[index])]
        at += len(group)
        assert (group[0][0] - start) * most // length == slot
        for position, *_ in group:
            beyond = (position - start) * most - (slot + 1) * length
            assert beyond < 0 or (len(points) > 4 * most and 4 * beyond < length)
        values = [value for *_, value in group]
        finite = [value for value in values if math.isfinite(value)]
        assert groups.nonfinite[index] == len(values) - len(finite)
        assert (groups.row_from[index], groups.row_to[index]) == (group[0][1], group[-1][1])
        assert same([groups.first[index], groups.last[index]], [values[0], values[-1]])
        assert same([groups.min[index], groups.max[index]], [min(finite), max(finite)] if finite else [math.nan] * 2)
        if finite:
            size = max(map(abs, finite)) or 1.0
            mean = math.fsum(value / size / len(finite) for value in finite) * size
            assert groups.mean[index] == pytest.approx(mean, rel=1e-12, abs=1e-13 * size)
            assert min(finite) <= groups.mean[index] <= max(finite)
        else:
            assert math.isnan(groups.mean[index])
    assert at == len(points)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_sample_holds_every_point_in_its_share_or_close_before(runs: SimpleNamespace, data: st.DataObject) -> None:
    log = data.draw(runs.LOGS)
    model = runs.Model(log)
    table = runs.fold(RunIndex(), log, data.draw(SIZES)).history
    rows = table.row_count
    start, stop = data.draw(st.one_of(st.just((0, rows)), st.tuples(*[st.integers(0, rows)] * 2).map(sorted)))
    most = data.draw(st.one_of(st.integers(1, 5), st.integers(1, 2000)))
    for key in runs.KEYS:
        if model.points(key):
            groups = table.sample(model.name(key), most, start, stop)
            check_groups(groups, model.points(key, start, stop), most, start, stop - start)
            steps, times = (np.array(each) for each in (model.steps, [row.time for row in log]))
            assert same(groups.step_from, steps[groups.row_from])
            assert same(groups.step_to, steps[groups.row_to])
            assert same(groups.time_from, times[groups.row_from])
            assert same(groups.time_to, times[groups.row_to])


def test_an_irregular_column_is_sampled_within_the_same_bounds() -> None:
    rng = np.random.default_rng(3)
    present = np.unique(
        np.concatenate([np.arange(5000), rng.integers(0, 60_000, 900), np.arange(40_000, 52_000, 3), [59_999]])
    )
    values = rng.normal(size=len(present))
    table = folded(
        Rows("history", np.arange(60_000), np.arange(60_000), np.zeros(60_000), (Column("k", present, values),))
    ).history
    points = list(zip(present.tolist(), present.tolist(), values.tolist(), strict=True))
    for most in (1, 2, 3, 5, 7, 9, 11, 30):
        check_groups(table.sample("k", most), points, most, 0, 60_000)
    inside = [point for point in points if 100 <= point[0] < 45_001]
    for most in (1, 3, 8):
        check_groups(table.sample("k", most, 100, 45_001), inside, most, 100, 44_901)


CLUMPS = st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 700), st.integers(1, 40)), min_size=1, max_size=12)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_column_of_clumps_and_gaps_is_sampled_within_the_same_bounds(data: st.DataObject) -> None:
    present: list[int] = []
    at = 0
    for gap, length, stride in data.draw(CLUMPS):
        present += range(at + gap, at + gap + length * stride, stride)
        at = present[-1] + 1
    values = np.random.default_rng(len(present)).normal(size=len(present))
    column = Column("k", np.array(present), values)
    table = folded(Rows("history", np.arange(at), np.arange(at), np.zeros(at), (column,))).history
    start, stop = data.draw(st.one_of(st.just((0, at)), st.tuples(*[st.integers(0, at)] * 2).map(sorted)))
    most = data.draw(st.integers(1, 12))
    points = [each for each in zip(present, present, values.tolist(), strict=True) if start <= each[0] < stop]
    check_groups(table.sample("k", most, start, stop), points, most, start, stop - start)


def test_a_bucket_over_a_whole_empty_share_is_cut_at_its_edges() -> None:
    present = [*range(8000, 9000), *range(20_000, 20_100), *range(30_000, 30_100)]
    values = np.arange(len(present)) * 1.0
    table = folded(
        Rows("history", *[np.arange(40_000)] * 2, np.zeros(40_000), (Column("k", np.array(present), values),))
    ).history
    assert table.sample("k", 4).slot.tolist() == [0, 2, 3]
    check_groups(table.sample("k", 4), list(zip(present, present, values.tolist(), strict=True)), 4, 0, 40_000)


def test_a_spike_of_one_row_is_in_the_curve() -> None:
    values = np.zeros(100_000)
    values[70_001] = 1e9
    table = folded(
        Rows("history", np.arange(100_000), np.arange(100_000), np.zeros(100_000), (Column("k", None, values),))
    ).history
    curve = table.sample("k", 16)
    assert curve.max.max() == 1e9
    assert len(curve.n) == 16
    assert curve.slot[curve.max.argmax()] == 11


def test_ten_points_in_many_rows_are_ten_groups_on_the_axis_of_the_others() -> None:
    places = np.arange(5, 100_000, 10_000)
    batch = Rows(
        "history",
        np.arange(100_000),
        np.arange(100_000),
        np.zeros(100_000),
        (Column("dense", None, np.zeros(100_000)), Column("rare", places, np.arange(10.0))),
    )
    table = folded(batch).history
    dense, rare = table.sample("dense", 20), table.sample("rare", 20)
    assert dense.slot.tolist() == list(range(20))
    assert rare.slot.tolist() == list(range(0, 20, 2))
    assert rare.first.tolist() == np.arange(10.0).tolist()


def test_a_step_that_goes_back_takes_back_the_rows_from_there_on() -> None:
    index = folded(rows_of([0, 1, 2, 3], k=[0, 1, 2, 3]), rows_of([1, 2], k=[10, 20]))
    table = index.history
    assert table.series("k").values.tolist() == [0, 10, 20]
    assert table.numbers(0, 3).tolist() == [0, 4, 5]
    assert table.total_rows == 6
    assert [tuple(rewind) for rewind in index.rewinds] == [(4, 3, 1, 3)]
    assert table.stats("k").max == 20
    assert table.stats("k").last_row == 5


def sparse_rows(steps: list[int], places: list[int], values: list[float]) -> Rows:
    return rows_of(steps)._replace(columns=(Column("k", np.array(places), np.array(values)),))


def test_going_back_twice_within_a_batch_takes_back_what_the_first_time_did() -> None:
    index = folded(sparse_rows([0, 1, 2, 3], [0, 2, 3], [0, 2, 3]), sparse_rows([2, 3, 2], [0, 2], [20, 21]))
    assert index.history.series("k").values.tolist() == [0, 21]
    assert [rewind.voided for rewind in index.rewinds] == [2, 2]


def test_a_key_that_came_late_can_be_taken_back_in_part_or_altogether() -> None:
    batches = rows_of([0, 1, 2, 3, 4]), rows_of([5, 6, 7], k=[5, 6, 7])
    assert folded(*batches, rows_of([6])).history.series("k").values.tolist() == [5]
    assert list(folded(*batches, rows_of([4])).history.names) == []
    assert folded(*batches, rows_of([4]), rows_of([5], k=[9])).history.series("k").steps.tolist() == [5]


def test_buckets_taken_back_are_made_anew_when_the_column_has_grown_again() -> None:
    steps = list(range(2000))
    index = folded(rows_of(steps, k=[1.0] * 2000))
    index.history.sample("k", 1)
    for first, last in ((500, 900), (900, 2000)):
        index.fold(rows_of(steps[first:last], k=[2.0] * (last - first)))
        curve = index.history.sample("k", 1)
    assert (curve.min[0], curve.max[0]) == (1, 2)
    assert curve.mean[0] == pytest.approx(1.75)


def test_the_latest_row_of_a_repeated_step_is_served() -> None:
    index = folded(rows_of([0, 0, 1, 1, 1, 2], k=[1, 2, 3, 4, 5, 6]))
    assert index.history.series("k").values.tolist() == [2, 5, 6]
    assert [rewind.voided for rewind in index.rewinds] == [1, 1, 1]


def test_a_source_that_starts_again_at_step_0_takes_back_everything() -> None:
    index = folded(rows_of([0, 1, 2], k=[1, 2, 3]))
    assert index.start_source("b") == 1
    index.fold(rows_of([0, 1], j=[7, 8]))
    table = index.history
    assert table.row_count == 2
    assert list(table.names) == ["j"]
    assert index.locate(2) == (0, 20)
    assert index.locate(3) == (1, 0)
    with pytest.raises(IndexError, match="no row 5, there are 5"):
        index.locate(5)


def test_rows_without_a_step_follow_the_one_before() -> None:
    index = folded(rows_of([NO_STEP, NO_STEP], k=[0, 1]), rows_of([10, NO_STEP, 12, NO_STEP], k=[2, 3, 4, 5]))
    assert index.history.steps(0, 6).tolist() == [0, 1, 10, 11, 12, 13]


def test_a_row_without_a_step_after_the_greatest_step_repeats_it() -> None:
    index = folded(rows_of([2**63 - 1, NO_STEP], k=[0, 1]))
    assert index.history.steps(0, 9).tolist() == [2**63 - 1]
    assert index.history.position(2**70) == 1
    assert index.history.position(-(2**70)) == 0


def test_a_key_in_every_row_keeps_no_row_numbers_whenever_it_came_or_went() -> None:
    index = folded(rows_of([0, 1], early=[1, 2]), rows_of([2, 3], late=[5, 6]), rows_of([4], late=[7]))
    columns = index.history.columns
    assert [columns[key].presence.rows for key in ("early", "late")] == [None, None]
    assert index.history.series("late").rows.tolist() == [2, 3, 4]
    assert index.history.series("early", 1).values.tolist() == [2]


def test_names_show_the_plain_path_unless_two_print_alike() -> None:
    index = folded(rows_of([0], **{"opt.lr": [1], r"a\.b": [2], "_hidden": [3], r"back\\slash": [4]}))
    assert list(index.history.names) == ["opt.lr", "a.b", r"back\slash"]
    index.fold(rows_of([1], **{r"opt\.lr": [5]}))
    assert list(index.history.names) == ["opt.lr", "a.b", r"back\slash", r"opt\.lr"]
    assert index.history.stats(r"opt\.lr").first == 5
    assert index.history.stats("opt.lr").first == 1
    assert index.history.stats("_hidden").first == 3


def test_a_name_that_looks_like_an_escaped_one_is_still_told_apart() -> None:
    plain, escaped, lookalike = "a.b", r"a\.b", r"a\\\.b"
    index = folded(rows_of([0], **{plain: [1], escaped: [2], lookalike: [3]}))
    names = index.history.names
    assert len(set(names)) == 3
    assert [index.history.stats(name).first for name in names] == [1, 2, 3]


def test_a_slice_given_out_does_not_change_when_rows_are_taken_back() -> None:
    index = folded(rows_of([0, 1, 2, 3], k=[0, 1, 2, 3]))
    series = index.history.series("k")
    index.fold(rows_of([1, 2, 3], k=[7, 8, 9]))
    assert series.values.tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="read-only"):
        series.values[0] = 5


def test_buckets_take_less_than_a_quarter_of_what_the_values_take() -> None:
    count = 200_000
    batch = Rows("history", np.arange(count), np.arange(count), np.zeros(count), (Column("k", None, np.ones(count)),))
    column = folded(batch).history.columns["k"]
    assert column.buckets.nbytes < 0.25 * 8 * count
