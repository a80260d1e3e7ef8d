"""Rank correlations agree with published tables, and their p with counting every order."""

from itertools import permutations

import numpy as np
import pytest

from runwised.analysis.correlation import between, ranks, rho, spearman

RNG = np.random.default_rng(21)


def test_equal_values_share_the_mean_of_their_ranks():
    assert ranks(np.array([3.0, 1.0, 3.0, 2.0, 3.0])).tolist() == [4.0, 1.0, 4.0, 2.0, 4.0]


# J. H. Zar, Biostatistical Analysis, table B.20: the least rho that two tails of .05 reach.
@pytest.mark.parametrize(("n", "critical"), [(5, 1.000), (6, 0.886), (7, 0.786), (8, 0.738)])
def test_exact_p_reaches_the_level_where_the_table_says(n, critical):
    x = np.arange(n, dtype=float)
    each = {float(x @ order): order for order in permutations(range(n))}
    found = [spearman(x, np.array(order, float)) for order in each.values()]
    assert min(one.effect for one in found if one.effect > 0 and one.p <= 0.05) == pytest.approx(critical, abs=6e-4)


@pytest.mark.parametrize(("n", "critical"), [(10, 0.648), (20, 0.447), (30, 0.362)])
def test_beyond_eight_values_p_is_near_the_table(n, critical):
    x = np.arange(n, dtype=float)
    orders = [RNG.permutation(n).astype(float) for _ in range(5000)]
    nearest = min(orders, key=lambda order: abs(np.corrcoef(x, order)[0, 1] - critical))
    assert spearman(x, nearest).p == pytest.approx(0.05, abs=0.008)


@pytest.mark.parametrize("n", [3, 5, 7])
def test_p_is_the_share_of_orders_that_correlate_as_much(n):
    x, y = RNG.integers(0, 4, n).astype(float), RNG.normal(size=n)
    x[0], x[1] = 0, 9
    found = spearman(x, y)
    sizes = [abs(rho(x, np.array(order))) for order in permutations(y)]
    assert found.p == pytest.approx(np.mean(np.array(sizes) >= abs(found.effect) - 1e-9))


def test_p_of_categories_is_the_share_of_orders_that_part_as_much():
    codes, y = np.array([0, 0, 1, 1, 1, 2, 2]), np.array([1.0, 2.0, 3.0, 5.0, 4.0, 9.0, 9.0])
    found = between(codes, y)
    ranked = ranks(y)

    def parted(order):
        means = [np.mean(order[codes == code]) for code in range(3)]
        return sum(np.sum(codes == code) * (mean - 4) ** 2 for code, mean in enumerate(means))

    shares = [parted(np.array(order)) for order in permutations(ranked)]
    assert found.effect == pytest.approx(parted(ranked) / np.sum((ranked - 4) ** 2))
    assert found.p == pytest.approx(np.mean(np.array(shares) >= parted(ranked) - 1e-9))


def test_the_effect_of_categories_is_kruskal_and_walliss_h_over_n_minus_one():
    # M. Hollander and D. A. Wolfe, Nonparametric Statistical Methods, 1973, p. 116: H = 0.7714 of 14 values.
    groups = [[2.9, 3.0, 2.5, 2.6, 3.2], [3.8, 2.7, 4.0, 2.4], [2.8, 3.4, 3.7, 2.2, 2.0]]
    y = np.array([value for group in groups for value in group])
    codes = np.repeat(np.arange(3), [len(group) for group in groups])
    found = between(codes, y)
    assert found.effect * 13 == pytest.approx(0.7714, abs=1e-4)


def test_chance_alone_is_seldom_taken_for_more():
    codes = np.repeat(np.arange(4), 5)
    found = [between(codes, RNG.normal(size=20)).p for _ in range(2000)]
    assert 0.035 < np.mean(np.array(found) < 0.05) < 0.065


def test_columns_of_one_value_go_with_nothing():
    flat, rising = np.ones(9), np.arange(9, dtype=float)
    assert spearman(flat, rising) is None
    assert spearman(rising, flat) is None
    assert between(np.zeros(9, int), rising) is None
    assert between(np.arange(9), rising) is None
    assert between(np.repeat([0, 1, 2], 3), flat) is None


def test_the_order_of_nothing_but_ranks_counts():
    x = np.array([1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 1e300, 1e301, 1e302])
    assert spearman(x, -(x**0.25)) == (pytest.approx(-1.0), 0.0)
    assert between(np.repeat([0, 1], 5), np.arange(10.0)).effect == pytest.approx(0.7576, abs=1e-4)
