"""Wall times as training programs write them, as epoch seconds."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any

import numpy as np

from runwised.formats.record import Floats

EARLIEST_SECONDS, LATEST_SECONDS = 1e9, 4e9
"""September 2001 to October 2096: what lies outside is a duration or a counter, no time of day."""

_DATE = re.compile(r"\d{4}-")


def epoch_seconds(value: Any) -> float:
    """Epoch seconds of a logged wall time; NaN when it is none.

    Taken are numbers of seconds (1e9..4e9) and of milliseconds (1e12..4e12), also as text, and ISO 8601 with or
    without a zone (without: UTC).
    """
    if type(value) is float or type(value) is int:
        return _seconds(value)
    if isinstance(value, str) and len(value) <= 64:
        return _from_text(value.strip())
    return math.nan


def epoch_seconds_each(values: Floats) -> Floats:
    """`epoch_seconds` of every number; shape (n,) to shape (n,)."""
    with np.errstate(invalid="ignore"):
        seconds = np.where(values >= EARLIEST_SECONDS * 1000, values / 1000, values)
        return np.where((seconds >= EARLIEST_SECONDS) & (seconds <= LATEST_SECONDS), seconds, np.nan)


def _seconds(value: float) -> float:
    if value >= EARLIEST_SECONDS * 1000:
        value = value / 1000 if value <= LATEST_SECONDS * 1000 else math.nan
    return float(value) if EARLIEST_SECONDS <= value <= LATEST_SECONDS else math.nan


def _from_text(text: str) -> float:
    try:
        if not _DATE.match(text):
            return _seconds(float(text))
        moment = datetime.fromisoformat(text)
        return _seconds((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        return math.nan
