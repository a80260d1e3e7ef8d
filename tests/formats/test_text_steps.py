"""Where each line of a text log belongs, as far as it and the lines before it say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runwised.formats.text_steps import Laps
from runwised.formats.textlog import TEXTLOG


def placed(*told: tuple[int, int, int]) -> list[int]:
    laps = Laps()
    return [laps.place(epoch, n, total) for epoch, n, total in told]


def test_a_counter_that_starts_again_goes_on_after_the_epoch_before() -> None:
    assert placed((0, 5, 10), (0, 10, 10), (1, 5, 10), (3, 10, 10)) == [5, 10, 15, 40]


def test_a_counter_that_goes_on_by_itself_stays_what_it_is() -> None:
    assert placed((1, 5, 40), (1, 10, 40), (2, 15, 40), (3, 25, 40)) == [5, 10, 15, 25]


def test_a_counter_without_a_total_goes_on_a_stride_later() -> None:
    assert placed((0, 0, -1), (0, 20, -1), (1, 0, -1), (1, 20, -1), (2, 0, -1)) == [0, 20, 40, 60, 80]


@pytest.mark.parametrize(("total", "step"), [(10, 15), (-1, 9)])
def test_an_epoch_that_is_trained_again_is_a_rewind(total: int, step: int) -> None:
    told = [(epoch, n, total) for epoch in range(4) for n in (5, 7)]
    assert placed(*told, (1, 5, total))[-1] == step


def test_an_epoch_before_the_first_is_the_first() -> None:
    assert placed((4, 5, 10), (5, 5, 10), (0, 5, 10)) == [5, 15, 5]


LINES = st.one_of(
    st.tuples(st.integers(0, 3), st.integers(0, 9)).map(
        lambda at: f"Epoch {at[0]}:  1%|#  | {at[1]}/9 [00:01<00:01, 9.5it/s, loss=2.5]"
    ),
    st.integers(0, 9).map(lambda n: f" 1%|#  | {n}/9 [00:01<00:01, 9.5it/s, acc=0.5]"),
    st.integers(0, 20).map(lambda n: f" 1%|#  | {n}/20 [00:01<00:01, 9.5it/s]"),
    st.tuples(st.integers(1, 3), st.integers(0, 9)).map(lambda at: f"Epoch [{at[0]}/3], Step [{at[1]}/9], Loss: 0.5"),
    st.tuples(st.integers(1, 3), st.integers(0, 9)).map(lambda at: f"epoch {at[0]} step {at[1]} loss 0.5"),
    st.integers(0, 30).map(lambda n: f"step {n}/30 loss 0.5"),
    st.integers(0, 5).map(lambda n: f"Epoch {n}/5"),
    st.integers(0, 5).map(lambda n: f"Epoch {n} val_loss 0.5"),
    st.integers(0, 9).map(lambda n: f"loss: 1.5 [{n}/9]"),
    st.sampled_from(["val loss 0.5", "{'loss': 0.5}", "validate step: 3 loss: 0.5", "Test: [3/9] Loss 0.5"]),
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(st.tuples(LINES, st.integers(1, 4)), max_size=20))
def test_the_steps_of_many_lines_are_those_of_one_after_the_other(told: Any, lines: list[tuple[str, int]]) -> None:
    printed = [line.encode() + b"\n" for line, times in lines for _ in range(times)]
    reader = TEXTLOG.reader()
    batches = []
    for line in printed:
        reader = TEXTLOG.reader(reader.resume)
        batches += reader.feed(line)
    assert told(batches).picture() == told(TEXTLOG.reader().feed(b"".join(printed))).picture()


def test_counters_that_only_go_on_are_told_as_one_after_the_other(told: Any) -> None:
    printed = [
        f"Epoch {epoch}: 1%|#| {n}/40 [00:01<00:01, 9.5it/s, loss=2.5]\r".encode()
        for epoch in range(5)
        for n in range(1, 41)
    ]
    reader = TEXTLOG.reader()
    single = told(batch for line in printed for batch in reader.feed(line))
    whole = TEXTLOG.reader()
    assert told(whole.feed(b"".join(printed))).picture() == single.picture()
    assert whole.resume == reader.resume
    assert [step for _, step, _, _ in single.history] == list(range(1, 201))
