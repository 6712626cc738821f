"""The corrected t over folds, against its closed form and against scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import t as student
from scipy.stats import ttest_1samp

from bench.statistics import NOTHING, Difference, cross_validation, rate


def certain(value: float) -> Difference:
    """Return a difference that its images leave no doubt of."""
    return Difference(value, value, value, 100, 0.0, value)


@pytest.mark.parametrize("k", [2, 3, 5, 10])
@pytest.mark.parametrize("shift", [0.0, 0.02, -0.3])
def test_a_difference_is_tested_by_the_corrected_t(k: int, shift: float) -> None:
    """Nadeau and Bengio 2003: variance (1 / k + n2 / n1) s^2, k - 1 degrees of freedom."""
    reported = np.random.default_rng(k).normal(shift, 0.1, size=k)
    value = float(reported.mean())
    error = math.sqrt((1 / k + 1 / (k - 1)) * reported.var(ddof=1))
    found = cross_validation.compared(certain(value), reported)
    assert found.p_value == pytest.approx(2 * student.sf(abs(value) / error, k - 1), rel=1e-9)
    low, high = student.interval(0.95, k - 1, loc=value, scale=error)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9)
    assert found.lower_bound == pytest.approx(value - student.ppf(0.95, k - 1) * error, rel=1e-9)
    assert cross_validation.compared(certain(-value), -reported).p_value == found.p_value
    # the plain t test takes folds for more evidence than they are
    plain = ttest_1samp(reported, 0)
    assert found.p_value > plain.pvalue
    assert found.high - found.low > np.ptp(plain.confidence_interval())


@pytest.mark.parametrize("value", [-0.3, 0.05, 0.12, 0.2, 0.9])
def test_interval_and_p_value_say_the_same_also_where_folds_have_another_mean(value: float) -> None:
    """A score that is no mean over images is not the mean of its folds."""
    found = cross_validation.compared(certain(value), [0.05, 0.1, 0.15, 0.11])
    assert (found.p_value < 0.05) == (found.low > 0 or found.high < 0)


def test_a_difference_by_hand() -> None:
    # mean 1, s^2 = 1, variance (1/3 + 1/2) = 5/6: t = sqrt(6/5); with 2 degrees of freedom
    # p = 1 - t / sqrt(2 + t^2) = 1 - sqrt(1.2 / 3.2)
    found = cross_validation.compared(certain(1.0), [0.0, 1.0, 2.0])
    assert found.p_value == pytest.approx(1 - math.sqrt(1.2 / 3.2), rel=1e-12)


@pytest.mark.parametrize("reported", [[0.0, 0.0], [0.25, 0.25], [0.2501, 0.2499]])
def test_folds_that_agree_leave_what_the_images_say(reported: list[float]) -> None:
    found = Difference(0.25, 0.1, 0.4, 20, 0.03, 0.12)
    assert cross_validation.compared(found, reported) == found


@pytest.mark.parametrize("reported", [[0.7, 0.7, 0.7], [0.7, 0.70001, 0.69999]])
def test_a_figure_whose_folds_agree_keeps_the_interval_of_its_images(reported: list[float]) -> None:
    found = rate(70, 100)
    assert cross_validation.estimated(found, reported) == found
    assert cross_validation.estimated(NOTHING, reported) == NOTHING


def test_a_figure_has_the_interval_of_the_corrected_t() -> None:
    reported = [0.5, 0.7, 0.9]
    found = cross_validation.estimated(rate(70, 100), reported)
    error = math.sqrt((1 / 3 + 1 / 2) * np.var(reported, ddof=1))
    assert (found.low, found.high) == pytest.approx(student.interval(0.95, 2, 0.7, error), rel=1e-9)


def test_folds_that_cancel_show_nothing() -> None:
    assert cross_validation.compared(certain(0.0), [0.25, -0.25]).p_value == 1


def test_trainings_on_the_same_folds_are_no_more_folds() -> None:
    """Else five seeds on two folds would have nine degrees of freedom, and see two splits."""
    by_seed = [[0.1, 0.5, 0.3], [0.3, 0.1, 0.2]]
    mean = np.mean(by_seed, axis=0)
    flat = [number for seed in by_seed for number in seed]
    assert cross_validation.compared(certain(0.25), flat, 2) == cross_validation.compared(
        certain(0.25), mean
    )
    assert cross_validation.estimated(rate(25, 100), flat, 2) == cross_validation.estimated(
        rate(25, 100), mean
    )
    # seeds that repeat each other add nothing
    again = cross_validation.compared(certain(0.3), by_seed[0] * 5, 5)
    assert again.p_value == pytest.approx(
        cross_validation.compared(certain(0.3), by_seed[0]).p_value
    )
