from __future__ import annotations

import math

import numpy as np

from runwised.settings import AnomalyDetection


def test_norms_that_stay_at_twenty_times_their_level_explode_and_come_back(find, steady) -> None:
    norm = steady(1000)
    norm[600:700] *= 20
    (event,) = find({"grad_norm": norm})
    assert (event.kind, event.step, event.end_step) == ("gradient_explosion", 600, 700)
    assert 0.8 < event.normal < 1.2
    assert event.value == norm[600:700].max()


def test_the_onset_is_where_the_growth_began_not_where_it_was_large(find, steady) -> None:
    norm = steady(1000)
    norm[600:] *= np.minimum(1.2 ** np.arange(400), 1e4)
    (event,) = find({"grad_norm": norm})
    assert 600 <= event.step <= 604
    assert event.end_step is None


def test_a_few_rows_before_nan_are_an_explosion_too(find, steady) -> None:
    norm = steady(200)
    norm[150:156] *= 4.0 ** np.arange(1, 7)
    norm[156:] = math.nan
    assert [event.kind for event in find({"grad_norm": norm})] == ["gradient_explosion", "nonfinite"]


def test_norms_that_are_large_only_at_first_do_not_explode(find) -> None:
    assert find({"grad_norm": 0.3 + 50 * np.exp(-np.arange(1000) / 10)}) == []


def test_how_much_and_how_long_is_set_by_the_settings(find, steady) -> None:
    norm = steady(1000)
    norm[600:660] *= 20
    assert not any(
        event.kind == "gradient_explosion"
        for event in find({"grad_norm": norm}, AnomalyDetection(gradient_explode_multiplier=40))
        + find({"grad_norm": norm}, AnomalyDetection(gradient_sustained_steps=90))
    )


def test_norms_of_almost_nothing_have_vanished_until_they_are_back(find, steady) -> None:
    norm = steady(500)
    norm[200:300] = 1e-9
    (event,) = find({"grad_norm": norm})
    assert (event.kind, event.step, event.end_step, event.value) == ("gradient_vanishing", 200, 300, 1e-9)
    norm[200:300] = 1e-6
    assert find({"grad_norm": norm}) == []
    assert find({"grad_norm": norm}, AnomalyDetection(gradient_vanish_threshold=1e-5))


def test_nine_small_norms_have_not_vanished(find, steady) -> None:
    norm = steady(500)
    norm[200:207] = 0.0
    assert [event for event in find({"grad_norm": norm}) if event.kind == "gradient_vanishing"] == []


def test_a_norm_that_is_zero_from_the_first_row_on_has_vanished(find) -> None:
    (event,) = find({"grad_norm": np.zeros(50)})
    assert (event.kind, event.step, event.end_step, event.confidence) == ("gradient_vanishing", 0, None, 1.0)
