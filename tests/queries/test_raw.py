import json
import math

import pytest
from runwise_protocol.errors import RunwiseError
from runwise_protocol.queries import Raw

from runwised.queries.raw import answer

START = 1_700_000_000.0
IMAGE = {"_type": "image-file", "path": "media/a.png"}


@pytest.fixture
def view(run_of, project_of):
    rows = [(10 * n, {"loss": 1 / (n + 1), "epoch": n // 3, "_runtime": n}) for n in range(9)]
    rows[2][1].update({"note": "hi", "val": 0.5})
    rows[7][1].update({"image": IMAGE, "val": 0.25})
    return project_of(run_of(rows, name="gpt"))


@pytest.fixture
def rewound(run_of, project_of):
    """Steps 0 to 4, then back to 2, then on to 4; row 3 alone has text."""
    values = [(0, 1.0), (1, 1.1), (2, 1.2), (3, 1.3), (4, 1.4), (2, 2.2), (3, 2.3), (4, 2.4)]
    rows = [(step, {"loss": loss} | ({"note": "x"} if loss == 1.3 else {})) for step, loss in values]
    return project_of(run_of(rows, name="gpt"))


def numbers(reply):
    return [row["_row"] for row in reply.rows], reply.matched


def test_the_last_five_rows_are_shown_when_nothing_is_said(view):
    assert numbers(answer(Raw(), view)) == ([4, 5, 6, 7, 8], 9)


def test_a_limit_counts_from_the_end_when_nothing_else_is_said_and_else_from_the_start(view):
    assert numbers(answer(Raw(limit=2), view)) == ([7, 8], 9)
    assert numbers(answer(Raw(limit=2, step="30:"), view)) == ([3, 4], 6)


@pytest.mark.parametrize(
    ("step", "found"),
    [("30", [3]), ("30:50", [3, 4, 5]), (":15", [0, 1]), ("75:", [8]), ("31:39", []), (":", list(range(9)))],
)
def test_steps_are_inclusive_and_may_fall_between_rows(view, step, found):
    assert numbers(answer(Raw(step=step), view)) == (found, len(found))


@pytest.mark.parametrize(
    ("row", "found"),
    [("3", [3]), ("-1", [8]), ("-3:-2", [6, 7]), ("7:", [7, 8]), ("5:99", [5, 6, 7, 8]), ("9", []), ("-99:0", [0])],
)
def test_row_numbers_are_inclusive_and_negative_ones_count_from_the_end(view, row, found):
    assert numbers(answer(Raw(row=row), view)) == (found, len(found))


def test_steps_of_any_size_are_taken(view):
    assert numbers(answer(Raw(step=f"{-(10**30)}:{10**30}"), view))[1] == 9


def test_values_are_exactly_those_that_were_logged(view):
    (row,) = answer(Raw(row="7"), view).rows
    assert row == {
        "_row": 7,
        "_step": 70,
        "_time": START + 7,
        "loss": 0.125,
        "epoch": 2,
        "image": IMAGE,
        "val": 0.25,
    }
    assert isinstance(row["epoch"], int)


def test_with_keys_only_rows_that_hold_one_of_them_are_shown(view):
    assert numbers(answer(Raw(keys=("val",)), view)) == ([2, 7], 2)
    assert numbers(answer(Raw(keys=("image", "note"), limit=1), view)) == ([7], 2)
    assert answer(Raw(keys=("image", "note"), step="0:", limit=1), view).rows == [
        {"_row": 2, "_step": 20, "_time": START + 2, "note": "hi"}
    ]


def test_steps_show_served_rows_and_row_numbers_voided_ones_too(rewound):
    assert numbers(answer(Raw(step="0:"), rewound)) == ([0, 1, 5, 6, 7], 5)
    rows = answer(Raw(row="1:5"), rewound).rows
    assert [row.get("_voided", False) for row in rows] == [False, True, True, True, False]


def test_keys_are_looked_for_in_voided_rows_too(rewound):
    assert numbers(answer(Raw(row="2:5", keys=("loss",), limit=3), rewound)) == ([2, 3, 4], 4)


@pytest.mark.parametrize("span", ["", "-", "1:-", "-:2"])
def test_a_span_that_is_no_number_is_an_error(view, span):
    with pytest.raises(RunwiseError, match=r"--row: expected a number or first:last"):
        answer(Raw(row=span), view)


def test_step_and_row_exclude_each_other(view):
    with pytest.raises(RunwiseError, match="exclude each other"):
        answer(Raw(row="1", step="1"), view)


def test_jsonl_has_strings_for_what_is_not_finite(run_of, project_of, ask):
    view = project_of(run_of([{"a": math.nan, "b": math.inf, "c": [1, -math.inf], "d": True}]))
    (line,) = ask(Raw(), view, form="jsonl").splitlines()
    assert json.loads(line) == {
        "_row": 0, "_step": 0, "_time": START, "a": "NaN", "b": "Infinity", "c": [1, "-Infinity"], "d": True
    }  # fmt: skip


def test_text_shows_numbers_in_full(view, ask):
    assert ask(Raw(step="20:50"), view) == (
        "gpt 4 rows\n"
        "step row seconds loss epoch val note\n"
        '20 2 2 .3333333333333333 0 .5 "hi"\n'
        "30 3 3 .25 1 - -\n"
        "40 4 4 .2 1 - -\n"
        "50 5 5 .16666666666666666 1 - -\n"
    )


def test_text_for_a_person_is_aligned(view, ask):
    assert ask(Raw(step="20:30", keys=("loss", "epoch")), view, dress="human") == (
        "gpt 2 rows\n"
        "step  row  seconds                loss  epoch\n"
        "  20    2        2  0.3333333333333333      0\n"
        "  30    3        3                0.25      1\n"
    )


def test_rows_with_many_keys_stand_side_by_side(run_of, project_of, ask):
    rows = [{f"w{n:04}": n + step for n in range(3000)} | {"loss": 0.5} for step in range(9)]
    lines = ask(Raw(step="0:"), project_of(run_of(rows, name="gpt"))).splitlines()
    assert lines[:7] == [
        "gpt 9 rows",
        "5 of them, evenly spread; with fewer keys (-k) each row is a line",
        "step 0 2 4 6 8",
        "row 0 2 4 6 8",
        "seconds 0 2 4 6 8",
        "loss .5 .5 .5 .5 .5",
        "w0000 0 2 4 6 8",
    ]
    assert lines[-1].startswith("cut: ")
    assert lines[-1].endswith("of 3001 keys; runwise raw gpt -k GLOB")


def test_long_text_is_cut_and_says_how_long_it_is(run_of, project_of, ask):
    assert f'"{"x" * 59}…(5002 characters)\n' in ask(Raw(), project_of(run_of([{"text": "x" * 5000}])))


def test_text_says_where_the_rows_are_when_none_was_found(view, run_of, project_of, ask):
    assert ask(Raw(step="1000"), view) == "gpt has no such rows; its 9 rows go from step 0 to 80\n"
    assert ask(Raw(), project_of(run_of(name="gpt"))) == "gpt has no such rows; nothing is logged yet\n"


def test_text_marks_rows_that_were_taken_back(rewound, ask):
    assert ask(Raw(row="4:5", keys=("loss",)), rewound) == (
        "gpt 2 rows\nstep row seconds loss _voided\n4 4 4 1.4 true\n2 5 5 2.2 -\n"
    )


def test_text_values_with_spaces_stay_one_cell_and_are_told_from_numbers(run_of, project_of, ask):
    view = project_of(run_of([{"note": "two words", "size": "12", "x": 1}]))
    assert ask(Raw(), view).endswith('step row seconds x note size\n0 0 0 1 "two words" "12"\n')


def test_rows_that_do_not_fit_are_cut_from_the_end_and_counted(run_of, project_of, ask):
    text = ask(Raw(step="0:99"), project_of(run_of([{"loss": 1 / (row + 3)} for row in range(100)])), budget=200)
    steps = [int(line.split()[0]) for line in text.splitlines()[2:-1]]
    assert steps == list(range(len(steps)))
    assert 0 < len(steps) < 100
    assert f"{100 - len(steps)} " in text.splitlines()[-1]
