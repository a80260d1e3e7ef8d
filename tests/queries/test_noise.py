"""A curve's own swing is told from its last quarter, whatever came before."""

import math

import pytest

from runwised.queries.noise import swing


def falling(floor, count=40, swings=0.0):
    return [{"loss": floor + 3 * 0.8**step + swings * (step % 2)} for step in range(count)]


def test_the_swing_is_half_of_what_the_last_quarter_goes_up_and_down(run_of):
    assert swing(run_of(falling(1.0, 4000, swings=0.2)), "loss") == pytest.approx(0.1)
    assert swing(run_of(falling(1.0, 40, swings=0.2)), "loss") == pytest.approx(0.1, abs=0.01)
    assert swing(run_of(falling(1.0, 4000)), "loss") == pytest.approx(0.0)
    assert swing(run_of([{"loss": 1.0}] * 16), "loss") is None
    assert swing(run_of([{"loss": math.nan}] * 400), "loss") is None
