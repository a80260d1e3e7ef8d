import math

import numpy as np
import pytest

from runwised.analysis.parting import parting
from runwised.formats.record import Column, Rows
from runwised.index.run_index import RunIndex


@pytest.fixture
def curve():
    """``curve(values, every=1, first=0)``: a table with a metric ``loss``, logged at every so many steps."""

    def build(values, every=1, first=0):
        index = RunIndex()
        index.start_source("log")
        n = len(values)
        steps = first + np.arange(n, dtype=np.int64) * every
        column = Column("loss", None, np.asarray(values, float))
        index.fold(Rows("history", np.arange(n), steps, np.arange(n) * 1.0, (column,)))
        return index.history

    return build


def falling(steps, seed, noise=0.05):
    return 2 + 2 * np.exp(-steps / 3000) + noise * np.random.default_rng(seed).normal(size=len(steps))


STEPS = np.arange(10_000)


def test_curves_part_where_the_difference_leaves_the_noise_for_good(curve):
    other = falling(STEPS, 2) - np.where(STEPS >= 6000, 0.2, 0)
    found = parting(curve(falling(STEPS, 1)), curve(other), "loss")
    assert found.within == 157
    ((step, until, gap),) = found.spans
    assert abs(step - 6000) <= found.within
    assert until is None
    assert gap == pytest.approx(-0.2, abs=0.01)


@pytest.mark.parametrize("points", [24, 100, 10_000])
def test_two_seeds_of_one_curve_keep_together(points, curve):
    steps = np.linspace(0, 10_000, points).astype(int)
    pairs = [(falling(steps, 2 * seed), falling(steps, 2 * seed + 1)) for seed in range(50)]
    parted = [parting(curve(one), curve(other), "loss").spans for one, other in pairs]
    assert sum(map(bool, parted)) == 0


def test_one_spike_is_no_parting(curve):
    other = falling(STEPS, 2)
    other[5000] = 1e6
    assert parting(curve(falling(STEPS, 1)), curve(other), "loss").spans == []


def test_curves_that_come_together_again_say_where(curve):
    other = falling(STEPS, 2) + np.where((STEPS >= 2000) & (STEPS < 5000), 0.3, 0)
    ((step, until, _),) = parting(curve(falling(STEPS, 1)), curve(other), "loss").spans
    assert abs(step - 2000) <= 157
    assert abs(until - 5000) <= 157


def test_curves_that_change_sides_have_two_spans(curve):
    other = falling(STEPS, 2) + np.where(STEPS < 5000, 0.3, -0.3)
    first, second = parting(curve(falling(STEPS, 1)), curve(other), "loss").spans
    assert (first.step, first.gap > 0, second.gap < 0, second.until) == (0, True, True, None)
    assert first.until == second.step


def test_what_comes_after_the_last_step_that_counts_is_not_seen(curve):
    one, other = falling(STEPS, 1), falling(STEPS, 2) - np.where(STEPS >= 6000, 0.2, 0)
    before, behind = (parting(curve(one), curve(other), "loss", step) for step in (5999, 9000))
    assert before == parting(curve(one[:6000]), curve(other[:6000]), "loss")
    assert (before.spans, before.last_step) == ([], 5999)
    assert abs(behind.spans[0].step - 6000) <= behind.within
    assert parting(curve(one), curve(other), "loss", 20_000) == parting(curve(one), curve(other), "loss")
    assert parting(curve(one), curve(other), "loss", 0) is None


def test_curves_logged_at_other_steps_are_compared_at_the_same_ones(curve):
    steep = 100 * np.exp(-STEPS / 2000)
    one, other = curve(steep[::7], every=7), curve(steep[3::50], every=50, first=3)
    spans = parting(one, other, "loss").spans
    assert [span for span in spans if abs(span.gap) > 0.5] == []
    lower = curve(steep[3::50] - 20, every=50, first=3)
    (span,) = parting(one, lower, "loss").spans
    assert span.gap == pytest.approx(-20, abs=0.5)


def test_a_curve_that_is_no_number_any_more_parts_there(curve):
    broken = np.where(STEPS < 7000, falling(STEPS, 1), math.nan)
    ((step, until, gap),) = parting(curve(falling(STEPS, 1)), curve(broken), "loss").spans
    assert abs(step - 7000) <= 157
    assert until is None
    assert math.isnan(gap)


def test_the_same_curve_never_parts_and_the_slightest_lasting_difference_without_noise_does(curve):
    smooth = 2 + np.exp(-STEPS / 3000)
    assert parting(curve(smooth), curve(smooth), "loss").spans == []
    assert parting(curve(smooth), curve(smooth * 1.01), "loss").spans[0].step == 0


@pytest.mark.parametrize("points", [1, 2, 15])
def test_few_points_say_nothing(points, curve):
    assert parting(curve(np.arange(points)), curve(np.arange(1000) + 50.0), "loss") is None


def test_runs_without_a_common_step_say_nothing(curve):
    assert parting(curve(np.zeros(100)), curve(np.ones(100), first=500), "loss") is None


def test_huge_values_do_not_overflow(curve):
    found = parting(curve(np.full(100, 1e308)), curve(np.full(100, -1e308)), "loss")
    assert [span.until for span in found.spans] == [None]
