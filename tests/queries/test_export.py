import csv
import json
import math
import random

import pytest
from runwise_protocol.errors import RunwiseError
from runwise_protocol.queries import Export

from runwised.queries.export import answer, stream

START = 1_700_000_000.0
NAN, INF = math.nan, math.inf


@pytest.fixture
def exported(project_of):
    """``exported(run, **fields of Export)``: the rows of the JSON lines."""

    def rows(run, **fields):
        return [json.loads(line) for line in "".join(stream(Export(**fields), project_of(run), "jsonl")).splitlines()]

    return rows


def numbers_of(n):
    rng = random.Random(7)
    return [rng.choice([rng.gauss(0, 1), rng.gauss(0, 1) * 10.0 ** rng.randint(-300, 300), 0.1]) for _ in range(n)]


def test_every_number_comes_back_bit_for_bit(run_of, exported):
    values = numbers_of(3000)
    rows = exported(run_of([{"loss": value} for value in values]))
    assert [row["loss"] for row in rows] == values
    assert [list(row.items())[:3] for row in rows[:2]] == [
        [("_row", 0), ("_step", 0), ("_time", START)],
        [("_row", 1), ("_step", 1), ("_time", START + 1)],
    ]


def test_whole_numbers_are_exact_whatever_their_size(run_of, exported):
    values = [0, -1, 2**53 - 1, 2**53 + 1, 2**63, 10**30]
    small = exported(run_of([{"n": value} for value in values[:3]]))
    large = exported(run_of([{"n": value} for value in values]))
    assert [row["n"] for row in small] == values[:3]
    assert [row["n"] for row in large] == values
    assert all(isinstance(row["n"], int) for row in small + large)


def test_the_sign_of_zero_is_kept(run_of, exported):
    rows = exported(run_of([{"x": -0.0}, {"x": 0.0}]))
    assert [math.copysign(1, row["x"]) for row in rows] == [-1, 1]


def test_numbers_that_are_not_finite_are_strings(run_of, exported):
    assert [row["x"] for row in exported(run_of([{"x": NAN}, {"x": INF}, {"x": -INF}, {"x": 1.5}]))] == [
        "NaN",
        "Infinity",
        "-Infinity",
        1.5,
    ]


def test_rows_hold_only_what_was_logged_in_them(run_of, exported):
    rows = exported(run_of([{"a": 1.5, "b": 2.5}, {"b": 3.5}, {}, {"a": 4.5}]))
    assert [list(row)[3:] for row in rows] == [["a", "b"], ["b"], [], ["a"]]


def test_text_lists_and_media_are_there_too(run_of, exported):
    media = {"_type": "histogram", "values": [1, NAN], "bins": [0, 1, 2]}
    rows = exported(run_of([{"a": 1.0, "t": "hi\n", "_runtime": 3}, {"h": media, "flag": True, "none": None}]))
    assert [dict(list(row.items())[3:]) for row in rows] == [
        {"a": 1.0, "t": "hi\n"},
        {"h": media | {"values": [1, "NaN"]}, "flag": True, "none": None},
    ]


def test_keys_leave_out_the_rest_and_rows_that_hold_none_of_them(run_of, exported, project_of):
    run = run_of([{"a": 1.5, "b": 2.5}, {"b": 3.5}, {"t": "x"}, {"a": 4.5}])
    assert exported(run, keys=("a",)) == [
        {"_row": 0, "_step": 0, "_time": START, "a": 1.5},
        {"_row": 3, "_step": 3, "_time": START + 3, "a": 4.5},
    ]
    assert [row["_row"] for row in exported(run, keys=("t", "a"))] == [0, 2, 3]
    for keys, count in ((("a",), 2), (("t", "a"), 3), ((), 4)):
        assert answer(Export(keys=keys), project_of(run)).rows == count


def test_voided_rows_are_left_out_unless_raw_asks_for_all_in_file_order(run_of, exported, project_of):
    run = run_of([(0, {"a": 0.5}), (1, {"a": 1.5, "gone": 9.5}), (2, {"a": 2.5}), (1, {"a": 3.5})])
    assert [(row["_row"], row["a"]) for row in exported(run)] == [(0, 0.5), (3, 3.5)]
    assert [(row["_row"], row["_step"], row["a"]) for row in exported(run, raw=True)] == [
        (0, 0, 0.5),
        (1, 1, 1.5),
        (2, 2, 2.5),
        (3, 1, 3.5),
    ]
    assert exported(run, raw=True)[1]["gone"] == 9.5
    assert [answer(Export(raw=raw), project_of(run)).rows for raw in (False, True)] == [2, 4]


def test_csv_of_all_rows_has_a_column_for_what_only_voided_rows_held(run_of, project_of, ask):
    view = project_of(run_of([(0, {"a": 0.5}), (1, {"a": 1.5, "gone": 9.5}), (1, {"a": 3.5})]))
    assert ask(Export(raw=True), view, form="csv") == (
        "_row,_step,_time,a,gone\n0,0,1700000000.0,0.5,\n1,1,1700000001.0,1.5,9.5\n2,1,1700000002.0,3.5,\n"
    )
    assert ask(Export(), view, form="csv").splitlines()[0] == "_row,_step,_time,a"


def test_raw_rows_that_hold_none_of_the_keys_are_neither_written_nor_counted(run_of, exported, project_of):
    run = run_of([(0, {"a": 0.5}), (1, {"b": 1.5}), (1, {"a": 3.5})])
    assert [row["_row"] for row in exported(run, raw=True, keys=("a",))] == [0, 2]
    assert answer(Export(raw=True, keys=("a",)), project_of(run)).rows == 2


def test_csv_has_every_key_in_its_head_and_an_empty_cell_for_what_is_missing(run_of, project_of, ask):
    run = run_of([{"a,b": 1.5, "n": 3}, {"n": NAN, "t": 'say "hi"', "h": {"_type": "x", "v": [1]}}])
    text = ask(Export(), project_of(run), form="csv")
    assert text == (
        '_row,_step,_time,"a,b",n,t,h\n'
        "0,0,1700000000.0,1.5,3,,\n"
        '1,1,1700000001.0,,NaN,"say ""hi""","{""_type"":""x"",""v"":[1]}"\n'
    )


def test_csv_of_numbers_comes_back_bit_for_bit(run_of, project_of, ask):
    values = numbers_of(1000)
    text = ask(Export(), project_of(run_of([{"x": value} for value in values])), form="csv")
    assert [float(row["x"]) for row in csv.DictReader(text.splitlines())] == values


def test_chunks_are_never_larger_than_the_wire_takes(run_of, project_of):
    run = run_of([{"text": "🙂" * 200_000, "a": 1.5}, *({"a": 0.1 * n} for n in range(3000))])
    chunks = list(stream(Export(), project_of(run), "jsonl"))
    assert max(len(chunk.encode()) for chunk in chunks) <= 256 * 1024
    assert len("".join(chunks).splitlines()) == 3001


def test_a_key_that_is_not_there_is_an_error_before_anything_is_written(run_of, project_of):
    with pytest.raises(RunwiseError, match="no metric 'x'"):
        stream(Export(keys=("x",)), project_of(run_of([{"a": 1.0}])), "jsonl")


def test_a_run_without_rows_gives_nothing_or_the_head(run_of, project_of, ask):
    assert ask(Export(), project_of(run_of())) == ""
    assert ask(Export(), project_of(run_of()), form="csv") == "_row,_step,_time\n"
