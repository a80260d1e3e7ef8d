"""Student's t and Fisher's F: how probable a value as large is by chance alone, and which value is just as probable.

Both are the regularised incomplete beta function, here as its continued fraction: NIST Digital Library of
Mathematical Functions, 8.17.22, with the relations of t and F to it in Abramowitz and Stegun, 26.5.27 and 26.5.28.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import count
from statistics import NormalDist

_TINY = 1e-300
_EXACT = 1e-15
"""Relative change of the fraction below which it has converged."""
_CLOSE = 1e-7
"""The same of a critical value's last step: each is as small as the square of the one before."""


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b), for a, b > 0 and 0 <= x <= 1."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(b, a, 1 - x)
    logarithm = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(logarithm) / (a * _fraction(a, b, x))


def _fraction(a: float, b: float, x: float) -> float:
    """The continued fraction 1 + d1/(1 + d2/(1 + …)), from its head on (Lentz's method)."""
    value, head, tail = 1.0, 1.0, 0.0
    for at in count(1):
        m = at // 2
        if at % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        tail = 1 / (1 + term * tail or _TINY)
        head = 1 + term / head or _TINY
        value *= head * tail
        if abs(head * tail - 1) < _EXACT:
            break
    return value


def two_sided(t: float, df: float) -> float:
    """The probability of a |t| as large, with `df` degrees of freedom (they need not be whole)."""
    return incomplete_beta(df / 2, 0.5, df / (df + t * t))


def upper(f: float, between: float, within: float) -> float:
    """The probability of an F as large, with these degrees of freedom."""
    return incomplete_beta(within / 2, between / 2, within / (within + between * f))


@lru_cache(10_000)
def critical(alpha: float, df: float) -> float:
    """The t > 0 that is exceeded, on either side, with probability `alpha`.

    Newton's method, from the first terms of the expansion in Abramowitz and Stegun, 26.7.5: the tail is convex, so
    that from the second step on it comes closer from below.
    """
    z = -NormalDist().inv_cdf(alpha / 2)
    t = z + (z**3 + z) / (4 * df) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * df * df)
    scale = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - 0.5 * math.log(df * math.pi)
    while True:
        density = math.exp(scale - (df + 1) / 2 * math.log1p(t * t / df))
        step = (two_sided(t, df) - alpha) / (2 * density)
        t += step
        if abs(step) <= _CLOSE * t:
            return t
