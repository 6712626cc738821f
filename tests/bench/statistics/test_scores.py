"""Intervals of ratios, quantiles, areas and macro scores, against slow replicas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import binom, norm
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score

from bench.statistics import NOTHING, auroc, macro, paired_ratio, quantile


def score(ratio: float, both: int, first: int, second: int) -> float:
    """Standardise p1 - ratio p2 by its variance at the likeliest table of that ratio, searched."""
    n = both + first + second  # images that neither counts change nothing

    def only_first(only_second: float) -> float:
        return (ratio - 1 + only_second) / ratio

    def unlikely(only_second: float) -> float:
        shares = [1 - only_second - only_first(only_second), only_first(only_second), only_second]
        counts = zip((both, first, second), shares, strict=True)
        return -sum(k * math.log(max(p, 1e-300)) for k, p in counts if k)

    least, most = max(0.0, 1 - ratio), 1 / (1 + ratio)
    found = minimize_scalar(
        unlikely, bounds=(least, most), method="bounded", options={"xatol": 1e-12}
    )
    spread = ratio * n * (only_first(found.x) + found.x)
    return ((both + first) - ratio * (both + second)) / math.sqrt(spread)


@pytest.mark.parametrize("counts", [(40, 5, 9), (12, 3, 3), (80, 1, 14), (5, 9, 2)])
def test_a_ratio_has_the_score_interval_of_a_slow_replica(counts: tuple[int, int, int]) -> None:
    found = paired_ratio(*counts, 100)
    z = norm.ppf(0.975)
    value = (counts[0] + counts[1]) / (counts[0] + counts[2])
    low = brentq(lambda ratio: score(ratio, *counts) - z, value / 9, value)
    high = brentq(lambda ratio: score(ratio, *counts) + z, value, 9 * value)
    assert found.value == value
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-4)
    turned = paired_ratio(counts[0], counts[2], counts[1], 100)
    assert (turned.low, turned.high) == pytest.approx((1 / found.high, 1 / found.low), rel=1e-9)


def test_a_ratio_without_an_image_that_differs_is_in_doubt_all_the_same() -> None:
    found = paired_ratio(30, 0, 0, 40)
    z2 = norm.ppf(0.975) ** 2
    assert (found.value, found.low, found.high) == pytest.approx(
        (1, 30 / (30 + z2), (30 + z2) / 30)
    )
    assert paired_ratio(0, 3, 0, 9) == NOTHING
    nothing = paired_ratio(0, 0, 12, 20)
    assert (nothing.value, nothing.low) == (0, 0)
    assert 0 < nothing.high < 1
    assert paired_ratio(3, 0, 1, 4).lacks == "n below 5: no interval"


@pytest.mark.parametrize(("n", "of"), [(6, 0.5), (17, 0.8), (40, 0.5), (200, 0.8)])
def test_a_quantile_lies_between_values_that_are_beyond_it_as_seldom_as_said(n, of) -> None:
    found = quantile(np.arange(1.0, n + 1)[::-1], of)
    assert found.value == math.ceil(of * n - 1e-9)
    assert binom.cdf(found.low - 1, n, of) <= 0.025 < binom.cdf(found.low, n, of)
    assert binom.sf(found.high - 1, n, of) <= 0.025 < binom.sf(found.high - 2, n, of)


def test_few_or_equal_values_have_a_quantile_and_no_interval() -> None:
    assert quantile([], 0.5) == NOTHING
    assert quantile(range(5), 0.5).lacks == "n below 6: no interval"
    assert quantile(range(16), 0.8).lacks == "n below 17: no interval"
    assert quantile([3.0] * 30, 0.5).lacks == "all alike: no interval"
    assert quantile([1.0] * 10 + [math.inf] * 12, 0.5).high == math.inf


def test_an_area_is_sklearn_s_and_never_without_doubt() -> None:
    generator = np.random.default_rng(1)
    attacked, clean = generator.integers(2, 9, size=12), generator.integers(0, 7, size=30)
    found = auroc(attacked, clean)
    expected = roc_auc_score([1] * 12 + [0] * 30, [*attacked, *clean])
    assert found.value == pytest.approx(expected)
    assert found.low < found.value < found.high
    turned = auroc(-attacked, -clean)
    assert (turned.low, turned.high) == pytest.approx((1 - found.high, 1 - found.low))
    sure = auroc(np.arange(20) + 100, np.arange(50))
    assert sure.value == 1
    assert 0.7 < sure.low < 0.99
    assert sure.high > 0.999
    assert auroc([1.0] * 4, [0.0] * 9).lacks == "n below 5: no interval"


def test_macro_scores_are_sklearn_s() -> None:
    labels, said = np.random.default_rng(2).integers(3, size=(2, 60))
    counts = np.zeros((3, 3))
    np.add.at(counts, (labels, said), 1)
    scores = {precision_score: (0, 1), recall_score: (1, 0), f1_score: (0.5, 0.5)}
    for replica, weights in scores.items():
        found = macro(counts, *weights)
        assert found.value == pytest.approx(replica(labels, said, average="macro"))
        assert found.low < found.value < found.high
        # of 60 images, about as uncertain as a share of as many
        assert 1.5 < (found.high - found.low) / math.sqrt(found.value * (1 - found.value) / 60) < 6
