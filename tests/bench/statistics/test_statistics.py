"""Intervals and tests against scipy, and against replicas that take their time."""

from __future__ import annotations

import math
import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, multinomial, norm

from bench import statistics
from bench.statistics import (
    NOTHING,
    Estimate,
    PValue,
    at_least,
    holm,
    mcnemar,
    mean,
    mean_difference,
    paired_shares,
    rate,
    sign_flips,
    wilson_variance,
)

cheap = settings(derandomize=True, database=None, deadline=None)

# Rates


@pytest.mark.parametrize("n", [1, 2, 3, 5, 10, 32, 99, 100, 1000, 10_007])
def test_rates_have_the_wilson_interval_of_scipy(n: int) -> None:
    for k in sorted({0, 1, n // 7, n // 3, n // 2, n - 1, n}):
        found = rate(k, n)
        oracle = binomtest(k, n).proportion_ci(0.95, method="wilson")
        assert found.value == k / n
        assert found.n == n
        assert found.low == pytest.approx(oracle.low, abs=1e-12)
        assert found.high == pytest.approx(oracle.high, abs=1e-12)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
@cheap
def test_the_interval_holds_the_rate_and_stays_in_range(counts: tuple[int, int]) -> None:
    k, n = counts
    found = rate(k, n)
    assert 0 <= found.low <= found.value <= found.high <= 1
    mirrored = rate(n - k, n)
    assert mirrored.low == pytest.approx(1 - found.high, abs=1e-12)
    assert mirrored.high == pytest.approx(1 - found.low, abs=1e-12)


def test_an_empty_denominator_has_no_rate() -> None:
    assert rate(0, 0) == NOTHING == Estimate(None, None, None, 0)


@pytest.mark.parametrize(("k", "n"), [(-1, 3), (4, 3), (1, 0), (0, -1)])
def test_impossible_counts_are_refused(k: int, n: int) -> None:
    with pytest.raises(ValueError, match=f"{k} hits of {n}"):
        rate(k, n)


@pytest.mark.parametrize(("k", "n"), [(0, 5), (5, 5), (1, 5), (50, 100), (99, 100), (100, 100)])
def test_the_variance_of_a_rate_is_that_of_the_longer_arm_of_its_interval(k: int, n: int) -> None:
    """So that a symmetric interval about the rate reaches as far as Wilson's, at 0 and n too."""
    z, p = norm.ppf(0.975), k / n
    oracle = binomtest(k, n).proportion_ci(0.95, method="wilson")
    expected = (max(p - oracle.low, oracle.high - p) / z) ** 2
    assert wilson_variance(k, n) == pytest.approx(expected, rel=1e-9)
    assert wilson_variance(k, n) > 0


def test_the_variance_of_many_is_the_usual_one() -> None:
    """Far from both ends p (1 - p) / n; the arms differ by z / sqrt(n) of themselves, here 2 %."""
    assert wilson_variance(3000, 10_000) == pytest.approx(0.3 * 0.7 / 10_000, rel=0.02)
    assert wilson_variance(2999.7, 10_000) == wilson_variance(3000, 10_000)


def test_twenty_thousand_discordant_pairs_are_quick() -> None:
    first = np.arange(20_000) % 3 > 0
    mcnemar(first, ~first)  # imports scipy
    start = time.perf_counter()
    found = mcnemar(first, ~first)
    assert time.perf_counter() - start < 0.1
    assert found.p_value == pytest.approx(binomtest(found.only_second, 20_000).pvalue, rel=1e-6)


def test_no_p_value_is_zero_however_many_images_disagree() -> None:
    """2 / 2**1200 is smaller than any float."""
    first = [True] * 1200
    assert mcnemar(first, [False] * 1200).p_value > 0


# Means


def test_a_mean_of_zeros_and_ones_has_the_exact_interval_of_a_share() -> None:
    """Gaffke's is Clopper and Pearson's there; that of 20,000 draws errs by 1 % of its width."""
    for hits, n in [(0, 5), (1, 8), (9, 20), (30, 30)]:
        found = mean([1.0] * hits + [0.0] * (n - hits), (0, 1), resamples=20_000)
        oracle = binomtest(hits, n).proportion_ci(0.95, method="exact")
        assert (found.value, found.n) == (pytest.approx(hits / n), n)
        assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high), abs=0.01)


def test_an_interval_is_that_of_a_slow_replica() -> None:
    """Spacings of sorted uniform numbers, each side with one value more, at its limit."""
    values = [0.1, 0.35, 0.4, 0.8, 0.9, 0.9]
    generator = np.random.default_rng(3)
    lows, highs = [], []
    for _ in range(20_000):
        shares = np.diff([0, *np.sort(generator.random(6)), 1])
        lows.append(sum(s * v for s, v in zip(shares, [*values, 0.0], strict=True)))
        highs.append(sum(s * v for s, v in zip(shares, [*values, 1.0], strict=True)))
    found = mean(values, (0, 1), resamples=20_000)
    assert found.low == pytest.approx(np.quantile(lows, 0.025), abs=0.01)
    assert found.high == pytest.approx(np.quantile(highs, 0.975), abs=0.01)


def test_equal_values_give_equal_intervals_and_seeds_matter() -> None:
    values = np.random.default_rng(1).normal(size=40)
    assert mean(values, seed=4) == mean(list(values), seed=4)
    assert mean(values, seed=4).low != mean(values, seed=5).low


@pytest.mark.parametrize("limits", [(None, None), (0, None), (0, 9)])
def test_few_values_have_a_mean_and_no_interval(limits: statistics.Limits) -> None:
    assert mean([], limits) == NOTHING
    for n in range(1, 5):
        values = [2.5, 1.0, 3.0, 0.5][:n]
        expected = Estimate(np.mean(values), None, None, n, lacks="n below 5: no interval")
        assert mean(values, limits) == expected
    assert mean([2.5, 1.0, 3.0, 0.5, 4.0], limits).low is not None


@pytest.mark.parametrize("slack", [0.0, 1e-8])
def test_values_that_are_all_alike_never_have_an_interval_without_width(slack: float) -> None:
    values = 2.5 + slack * np.arange(9)
    expected = Estimate(np.mean(values), None, None, 9, lacks="all alike: no interval")
    assert mean(values) == mean(values, (0, None)) == expected
    # between known limits, others may still come
    found = mean([1.0] * 9, (0, 1))
    assert (found.value, found.high) == (1, 1)
    assert found.low == pytest.approx(0.025 ** (1 / 9), abs=0.03)


def test_a_limit_that_a_value_exceeds_is_not_believed() -> None:
    values = [-0.5, 0.2, 0.4, 0.9, 1.5, 0.3]
    assert mean(values, (0, 1)) == mean(values)
    assert mean([0.1, 0.9, 0.2, 0.8, 0.5], (0, None)).low >= 0 > mean([0.1, 0.9, 0.2, 0.8, 0.5]).low


@given(st.lists(st.floats(-1e6, 1e6), min_size=5, max_size=20))
@settings(cheap, max_examples=30)
def test_an_interval_holds_its_mean_and_turns_with_the_values(values: list[float]) -> None:
    found, turned = (mean(sign * np.array(values), resamples=50) for sign in (1, -1))
    slack = 1e-9 * max(map(abs, values))  # summing rounds
    if found.low is None:
        assert found.lacks == turned.lacks == "all alike: no interval"
        return
    assert found.low <= found.value <= found.high
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low), abs=slack)


# Differences of means


def test_interval_and_p_value_of_a_difference_say_the_same() -> None:
    generator = np.random.default_rng(4)
    agreed = 0
    for shift in np.linspace(-1, 1, 41):
        found = mean_difference(generator.normal(shift, 1, size=30))
        agreed += (found.p_value < 0.05) == (found.low > 0 or found.high < 0)
        assert found.lower_bound >= found.low
        assert found.low <= found.value <= found.high
    assert agreed >= 40  # quantiles lie between draws


def test_a_difference_of_few_or_of_equal_values_is_tested_by_signs() -> None:
    found = mean_difference([0.5] * 8)
    assert (found.low, found.high, found.lacks) == (None, None, "all alike: no interval")
    assert found.p_value == pytest.approx(2 / 2**8, rel=0.5)  # McNemar's
    assert mean_difference([0.0] * 8).p_value == 1
    assert mean_difference([0.1, 0.2]).p_value >= 0.4
    sure = mean_difference(np.random.default_rng(1).normal(9, 1, size=30))
    assert isinstance(sure.p_value, PValue)
    assert sure.p_value == pytest.approx(2 / 2001)


# Paired tests


def outcomes(both: int, only_first: int, only_second: int, neither: int):
    first = [True] * (both + only_first) + [False] * (only_second + neither)
    second = [True] * both + [False] * only_first + [True] * only_second + [False] * neither
    return first, second


@pytest.mark.parametrize(
    ("only_first", "only_second"),
    [(0, 1), (1, 1), (0, 5), (5, 0), (3, 9), (12, 12), (40, 60), (1, 99), (700, 800), (2000, 1000)],
)
def test_mcnemar_is_the_binomial_test_on_discordant_pairs(only_first: int, only_second) -> None:
    found = mcnemar(*outcomes(4, only_first, only_second, 3))
    oracle = binomtest(only_first, only_first + only_second).pvalue
    assert (found.only_first, found.only_second) == (only_first, only_second)
    assert found.n == 4 + only_first + only_second + 3
    assert found.p_value == pytest.approx(oracle, rel=1e-9, abs=1e-300)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60), st.randoms())
@cheap
def test_mcnemar_heeds_neither_order_nor_agreement(pairs: list[tuple[bool, bool]], random) -> None:
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    found = mcnemar(first, second)
    swapped = mcnemar(second, first)
    assert (swapped.only_first, swapped.only_second) == (found.only_second, found.only_first)
    assert swapped.p_value == found.p_value
    assert mcnemar([*first, True], [*second, True]).p_value == found.p_value
    mixed = random.sample(pairs, len(pairs))
    assert mcnemar([a for a, _ in mixed], [b for _, b in mixed]) == found
    assert 0 <= found.p_value <= 1


@pytest.mark.parametrize(("only_first", "only_second"), [(4, 0), (5, 0), (8, 2), (3, 3), (1, 12)])
def test_flipped_signs_of_whole_images_are_mcnemar_s_test(only_first: int, only_second: int):
    contributions = [0.01] * only_first + [-0.01] * only_second + [0.0] * 30
    exact = mcnemar(*outcomes(2, only_first, only_second, 30)).p_value
    # three standard errors of a share of 9999 draws
    slack = 3 * math.sqrt(exact * (1 - exact) / 9999) + 1e-4
    assert abs(sign_flips(contributions) - exact) <= slack


def test_flipped_signs_say_nothing_of_nothing_and_never_that_it_cannot_be() -> None:
    assert sign_flips([]) == sign_flips([0.0] * 9) == 1.0
    assert sign_flips([1.0] * 200, flips=99) == 0.01
    assert sign_flips([0.3, -0.2, 0.5]) == sign_flips([-0.3, 0.2, -0.5])


@pytest.mark.parametrize("n", [40, 100])
@pytest.mark.parametrize(("loses", "wins"), [(0.0, 0.0), (0.01, 0.0), (0.05, 0.01), (0.1, 0.1)])
def test_paired_shares_cover_the_truth_as_often_as_they_say(
    n: int, loses: float, wins: float
) -> None:
    """Exactly, over all outcomes: a bound may be cautious, and hardly ever bold."""
    covered = below = 0.0
    for lost in range(n // 2):
        for won in range(n // 2):
            chance = multinomial.pmf(
                [lost, won, n - lost - won], n, [loses, wins, 1 - loses - wins]
            )
            if chance < 1e-9:
                continue
            found = paired_shares(won, lost, n)
            covered += chance * (found.low <= wins - loses <= found.high)
            below += chance * (found.lower_bound <= wins - loses)
    assert covered > 0.93
    assert below > 0.93


def test_paired_shares_by_hand() -> None:
    found = paired_shares(won=3, lost=13, n=98)
    assert found.value == pytest.approx(-10 / 98)
    spread = 1.959964 * math.sqrt((0.04 + 0.14 - 0.01) / 100)
    assert (found.low, found.high) == pytest.approx((-0.1 - spread, -0.1 + spread))
    assert found.p_value == pytest.approx(binomtest(3, 16).pvalue)


def test_without_discordant_pairs_nothing_differs() -> None:
    assert mcnemar([True, False], [True, False]).p_value == 1
    assert mcnemar([], []).p_value == 1


def test_outcomes_that_are_not_paired_are_refused() -> None:
    with pytest.raises(ValueError, match="equal length"):
        mcnemar([True], [True, False])
    with pytest.raises(ValueError, match="equal length"):
        mcnemar([[True]], [[True]])


@pytest.mark.parametrize(
    ("only_first", "only_second"), [(0, 0), (7, 0), (0, 7), (12, 5), (600, 590)]
)
def test_one_sided_mcnemar_asks_for_more_of_the_first(only_first: int, only_second: int) -> None:
    found = mcnemar(*outcomes(4, only_first, only_second, 3), one_sided=True)
    n = only_first + only_second
    oracle = binomtest(only_first, n, alternative="greater").pvalue if n else 1
    assert found.p_value == pytest.approx(oracle, rel=1e-9)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.3, 0.5, 0.99])
@pytest.mark.parametrize("n", [1, 12, 32, 100, 5000])
def test_tails_are_those_of_the_binomial_test(n: int, share: float) -> None:
    for hits in sorted({0, 1, n // 20, n // 3, n // 2, n - 1, n}):
        oracle = binomtest(hits, n, share, alternative="greater").pvalue
        assert at_least(hits, n, share) == pytest.approx(oracle, rel=1e-8, abs=1e-300)
        fewer = binomtest(hits, n, share, alternative="less").pvalue
        assert at_least(n - hits, n, 1 - share) == pytest.approx(fewer, rel=1e-8, abs=1e-300)


@pytest.mark.parametrize("n", [7, 60, 400])
@pytest.mark.parametrize("share", [Fraction(1, 1000), Fraction(1, 20), Fraction(1, 2)])
def test_tails_are_exact_sums_however_small(n: int, share: Fraction) -> None:
    """Against sums of fractions, which round nothing: to twelve digits, down to 1e-290."""
    ways = [math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]
    for hits in range(1, n + 1, max(1, n // 12)):
        exact = sum(ways[hits:])
        found = at_least(hits, n, float(share))
        if exact > Fraction(1, 10**290):
            assert found == pytest.approx(float(exact), rel=1e-12 * n)
        assert 0 < found <= 1


def test_tails_at_their_ends() -> None:
    assert at_least(0, 0, 0.3) == at_least(0, 5, 0.0) == at_least(5, 5, 1.0) == 1
    assert 0 < at_least(1, 5, 0.0) < 1e-300
    with pytest.raises(ValueError, match="6 hits of 5"):
        at_least(6, 5, 0.5)


# Families


def slow_holm(p_values: list[float]) -> list[float]:
    """Adjust each p-value by the definition: the largest of those before it, one at a time."""
    m = len(p_values)
    adjusted = []
    for i, p in enumerate(p_values):
        before = [(other, j) for j, other in enumerate(p_values) if (other, j) < (p, i) or (j == i)]
        steps = [min(1.0, (m - rank) * q) for rank, (q, _) in enumerate(sorted(before))]
        adjusted.append(max(steps))
    return adjusted


@given(st.lists(st.sampled_from([0.0, 0.001, 0.01, 0.02, 0.04, 0.5, 1.0]), max_size=12))
@cheap
def test_holm_agrees_with_a_slow_replica(p_values: list[float]) -> None:
    assert holm(p_values) == slow_holm(p_values)


def test_holm_by_hand() -> None:
    # sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1: 0.04, 0.06, 0.06, then never less: 0.06
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])


@given(st.lists(st.floats(0, 1), max_size=12))
@cheap
def test_holm_never_helps_and_keeps_the_ranks(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(a >= p for a, p in zip(adjusted, p_values, strict=True))
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    assert [adjusted[i] for i in order] == sorted(adjusted)
    assert all(a <= 1 for a in adjusted)
