"""`stability` tells how much a curve swings, where, and which way it goes, counting what is not finite."""

import json
import math

import numpy as np
import pytest
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries import ShowStability

NAN = math.nan


@pytest.fixture
def noisy(run_of, project_of):
    """A loss that falls .0012 in 1,000 steps under noise of .01, with a wild stretch and three points not finite."""
    rng = np.random.default_rng(4)
    values = 2.0 - 1.2e-6 * 10 * np.arange(4000) + 0.01 * rng.normal(size=4000)
    values[2000:2050] += rng.normal(size=50)
    rows = [(10 * at, {"val/loss": value}) for at, value in enumerate(values.tolist())]
    for at in (5, 6, 3990):
        rows[at][1]["val/loss"] = NAN
    return project_of(run_of(rows, name="gpt"))


def test_the_page_says_trend_noise_and_the_extreme_stretches(noisy, ask):
    assert ask(ShowStability(), noisy) == (
        "gpt val/loss 4000 points, 3 not finite; 3901 windows of 100; [~greatest of those between]; !n not finite\n"
        "at the end falling .00095 per 1k steps (.00068 to .0012) since step 30000; noise .011 (.0054 of the level)\n"
        "std mostly .00991, least .00809 in 12870-13860, greatest .71 in 19970-20960\n"
        "step mean std\n"
        "4170 1.994 .0104\n"
        "7450 1.992 .00987\n"
        "10730 1.988 .0107\n"
        "13930 1.983 .00821\n"
        "17200 1.981 .00898\n"
        "20480 2.014 .683\n"
        "23680 1.972 .0102[~.71]\n"
        "26960 1.969 .0116\n"
        "30230 1.964 .0088\n"
        "33430 1.96 .00923\n"
        "36710 1.957 .0108\n"
        "39990 1.956!1 .00913\n"
        "next: history gpt -k val/loss --from 19970 --to 20960\n"
    )


def test_numbers_are_those_of_the_points(noisy, ask):
    found = json.loads(ask(ShowStability(window=50, samples=7), noisy, form="json"))["metrics"]["val/loss"]
    values = np.array([row.values["val/loss"] for row in noisy.runs[0].history.all_rows])
    assert (found["points"], found["nonfinite"], found["window"], found["windows"]) == (4000, 3, 50, 3951)
    assert [row["to"] for row in found["rolling"]][-1] == 39990
    assert len(found["rolling"]) == 7
    for row in (*found["rolling"], found["steadiest"], found["wildest"]):
        part = values[row["from"] // 10 : row["to"] // 10 + 1]
        assert len(part) == row["n"] == 50
        assert row["nonfinite"] == np.isnan(part).sum()
        assert row["mean"] == pytest.approx(np.nanmean(part), rel=1e-12)
        assert row["std"] == pytest.approx(np.nanstd(part), rel=1e-9)
    every = [np.nanstd(values[at : at + 50]) for at in range(3951)]
    assert found["wildest"]["std"] == pytest.approx(max(every), rel=1e-9)
    assert found["steadiest"]["std"] == pytest.approx(min(every), rel=1e-9)
    assert max(row["std_max"] for row in found["rolling"]) == found["wildest"]["std"]
    assert found["noise"] == pytest.approx(0.01, rel=0.1)
    assert found["relative_noise"] == pytest.approx(found["noise"] / found["level"])
    for part in ("whole", "end"):
        assert found[part]["low"] <= -1.2e-6 <= found[part]["high"]


def test_csv_holds_every_window_that_was_asked_for(noisy, ask):
    lines = ask(ShowStability(samples=3), noisy, form="csv").splitlines()
    assert lines[0] == "key,from,to,n,nonfinite,mean,std,std_max"
    assert [line.split(",")[:5] for line in lines[1:]] == [
        ["val/loss", "12990", "13980", "100", "0"],
        ["val/loss", "25990", "26980", "100", "0"],
        ["val/loss", "39000", "39990", "100", "1"],
    ]
    assert len(ask(ShowStability(), noisy, form="csv").splitlines()) == 501


def test_a_window_is_a_quarter_of_a_short_curve_unless_it_is_said(run_of, project_of, ask):
    view = project_of(run_of([{"loss": 3 * 0.9**at} for at in range(40)]))
    widths = {
        asked: json.loads(ask(ShowStability(window=asked), view, form="json"))["metrics"]["loss"]["window"]
        for asked in (None, 7, 500)
    }
    assert widths == {None: 10, 7: 7, 500: 40}


def test_a_curve_may_rise_be_flat_or_too_short_to_tell(run_of, project_of, ask):
    rng = np.random.default_rng(4)
    noise = rng.normal(size=400)
    for slope, said in ((0.1, "rising .9"), (-0.1, "falling 1.0 per 10"), (0.0, "flat within noise (-")):
        text = ask(ShowStability(), project_of(run_of([{"x": slope * at + noise[at]} for at in range(400)])))
        assert f"at the end {said}" in text
    assert "at the end flat since step 30;" in ask(ShowStability(), project_of(run_of([{"x": 0.5}] * 42)))
    assert "too few points for a trend\n" in ask(ShowStability(), project_of(run_of([{"x": 0.5}] * 7)))


def test_curves_without_a_finite_value_have_no_numbers(run_of, project_of, ask):
    for rows in ([{"x": NAN}], [{"x": NAN}, {"x": math.inf}] * 20, [{"x": 1.5}]):
        found = json.loads(ask(ShowStability(), project_of(run_of(rows)), form="json"))["metrics"]["x"]
        assert found["steadiest"] is found["wildest"] is found["noise"] is found["end"] is None
        assert found["rolling"][-1]["std"] is None
        assert ask(ShowStability(), project_of(run_of(rows)), dress="human")


def test_many_metrics_are_a_line_each(run_of, project_of, ask):
    rows = [{f"m{n}": 5.0 - 0.25 * n * at for n in range(4)} for at in range(40)]
    rows[7]["m3"] = NAN
    view = project_of(run_of(rows, name="gpt"))
    assert ask(ShowStability(keys=("m*",)), view) == (
        "gpt 4 metrics, noise and trend at the end of each\n"
        "metric points noise of level trend per 10 steps 95% greatest std\n"
        "m0 40 0 0 flat 0 0~0 0@9\n"
        "m1 40 0 0 falling -2.5 -2.5~-2.5 .718@9\n"
        "m2 40 0 0 falling -5 -5~-5 1.44@9\n"
        "m3 40 0 0 falling -7.5 -7.5~-7.5 2.27@11\n"
    )
    assert ask(ShowStability(keys=("m*",)), view, budget=90).endswith("cut: 3 of 4 metrics; -k NAME shows one\n")


def test_a_run_without_numbers_and_an_unknown_metric_are_told(run_of, project_of, ask):
    view = project_of(run_of([{"text": "a"}], name="gpt"))
    assert ask(ShowStability(), view) == "gpt has logged no numbers\n"
    with pytest.raises(RunwiseError, match="no metric 'los'; nearest: loss") as caught:
        ask(ShowStability(keys=("los",)), project_of(run_of([{"loss": 1.0}], name="gpt")))
    assert (caught.value.kind, caught.value.hint) == (Kind.NOT_FOUND, "runwise keys gpt")
