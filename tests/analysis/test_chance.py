"""Means of few runs come with intervals and tests that hold what they promise."""

import math
import statistics

import numpy as np
import pytest

from runwised.analysis.chance import FEWEST, holm, interval, sample, welch

# Student's sleep data (Biometrika 6, 1908): extra hours of sleep with one drug and with another.
ONE = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
OTHER = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


def test_the_sleep_data_come_out_as_published():
    found = welch(sample(ONE), sample(OTHER))
    assert found.difference == pytest.approx(-1.58)
    assert found.difference / found.error == pytest.approx(-1.8608, abs=1e-4)
    assert found.df == pytest.approx(17.776, abs=1e-3)
    assert found.p == pytest.approx(0.07939, abs=1e-5)
    assert found.interval == pytest.approx((-3.3654832, 0.2054832), abs=1e-7)


def test_mean_and_sample_standard_deviation_are_exact():
    assert sample(OTHER) == (10, pytest.approx(statistics.mean(OTHER)), pytest.approx(statistics.stdev(OTHER)))
    assert sample([2.5]) == (1, 2.5, None)
    assert sample([0.0, 0.0]) == (2, 0.0, 0.0)


@pytest.mark.parametrize("size", [1e300, 1e-300, 1.5e308])
def test_huge_and_tiny_values_neither_overflow_nor_vanish(size):
    found = sample([size, size, -size])
    assert found.mean == pytest.approx(size / 3)
    assert found.std / size == pytest.approx(math.sqrt(4 / 3))


def test_a_group_that_is_huge_beside_one_that_is_tiny_is_no_error():
    found = welch(sample([1e300, 2e300, 4e300]), sample([1e-300, 2e-300, 3e-300]))
    assert 0.05 < found.p < 1


def test_one_value_has_no_interval_and_two_have_a_wide_one():
    assert interval(sample([3.0])) is None
    assert interval(sample([1.0, 3.0])) == pytest.approx((2 - 12.7062, 2 + 12.7062), abs=1e-4)


def test_too_few_values_or_none_that_spread_are_not_compared():
    assert welch(sample([1.0, 2.0]), sample([8.0, 9.0, 10.0])) is None
    assert welch(sample([1.0] * 3), sample([2.0] * 3)) is None
    assert welch(sample([1.0] * 3), sample([2.0, 2.1, 2.2])).p < 0.01


def test_intervals_hold_the_true_mean_as_often_as_they_say():
    rng = np.random.default_rng(11)
    spans = [interval(sample(values.tolist())) for values in rng.normal(5, 2, (2000, 4))]
    assert 0.94 < sum(low < 5 < high for low, high in spans) / 2000 < 0.96


def test_chance_alone_is_seldom_taken_for_more():
    rng = np.random.default_rng(12)
    draws = zip(rng.normal(0, 1, (2000, FEWEST)), rng.normal(0, 3, (2000, 5)), strict=True)
    ps = [welch(sample(one.tolist()), sample(other.tolist())).p for one, other in draws]
    assert sum(p < 0.05 for p in ps) / 2000 < 0.06


def test_the_least_difference_to_be_found_is_found_four_times_in_five():
    rng = np.random.default_rng(13)
    draws = rng.normal(0, 1, (2000, 2, 8))
    away = np.median([welch(*map(sample, pair.tolist())).detectable(1) for pair in draws])
    ps = [welch(sample((pair[0] + away).tolist()), sample(pair[1].tolist())).p for pair in draws]
    assert 0.75 < sum(p < 0.05 for p in ps) / 2000 < 0.85


def test_holm_corrects_the_least_p_for_all_and_keeps_the_order():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def test_comparisons_chosen_from_more_are_corrected_for_all_of_them():
    assert holm([0.001, 0.01], 10) == pytest.approx([0.01, 0.09])
