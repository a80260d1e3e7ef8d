"""A curve at a glance: packed digits for an agent, a sparkline for a person."""

from __future__ import annotations

import math
from collections.abc import Sequence

from runwised.render.numbers import Dress

POINTS = 15
"""Points of a glance: three digits are one token."""

_BARS = "▁▂▃▄▅▆▇█"


def trend(values: Sequence[float], nonfinite: Sequence[int] | None = None, *, dress: Dress = "agent") -> str:
    """One character a value: ``0`` (or ``▁``) is the least of them, ``9`` (``█``) the greatest.

    A value that is not finite, or one that stands for some that are not (`nonfinite`, a count for each), is ``n``
    (``×``). Values that are all the same are ``flat``; fewer than three are nothing.
    """
    bad = [not math.isfinite(value) or bool(nonfinite and nonfinite[at]) for at, value in enumerate(values)]
    finite = [value for value in values if math.isfinite(value)]
    if len(values) < 3:
        return ""
    marks, levels = ("n", "0123456789") if dress == "agent" else ("×", _BARS)
    if not finite:
        return marks * len(values)
    low, high = min(finite), max(finite)
    if low == high and not any(bad):
        return "flat"
    return "".join(marks if bad[at] else _level(value, low, high, levels) for at, value in enumerate(values))


def _level(value: float, low: float, high: float, levels: str) -> str:
    # Halves: the difference of two finite numbers may overflow.
    span = high / 2 - low / 2
    share = (value / 2 - low / 2) / span if span else 0.0
    return levels[min(len(levels) - 1, int(share * len(levels)))]
