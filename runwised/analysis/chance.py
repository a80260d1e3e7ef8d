"""How sure means of a few runs are: intervals, and whether two of them differ by more than chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from runwised.analysis.student import critical, two_sided

ALPHA = 0.05
"""What is less probable than that by chance alone is not held to be chance."""
FEWEST = 3
"""Values below which no group of them is compared with another: two say next to nothing of how far they spread."""
_MISSED = 0.4
"""Both tails of a test that misses one difference in five."""


class Sample(NamedTuple):
    """What some values come to."""

    n: int
    mean: float
    std: float | None
    """Sample standard deviation, divided by n - 1; None for one value."""


def sample(values: Sequence[float]) -> Sample:
    """Of one finite value or more; nothing overflows on the way."""
    _, power = math.frexp(max(abs(value) for value in values))
    scaled = [math.ldexp(value, -power) for value in values]
    mean = math.fsum(scaled) / len(scaled)
    half = 2.0 ** (power - 1)
    if len(scaled) < 2:
        return Sample(1, values[0], None)
    std = math.sqrt(math.fsum((value - mean) * (value - mean) for value in scaled) / (len(scaled) - 1))
    return Sample(len(scaled), mean * half * 2, std * half * 2)


def interval(found: Sample) -> tuple[float, float] | None:
    """Where the true mean lies with 95 % confidence, by Student's t; None for one value."""
    if found.std is None:
        return None
    reach = critical(ALPHA, found.n - 1) * found.std / math.sqrt(found.n)
    return found.mean - reach, found.mean + reach


class Difference(NamedTuple):
    """Two means, the first less the second."""

    difference: float
    error: float
    """Standard error of the difference."""
    df: float
    p: float
    """How probable a difference as large, either way, is by chance alone."""

    @property
    def interval(self) -> tuple[float, float]:
        """Where the true difference lies with 95 % confidence."""
        reach = critical(ALPHA, self.df) * self.error
        return self.difference - reach, self.difference + reach

    def detectable(self, tests: int) -> float:
        """About the least difference that is found four times in five, as one of so many tests.

        The sum of two critical values times the standard error: Lehr's rule with Student's t instead of the normal.
        """
        return (critical(ALPHA / tests, self.df) + critical(_MISSED, self.df)) * self.error


def welch(one: Sample, other: Sample) -> Difference | None:
    """Welch's t test, which does not take both to spread alike (B. L. Welch, Biometrika 34, 1947).

    None where there are fewer than `FEWEST` values on a side, or where neither side's values spread at all.
    """
    if min(one.n, other.n) < FEWEST or one.std is None or other.std is None:
        return None
    size = max(one.std, other.std)
    difference = one.mean - other.mean
    if not 0 < size < math.inf or not math.isfinite(difference):
        return None
    # In units of the greater spread: its squares neither overflow nor vanish.
    parts = [(side.std or 0) / size * ((side.std or 0) / size) / side.n for side in (one, other)]
    total = sum(parts)
    df = total * total / (parts[0] * parts[0] / (one.n - 1) + parts[1] * parts[1] / (other.n - 1))
    error = size * math.sqrt(total)
    return Difference(difference, error, df, two_sided(difference / error, df))


def holm(ps: Sequence[float], tests: int | None = None) -> list[float]:
    """Each p corrected for all of them being looked at (S. Holm, Scandinavian Journal of Statistics 6, 1979).

    `tests`: how many there are in all, where these were chosen from more; what is corrected is then too careful, if
    anything, as the others count as the greater ones.
    """
    most, corrected = 0.0, [0.0] * len(ps)
    left = len(ps) if tests is None else tests
    for at in sorted(range(len(ps)), key=lambda at: ps[at]):
        most = max(most, min(1.0, ps[at] * left))
        corrected[at] = most
        left -= 1
    return corrected
