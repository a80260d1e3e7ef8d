"""Whether a number goes with another one, or with a category, by ranks: no scale and no shape is taken for granted."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import permutations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from runwised.analysis.curve import Floats
from runwised.analysis.student import two_sided, upper

Codes = NDArray[np.int64]

_COUNTED = 8
"""Up to so many values every order of them is tried: 40,320."""
_SAME = 1e-9
"""Sums that differ by less are the same, but for rounding."""


class Association(NamedTuple):
    """How closely two columns go together."""

    effect: float
    """Spearman's rho, -1 to 1; or the share of the ranks' variance that lies between the categories, 0 to 1."""
    p: float
    """How probable an effect as large is by chance alone."""


def ranks(values: Floats) -> Floats:
    """Ranks of values of shape (n,), from 1; equal ones share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[place].astype(np.float64)


def rho(x: Floats, y: Floats) -> float | None:
    """Spearman's rank correlation of two columns of shape (n,), -1 to 1; None where one has a single value."""
    one, other = _centred(x), _centred(y)
    size = math.sqrt(float(one @ one) * float(other @ other))
    return max(-1.0, min(1.0, float(one @ other) / size)) if size else None


def spearman(x: Floats, y: Floats) -> Association | None:
    """The same, n >= 3, and how probable it is.

    p is exact for up to 8 values, every order of them being as probable; else of t = rho sqrt((n - 2)/(1 - rho^2))
    with n - 2 degrees of freedom (M. G. Kendall, Rank Correlation Methods, 1970, section 5).
    """
    effect, n = rho(x, y), len(x)
    if effect is None:
        return None
    if n <= _COUNTED:
        one, other = _centred(x), _centred(y)
        sums = np.abs(other[_orders(n)] @ one)
        return Association(effect, float(np.mean(sums >= abs(float(one @ other)) - _SAME)))
    rest = 1 - effect * effect
    return Association(effect, two_sided(effect * math.sqrt((n - 2) / rest), n - 2) if rest > 0 else 0.0)


def between(codes: Codes, y: Floats) -> Association | None:
    """What categories (0 to k - 1, each at least once) say of a column, both of shape (n,), 1 < k < n; else None.

    The effect is Kruskal and Wallis's H over n - 1, eta squared of the ranks. p is exact for up to 8 values, else that
    of the analysis of variance of the ranks (W. J. Conover and R. L. Iman, The American Statistician 35, 1981).
    """
    other = _centred(y)
    n, k = len(y), int(codes.max()) + 1
    size = float(other @ other)
    if not 1 < k < n or size == 0:
        return None
    among = (codes[:, None] == np.arange(k)) / np.sqrt(np.bincount(codes))
    shared = float(np.sum((other @ among) ** 2))
    effect = min(1.0, shared / size)
    if n <= _COUNTED:
        return Association(effect, float(np.mean(np.sum((other[_orders(n)] @ among) ** 2, axis=1) >= shared - _SAME)))
    if effect == 1:
        return Association(effect, 0.0)
    return Association(effect, upper(effect / (k - 1) / ((1 - effect) / (n - k)), k - 1, n - k))


def _centred(values: Floats) -> Floats:
    return ranks(values) - (len(values) + 1) / 2


@lru_cache(_COUNTED)
def _orders(n: int) -> NDArray[np.int8]:
    """Every order of n places, of shape (n!, n)."""
    return np.array(list(permutations(range(n))), np.int8)
