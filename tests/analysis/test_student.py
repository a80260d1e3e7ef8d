"""Student's t and Fisher's F agree with published tables."""

import math
from fractions import Fraction

import pytest

from runwised.analysis.student import critical, incomplete_beta, two_sided, upper

# NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2: the t that one tail of .05, .025 and .005 lies above.
T_TABLE = {
    1: (6.314, 12.706, 63.657),
    2: (2.920, 4.303, 9.925),
    3: (2.353, 3.182, 5.841),
    5: (2.015, 2.571, 4.032),
    10: (1.812, 2.228, 3.169),
    30: (1.697, 2.042, 2.750),
    100: (1.660, 1.984, 2.626),
}
# The same, 1.3.6.7.3: the F that .05 lies above, by degrees of freedom between and within.
F_TABLE = {(1, 1): 161.448, (1, 10): 4.965, (2, 3): 9.552, (3, 20): 3.098, (5, 5): 5.050, (10, 100): 1.927}


@pytest.mark.parametrize("df", T_TABLE)
def test_critical_values_are_those_of_the_table(df):
    assert [round(critical(2 * tail, df), 3) for tail in (0.05, 0.025, 0.005)] == list(T_TABLE[df])


@pytest.mark.parametrize(("between", "within"), F_TABLE)
def test_tails_of_f_are_those_of_the_table(between, within):
    least, most = (upper(F_TABLE[between, within] + rounding, between, within) for rounding in (5e-4, -5e-4))
    assert least < 0.05 < most < 0.0501


@pytest.mark.parametrize("t", [0.0, 1e-3, 0.1, 1.0, 12.7, 1e6])
def test_the_tail_is_exact_where_it_has_a_closed_form(t):
    assert two_sided(t, 1) == pytest.approx(1 - 2 / math.pi * math.atan(t), rel=1e-9, abs=1e-15)
    assert two_sided(t, 2) == pytest.approx(2 / (t * t + 2 + t * math.sqrt(t * t + 2)), rel=1e-9)


@pytest.mark.parametrize(("a", "b"), [(1, 1), (2, 3), (7, 2), (12, 30)])
@pytest.mark.parametrize("x", [Fraction(1, 50), Fraction(1, 3), Fraction(1, 2), Fraction(9, 10)])
def test_the_incomplete_beta_function_is_a_sum_of_binomials(a, b, x):
    n = a + b - 1
    exact = sum(math.comb(n, k) * x**k * (1 - x) ** (n - k) for k in range(a, n + 1))
    assert incomplete_beta(a, b, float(x)) == pytest.approx(float(exact), rel=1e-12)


@pytest.mark.parametrize("df", [1, 1.5, 2.7, 10, 998.5])
@pytest.mark.parametrize("alpha", [0.9, 0.4, 0.05, 1e-9, 1e-20])
def test_a_critical_value_is_exceeded_as_often_as_was_asked(df, alpha):
    assert two_sided(critical(alpha, df), df) == pytest.approx(alpha, rel=1e-9)
