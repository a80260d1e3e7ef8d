"""A moment of a run: rows, system samples and console lines joined by time."""

import math

import pytest
from runwise_protocol.errors import RunwiseError
from runwise_protocol.queries import Raw

from runwised.formats.record import Row
from runwised.index.view import Line
from runwised.queries.raw import answer

START = 1_700_000_000.0


@pytest.fixture
def sampled(run_of):
    """Rows at steps 0, 10 … 190, a second apart; a system sample every 4 seconds; a console line every half."""

    def build(**fields):
        rows = [(10 * n, {"loss": n / 8} | ({"val": 1.0} if n % 6 == 0 else {})) for n in range(20)]
        lines = [Line(START + n / 2 + 0.1, False, f"line {n}") for n in range(40)]
        run = run_of(rows, name="gpt", lines=lines, **fields)
        for n in range(5):
            values = {"cpu": 10.0 * n, "gpu.0.memory": 50.5, "gpu.0.gpu": 99.0}
            run.system._add(n, Row(n, START + 4 * n, values))
        return run

    return build


def steps(reply):
    return [row["_step"] for row in reply.rows]


def seconds(items):
    return [item["_time"] - START for item in items]


def texts(reply):
    return [line.text for line in reply.lines]


def test_rows_around_a_step_come_with_their_whole_values(sampled, project_of):
    reply = answer(Raw(at=60), project_of(sampled()))
    assert (steps(reply), reply.matched) == ([30, 40, 50, 60, 70, 80, 90], 7)
    assert reply.rows[3] == {"_row": 6, "_step": 60, "_time": START + 6, "loss": 0.75, "val": 1.0}


@pytest.mark.parametrize(
    ("at", "around", "found"),
    [
        (64, 0, [60]),
        (65, 0, [60]),
        (66, 1, [60, 70, 80]),
        (-99, 1, [0, 10]),
        (10**18, 1, [180, 190]),
        (100, 1000, [*range(0, 200, 10)]),
    ],
)
def test_the_row_nearest_to_the_step_is_the_middle(sampled, project_of, at, around, found):
    assert steps(answer(Raw(at=at, around=around), project_of(sampled()))) == found


def test_with_keys_only_rows_that_hold_one_count(sampled, project_of):
    reply = answer(Raw(at=61, around=1, keys=("val",)), project_of(sampled()))
    assert [(row["_step"], row["val"]) for row in reply.rows] == [(0, 1.0), (60, 1.0), (120, 1.0)]
    assert "loss" not in reply.rows[0]


def test_a_lone_row_has_the_lines_up_to_its_neighbours_and_the_samples_around_it(sampled, project_of):
    reply = answer(Raw(at=60, around=0), project_of(sampled()))
    assert texts(reply) == ["line 10", "line 11", "line 12", "line 13"]
    assert (seconds(reply.system), reply.system_matched) == ([4.0, 8.0], 2)
    assert reply.system[0] == {"_time": START + 4, "cpu": 10.0, "gpu.0.memory": 50.5, "gpu.0.gpu": 99.0}


def test_samples_are_those_before_within_and_after_the_rows(sampled, project_of):
    assert seconds(answer(Raw(at=60, around=3), project_of(sampled())).system) == [0.0, 4.0, 8.0, 12.0]
    assert seconds(answer(Raw(at=80, around=0), project_of(sampled())).system) == [4.0, 8.0, 12.0]


def test_the_first_and_the_last_row_have_all_that_was_printed_before_and_after(sampled, project_of):
    assert texts(answer(Raw(at=0, around=0), project_of(sampled())))[0] == "line 0"
    assert texts(answer(Raw(at=190, around=0), project_of(sampled())))[-1] == "line 39"


def test_records_of_one_sample_are_put_together(run_of, project_of):
    run = run_of([{"loss": 1.0}])
    for at, values in ((0.0, {"cpu": 1.0}), (0.01, {"net": 2.0}), (0.5, {"cpu": 3.0})):
        run.system._add(len(run.system.all_rows), Row(len(run.system.all_rows), START + at, values))
    reply = answer(Raw(at=0), project_of(run))
    assert reply.system == [
        {"_time": START, "cpu": 1.0, "net": 2.0},
        {"_time": START + 0.5, "cpu": 3.0},
    ]


def test_of_very_many_lines_and_samples_the_nearest_are_kept_and_all_are_counted(run_of, project_of):
    lines = [Line(START + 100 + n / 100, False, f"line {n}") for n in range(3000)]
    run = run_of([{"loss": 1.0}, {"loss": 1.0}, {"loss": 1.0}], lines=lines)
    run.history.all_rows[:] = [Row(n, START + time, {"loss": 1.0}) for n, time in enumerate((100, 115, 130))]
    for n in range(300):
        run.system._add(n, Row(n, START + 100 + n / 10, {"cpu": float(n)}))
    reply = answer(Raw(at=1, around=0), project_of(run))
    assert (reply.lines_matched, len(reply.lines)) == (3000, 1000)
    assert (texts(reply)[0], texts(reply)[-1]) == ("line 1001", "line 2000")
    reply = answer(Raw(at=1, around=1), project_of(run))
    assert reply.system_matched == 300
    assert seconds(reply.system)[::63] == pytest.approx([111.8, 118.1])


def test_the_text_shows_rows_then_samples_then_lines(sampled, project_of, ask):
    assert ask(Raw(at=64, around=1), project_of(sampled())) == (
        "gpt 3 rows around step 60, none is at 64\n"
        "step row seconds loss val\n50 5 5 .625 -\n60 6 6 .75 1\n70 7 7 .875 -\n"
        "system 4s 8s\ngpu.0.memory 50.5 50.5\ngpu.0.gpu 99 99\ncpu 10 20\n"
        "console until step 60, seconds first (quoted output)\n"
        "| 4.1 line 8\n| 4.6 line 9\n| 5.1 line 10\n| 5.6 line 11\n"
        "console after step 60, seconds first (quoted output)\n"
        "| 6.1 line 12\n| 6.6 line 13\n| 7.1 line 14\n| 7.6 line 15\n"
    )


def test_without_times_nothing_is_joined_and_the_text_says_so(sampled, project_of, ask):
    run = sampled()
    run.history.all_rows[:] = [row._replace(time=math.nan) for row in run.history.all_rows]
    reply = answer(Raw(at=60, around=1), project_of(run))
    assert (len(reply.rows), reply.system, reply.lines) == (3, [], [])
    assert ask(Raw(at=60, around=0), project_of(run)).splitlines()[-1] == (
        "these rows have no times: what the system and the console said then is not known"
    )


def test_a_console_without_times_is_named(run_of, project_of, ask):
    view = project_of(run_of([{"loss": 1.0}], name="gpt", lines=[Line(math.nan, False, "hi")]))
    assert ask(Raw(at=0), view).splitlines()[-1] == "console lines have no times here: runwise log gpt"


def test_what_is_cut_is_named_with_the_command_that_shows_it(sampled, project_of, ask):
    run = sampled()
    row = run.system.all_rows[1]
    run.system.all_rows[1] = row._replace(values={f"metric_{n}": n / 7 for n in range(500)})
    last = ask(Raw(at=60, around=0), project_of(run), budget=300).splitlines()[-1]
    assert last.startswith("cut: ")
    assert last.endswith("runwise raw gpt --at 60 --around 0 --format json")


def test_only_a_moment_has_system_and_lines_in_json(sampled, project_of, ask):
    view = project_of(sampled())
    assert '"system":[' in ask(Raw(at=0), view, form="json")
    assert '"system"' not in ask(Raw(step="0"), view, form="json")
    assert len(ask(Raw(at=60, around=1), view, form="jsonl").splitlines()) == 3


@pytest.mark.parametrize("other", [{"step": "1"}, {"row": "1"}, {"limit": 3}])
def test_a_moment_excludes_other_choices_of_rows(sampled, project_of, other):
    with pytest.raises(RunwiseError, match="--at excludes"):
        answer(Raw(at=1, **other), project_of(sampled()))


def test_around_goes_with_at(sampled, project_of):
    with pytest.raises(RunwiseError, match="--around goes with --at"):
        answer(Raw(around=1), project_of(sampled()))


def test_a_run_without_rows_has_no_moment(run_of, project_of, ask):
    assert ask(Raw(at=5), project_of(run_of(name="gpt"))) == "gpt has no such rows; nothing is logged yet\n"
