"""Tables in which each key takes back its own points, against a plain-Python model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwised.formats.record import NO_STEP, Column, Other, Purge, Rows
from runwised.index.growing_table import SourcesOverlap
from runwised.index.run_index import RunIndex

KEYS = ("a", "b", "c")


class Record(NamedTuple):
    """One logged record."""

    step: int
    values: dict[str, float]
    text: bool


RECORDS = st.lists(
    st.builds(
        Record,
        step=st.one_of(st.integers(0, 12), st.integers(0, 300), st.just(NO_STEP)),
        values=st.dictionaries(
            st.sampled_from(KEYS), st.sampled_from([0.5, -1.0, 3.0, math.inf, math.nan]), min_size=1
        ),
        text=st.booleans(),
    ),
    max_size=60,
)
RISING = st.lists(st.integers(1, 3), max_size=60).map(
    lambda strides: [Record(sum(strides[:at]), {"a": float(at), "b": 1.0}, False) for at in range(len(strides))]
)


class Model:
    """What is left when each key takes back its own points."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.points: dict[str, list[tuple[int, float]]] = {}
        self.texts: list[int] = []
        last = reached = -1
        for record in records:
            last = last + 1 if record.step == NO_STEP else record.step
            reached = max(reached, last)
            for key, value in record.values.items():
                points = self.points.setdefault(key, [])
                while points and points[-1][0] >= last:
                    points.pop()
                points.append((last, value))
            if record.text:
                while self.texts and self.texts[-1] >= last:
                    self.texts.pop()
                self.texts.append(last)
        self.last = last
        self.reached = reached

    @property
    def steps(self) -> list[int]:
        return sorted({step for points in self.points.values() for step, _ in points} | set(self.texts))


def batch(records: Sequence[Record], first: int = 0, time: float = 1e9) -> Rows:
    columns = []
    for key in dict.fromkeys(key for record in records for key in record.values):
        at = [row for row, record in enumerate(records) if key in record.values]
        values = np.array([records[row].values[key] for row in at])
        columns.append(Column(key, None if len(at) == len(records) else np.array(at), values))
    texts = [row for row, record in enumerate(records) if record.text]
    others = (Other("note", np.array(texts), "string", b'"%d"' % (first + texts[-1])),) if texts else ()
    numbers = np.arange(first, first + len(records))
    steps = np.array([record.step for record in records], np.int64)
    return Rows("history", numbers * 10, steps, time + numbers, tuple(columns), others, by_key=True)


def folded(records: Sequence[Record], cuts: Sequence[int] = ()) -> RunIndex:
    index = RunIndex()
    index.start_source("log")
    edges = sorted({0, len(records), *(cut for cut in cuts if cut < len(records))})
    for start, stop in pairwise(edges):
        index.fold(batch(records[start:stop], start))
    return index


def points(run: Any, key: str) -> list[tuple[int, str]]:
    if key not in run.history.names:
        return []
    series = run.history.series(key)
    assert series.rows.tolist() == [
        run.history.numbers(run.history.position(step), run.history.position(step) + 1)[0]
        for step in series.steps.tolist()
    ]
    return [(step, repr(value)) for step, value in zip(series.steps.tolist(), series.values.tolist(), strict=True)]


def said(run: Any) -> dict[str, Any]:
    return {key: points(run, key) for key in KEYS}


def wanted(model: Model) -> dict[str, Any]:
    return {key: [(step, repr(value)) for step, value in model.points.get(key, [])] for key in KEYS}


@given(RECORDS)
def test_each_key_takes_back_its_own_points_alone(records: list[Record]) -> None:
    index, model = folded(records), Model(records)
    assert said(index) == wanted(model)
    by_row = all(later.step > earlier.step for earlier, later in pairwise(records))
    if not by_row:
        assert index.history.steps(0, index.history.row_count).tolist() == model.steps
    assert index.history.total_rows == len(records)
    if records:
        assert index.last_step is not None
        assert model.last <= index.last_step <= model.reached
        others = index.history.others
        assert (others["note"].count if "note" in others else 0) == len(model.texts)


@given(st.one_of(RECORDS, RISING), st.lists(st.integers(0, 60), max_size=6))
def test_how_a_log_was_cut_makes_no_difference(runs: Any, records: list[Record], cuts: list[int]) -> None:
    assert runs.answers(folded(records, cuts)) == runs.answers(folded(records))


@given(st.one_of(RECORDS, RISING), RECORDS)
def test_the_sidecar_says_the_same_and_can_be_folded_on(runs: Any, head: list[Record], tail: list[Record]) -> None:
    index = folded(head)
    stored = runs.opened(index)
    assert runs.answers(stored) == runs.answers(index)
    thawed = stored.thaw()
    if tail:
        thawed.fold(batch(tail, len(head)))
    assert runs.answers(thawed) == runs.answers(folded([*head, *tail], [len(head)]))


def test_records_of_one_step_are_one_row_with_the_newest_time_and_record() -> None:
    index = folded([Record(5, {"a": 1.0}, False), Record(5, {"b": 2.0}, False), Record(6, {"a": 3.0}, False)])
    history = index.history
    assert (history.row_count, history.total_rows) == (2, 3)
    assert history.times(0, 2).tolist() == [1e9 + 1, 1e9 + 2]
    assert history.records(history.numbers(0, 2)).tolist() == [1, 2]
    assert history.records_of(5, 6).tolist() == [0, 1]


def test_a_restart_is_one_rewind_however_many_keys_go_back() -> None:
    before = [Record(step, {"a": 1.0, "b": 1.0}, False) for step in range(10)]
    after = [Record(4, {"a": 2.0}, False), Record(5, {"b": 2.0}, False)]
    index = folded([*before, *after])
    assert [tuple(rewind) for rewind in index.rewinds] == [(10, 9, 4, 6)]
    assert points(index, "b")[-1] == (5, "2.0")
    assert index.last_step == 5


def sources(*parts: tuple[list[Record], float], ranks: Sequence[int] = ()) -> RunIndex:
    index = RunIndex()
    for number, (records, time) in enumerate(parts):
        index.start_source(str(number), ranks[number] if ranks else 0)
        index.fold(batch(records, time=time))
    return index


def rows(steps: range, key: str, value: float) -> list[Record]:
    return [Record(step, {key: value}, False) for step in steps]


def test_a_source_that_begins_after_the_last_one_ended_takes_back_what_it_logs_anew() -> None:
    index = sources((rows(range(10), "a", 1.0), 1e9), (rows(range(6, 8), "a", 2.0), 2e9))
    assert [step for step, _ in points(index, "a")] == list(range(8))
    assert index.last_step == 7


def test_sources_written_at_the_same_time_lose_nothing() -> None:
    odd, even = rows(range(1, 40, 2), "a", 1.0), rows(range(0, 40, 2), "a", 2.0)
    index = sources((odd, 1e9), (even, 1e9 + 0.5))
    assert points(index, "a") == [(step, "1.0" if step % 2 else "2.0") for step in range(40)]
    assert list(index.rewinds) == []


def test_a_source_that_goes_on_beside_the_one_taken_for_its_restart_is_to_be_folded_anew() -> None:
    index = sources((rows(range(10), "a", 1.0), 1e9), (rows(range(3), "a", 2.0), 2e9))
    with pytest.raises(SourcesOverlap):
        index.fold(batch(rows(range(10, 12), "a", 1.0), time=3e9), 0)


def test_a_metric_is_taken_from_the_source_that_knows_it_best() -> None:
    coarse = [Record(step, {"a": 1.0, "b": 1.0}, False) for step in range(4)]
    fine = [Record(step, {"a": 2.0}, False) for step in range(3)]
    first = sources((fine, 1e9), (coarse, 1e9), ranks=(0, 1))
    last = sources((coarse, 1e9), (fine, 1e9), ranks=(1, 0))
    for index in (first, last):
        assert points(index, "a") == [(0, "2.0"), (1, "2.0"), (2, "2.0")]
        assert points(index, "b") == [(step, "1.0") for step in range(4)]


def test_a_purge_takes_back_keys_that_never_log_again_unless_others_write_at_the_same_time() -> None:
    index = sources(([*rows(range(9), "a", 1.0), Record(8, {"b": 7.0}, False)], 1e9))
    index.start_source("later")
    index.fold(Purge(0, 5))
    assert len(points(index, "b")) == 1
    index.fold(batch(rows(range(5, 7), "a", 2.0), time=2e9))
    assert points(index, "b") == []
    assert [step for step, _ in points(index, "a")] == list(range(7))
    beside = sources((rows(range(9), "a", 1.0), 1e9))
    beside.start_source("at the same time")
    beside.fold(Purge(0, 5))
    beside.fold(batch(rows(range(5), "c", 2.0), time=1e9 + 2))
    assert len(points(beside, "a")) == 9


ARRIVALS = st.lists(st.tuples(st.integers(0, 2), RECORDS.filter(len).map(lambda records: records[:6])), max_size=8)
"""Records of three sources, in the order they turn up."""


def read(arrivals: Sequence[tuple[int, list[Record]]], ranks: Sequence[int], times: Sequence[float]) -> RunIndex:
    """Fold what turned up as a catalog does: where sources overlap, all of them anew, one after the other."""

    def begun() -> RunIndex:
        index = RunIndex()
        for number in range(3):
            index.start_source(str(number), ranks[number])
        return index

    index = begun()
    said: list[list[Rows]] = [[], [], []]
    for number, records in arrivals:
        count = sum(len(each.offsets) for each in said[number])
        said[number].append(batch(records, count, times[number]))
        try:
            index.fold(said[number][-1], number)
        except SourcesOverlap:
            index = begun()
            for source, batches in enumerate(said):
                for each in batches:
                    index.fold(each, source)
    return index


@pytest.mark.parametrize("ranks", [(0, 0, 0), (0, 1, 1), (0, 1, 2)])
@pytest.mark.parametrize("times", [(1e9, 1e9, 1e9), (1e9, 1e9 + 4, 1e9 + 8), (1e9, 2e9, 3e9)])
@given(arrivals=ARRIVALS)
def test_in_what_order_sources_turn_up_makes_no_difference(
    ranks: Sequence[int], times: Sequence[float], arrivals: list[tuple[int, list[Record]]]
) -> None:
    index = read(arrivals, ranks, times)
    whole = read(sorted(arrivals, key=lambda arrival: arrival[0]), ranks, times)
    assert said(index) == said(whole)
    rows = [run.history.steps(0, run.history.row_count).tolist() for run in (index, whole)]
    assert rows[0] == rows[1]
    names = index.history.names
    assert sorted(names) == sorted(whole.history.names)
    assert [repr(index.history.stats(name)) for name in names] == [repr(whole.history.stats(name)) for name in names]
    notes = [run.history.others["note"] for run in (index, whole) if "note" in run.history.others]
    assert len({(note.count, note.last_step) for note in notes}) <= 1
    # Whose last value was taken back, and so is not known, does depend on what was said before it.
    assert len({note.last for note in notes} - {"null"}) <= 1
    assert len(notes) != 1


def test_a_row_without_a_step_comes_after_the_last_of_its_own_source() -> None:
    index = sources((rows(range(5), "a", 1.0), 1e9), (rows(range(50, 60), "b", 2.0), 1e9), ranks=(0, 1))
    index.fold(batch([Record(NO_STEP, {"a": 3.0}, False)], time=2e9), 0)
    assert points(index, "a")[-1] == (5, "3.0")


def test_statistics_name_rows_by_their_steps_once_rows_are_known_by_them() -> None:
    index = sources((rows(range(7, 9), "a", 1.0), 1e9))
    assert index.history.stats("a").last_row == 1
    index.fold(batch([Record(8, {"b": 1.0}, False)], 2), 0)
    assert index.history.stats("a").last_row == 8


def test_curves_of_a_long_log_with_many_keys_a_step_are_exact(runs: Any) -> None:
    """Over a chunk's length, so that buckets and chunks of every kind take part."""
    records = [Record(step // 3, {KEYS[step % 3]: float(step % 17)}, False) for step in range(60_000)]
    index = folded(records, range(0, 60_000, 1777))
    stored = runs.opened(index)
    assert runs.table_answers(stored.history) == runs.table_answers(index.history)
    groups = stored.history.sample("b", 50)
    assert int(groups.n.sum()) == 20_000
    assert groups.min.min() == 0.0
    assert groups.max.max() == 16.0
