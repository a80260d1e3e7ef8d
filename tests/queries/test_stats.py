import math

import pytest
from runwise_protocol.errors import RunwiseError
from runwise_protocol.queries import ShowStats

from runwised.formats.record import Definition
from runwised.queries.stats import answer, metric_stats
from runwised.settings import MetricFormat, MetricGroup, MetricSchema, RunwiseConfig

NAN, INF = math.nan, math.inf
LOSSES = [3.5, NAN, 2.25, INF, 2.0, 2.5]


@pytest.fixture
def run(run_of):
    rows = [{"val/loss": loss, "lr": 3e-4 * (1 - n / 6), "epoch": n // 3} for n, loss in enumerate(LOSSES)]
    rows[5]["speed"] = 12.0
    return run_of([(10 * n, row) for n, row in enumerate(rows)], name="gpt")


def test_statistics_are_exact_and_count_what_is_not_finite(run):
    found = metric_stats(run, "val/loss", RunwiseConfig())
    assert (found.count, found.nonfinite, found.first, found.last, found.last_finite) == (6, 2, 3.5, 2.5, 2.5)
    assert (found.min, found.min_step, found.max, found.max_step, found.last_step) == (2.0, 40, 3.5, 0, 50)
    assert found.mean == 10.25 / 4
    assert found.std == pytest.approx(math.sqrt(sum((x - 2.5625) ** 2 for x in (3.5, 2.25, 2.0, 2.5)) / 4))


def test_a_metric_without_a_finite_value_has_no_extremes(run_of):
    found = metric_stats(run_of([{"loss": NAN}, {"loss": -INF}]), "loss", RunwiseConfig())
    assert (found.count, found.nonfinite, found.last) == (2, 2, -INF)
    assert [found.last_finite, found.min, found.max, found.mean, found.std, found.best] == [None] * 6


def test_an_unknown_metric_is_a_key_error(run):
    with pytest.raises(KeyError):
        metric_stats(run, "no", RunwiseConfig())


def test_the_best_value_is_known_from_the_name_only_with_a_question_mark(run):
    found = metric_stats(run, "val/loss", RunwiseConfig())
    assert (found.best, found.best_step, found.direction) == (2.0, 40, "min?")
    assert metric_stats(run, "speed", RunwiseConfig()).direction is None


def test_the_best_value_is_known_from_the_metrics_own_goal(run_of):
    goal = Definition(key="s*", glob=True, goal="maximize")
    found = metric_stats(run_of([{"speed": 1.0}, {"speed": 9.0}], definitions=[goal]), "speed", RunwiseConfig())
    assert (found.best, found.best_step, found.direction) == (9.0, 1, "max")


def test_the_best_value_is_known_from_the_schema(run):
    group = MetricGroup(metrics={"lr": MetricFormat(higher_is_better=False)})
    found = metric_stats(run, "lr", RunwiseConfig(schema=MetricSchema(groups=(group,))))
    assert (found.best_step, found.direction) == (50, "min")


def test_every_metric_is_answered_unless_keys_are_named(run, project_of):
    assert list(answer(ShowStats(), project_of(run)).metrics) == ["val/loss", "lr", "epoch", "speed"]
    assert list(answer(ShowStats(keys=("e*", "lr")), project_of(run)).metrics) == ["epoch", "lr"]


def test_a_key_that_is_not_there_is_an_error_that_names_the_nearest(run, project_of):
    with pytest.raises(RunwiseError, match="no metric 'val/los'; nearest: val/loss"):
        answer(ShowStats(keys=("val/los",)), project_of(run))


def test_json_has_a_field_for_every_statistic_and_strings_for_what_is_not_finite(run_of, project_of, ask):
    view = project_of(run_of([{"loss": 1.0}, {"loss": NAN}]))
    assert ask(ShowStats(), view, form="json") == (
        '{"run":"3be9c0de","metrics":{"loss":{"count":2,"nonfinite":1,"first":1.0,"last":"NaN","last_finite":1.0,'
        '"last_step":1,"min":1.0,"min_step":0,"max":1.0,"max_step":0,"mean":1.0,"std":0.0,"best":1.0,"best_step":0,'
        '"direction":"min?"}}}\n'
    )


def test_text_puts_the_main_metric_first_and_stars_its_best(run, project_of, ask):
    assert ask(ShowStats(), project_of(run)) == (
        "gpt exact over 6 rows; *? best if the name tells; !n not finite, left out of the rest\n"
        "metric n first last min@step max@step mean std\n"
        "val/loss 6!2 3.5 2.5 2@40*? 3.5@0 2.562 .5694\n"
        "lr 6 .0003 .00005 .00005@50 .0003@0 .000175 .00008539\n"
        "epoch 6 0 1 0@0 1@30 .5 .5\n"
        "speed 1 12 12 12@50 12@50 12 0\n"
    )


def test_text_for_a_person_is_aligned(run, project_of, ask):
    assert ask(ShowStats(keys=("val/loss", "lr")), project_of(run), dress="human") == (
        "gpt exact over 6 rows; *? best if the name tells; !n not finite, left out of the rest\n"
        "metric    n     first  last  min@step  max@step      mean       std\n"
        "val/loss  6!2     3.5   2.5  2@40*?       3.5@0     2.562    0.5694\n"
        "lr        6    0.0003  5e-5  5e-5@50   0.0003@0  0.000175  8.539e-5\n"
    )


def test_values_that_differ_do_not_look_alike(run_of, project_of, ask):
    text = ask(ShowStats(), project_of(run_of([{"x": 2.30171}, {"x": 2.30179}, {"x": 2.30174}])))
    assert "2.30171 2.30174 2.30171@0 2.30179@1" in text


def test_a_metric_that_ended_before_the_run_shows_where(run_of, project_of, ask):
    assert "9@0 9@0 9@0" in ask(ShowStats(), project_of(run_of([{"x": 9, "y": 1}, {"y": 2}])))


def test_a_run_without_numbers_says_so(run_of, project_of, ask):
    assert ask(ShowStats(), project_of(run_of(name="gpt"))) == "gpt has logged no numbers\n"


def test_damage_is_said_under_exact_statistics(run_of, project_of, ask):
    run = run_of([{"loss": 1.0}], name="a", damage={"bad checksum": 300})
    assert ask(ShowStats(), project_of(run)).splitlines()[-1] == "! a: damaged bytes passed over: bad checksum 300 B"
