"""Wall times in the spellings of training programs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwised.formats.wall_time import epoch_seconds, epoch_seconds_each


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1_750_000_000, 1.75e9),
        (1_750_000_000.25, 1_750_000_000.25),
        (1_750_000_000_250, 1_750_000_000.25),
        ("1750000000.5", 1_750_000_000.5),
        (" 1750000000500 ", 1_750_000_000.5),
        ("2025-06-15T12:00:00.125000+00:00", 1_749_988_800.125),
        ("2025-06-15T12:00:00Z", 1_749_988_800.0),
        ("2025-06-15 14:00:00+02:00", 1_749_988_800.0),
        ("2025-06-15 12:00:00,125", 1_749_988_800.125),
        ("2025-06-15T12:00:00", 1_749_988_800.0),
        ("2025-06-15", 1_749_945_600.0),
        (1e9, 1e9),
        (4e12, 4e9),
    ],
)
def test_times_are_epoch_seconds(value: Any, seconds: float) -> None:
    assert epoch_seconds(value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        0,
        12.5,
        999_999_999,
        4.1e9,
        9e11,
        5e12,
        -1.7e9,
        10**400,
        math.nan,
        math.inf,
        "12:00:00",
        "20250615",
        "2025-13-45",
        "2025-06-15T25:00",
        "1999-01-01",
        "0001-01-01T00:00:00+14:00",
        "nan",
        "soon",
        "",
        "9" * 100_000,
        True,
        None,
        [1_750_000_000],
    ],
    ids=lambda value: str(value)[:12],
)
def test_what_is_no_time_is_nan(value: Any) -> None:
    assert math.isnan(epoch_seconds(value))


@given(
    st.lists(
        st.floats()
        | st.floats(9e8, 5e9)
        | st.floats(9e11, 5e12)
        | st.sampled_from([1e9, 4e9, 1e12, 4e12, math.nextafter(4e12, 0), math.nextafter(1e12, 0)])
    )
)
def test_many_at_once_are_the_same_as_one_by_one(values: list[float]) -> None:
    one_by_one = np.array([epoch_seconds(value) for value in values], np.float64)
    assert epoch_seconds_each(np.array(values, np.float64)).tobytes() == one_by_one.tobytes()
