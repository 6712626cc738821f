"""Figures as functions of the images' weights: resampled, and compared image by image.

Their variance over images is that of the Bayesian bootstrap, and Student's t makes an interval of
it, or a test: for one training, and with the variance over trainings for several.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from bench.statistics.draws import Statistic, draws, figures, variance
from bench.statistics.intervals import (
    ALIKE,
    CONFIDENCE,
    NOTHING,
    RESAMPLES,
    Difference,
    Estimate,
    below,
    quantile_of_t,
)
from bench.statistics.p_values import at_least_drawn

LEAST_IMAGES = 5
"""A mean over fewer images has no interval, and no test but one that says nothing."""
LEAST_OF_SCORES = 20
"""Nor has a figure of fewer that is no mean over images: its variance would be too small."""


def resampled(
    statistics: Sequence[Statistic],
    images: int,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    least_variance: float = 0.0,
    singles: Sequence[Estimate] = (),
) -> Estimate:
    """Estimate the mean over trainings of a figure, with its interval.

    Images and trainings are both drawn from more that there might have been; their variances add,
    and Student's t with Satterthwaite's degrees of freedom accounts for how few there are.

    Args:
        statistics: for each training, the figure as a function of the images' weights.
        images: how many there are.
        seed: of the resampling: equal figures give an equal interval.
        resamples: how many bootstrap samples.
        least_variance: the variance over images is taken to be at least this: a sample without
            a single error has none of its own.
        singles: the estimate of each training by itself, where there is one. The interval reaches
            at least as far as theirs do on average: images are the same for all trainings. Where
            one has none, neither has the mean.

    Source: Satterthwaite 1946, "An approximate distribution of estimates of variance components".

    """
    found = figures(statistics, images)
    if images == 0 or np.isnan(found).any():
        return NOTHING
    if len(found) == 1 and not singles and images < LEAST_OF_SCORES:
        return Estimate(float(found[0]), None, None, images, lacks=below(LEAST_OF_SCORES))
    drawn = draws(statistics, images, seed, resamples)
    if not np.isfinite(found).all() or np.isinf(drawn).any():
        return Estimate(float(found.mean()), None, None, images, len(found))
    of_images = max(least_variance, float(variance(drawn, images)))
    return over_trainings(found, of_images, images, singles)


def over_trainings(
    found: NDArray[np.float64], of_images: float, images: int, singles: Sequence[Estimate] = ()
) -> Estimate:
    """Estimate a mean over trainings from the figure of each and the variance over images.

    Args:
        found: one figure a training.
        of_images: the variance of their mean over images.
        images: how many there are.
        singles: as of :func:`resampled`.

    """
    value, count = float(found.mean()), len(found)
    reason = next((each.lacks for each in singles if each.low is None), "")
    if images < LEAST_IMAGES or any(each.low is None for each in singles):
        return Estimate(value, None, None, images, count, reason or below(LEAST_IMAGES))
    spread = _Spread.of(of_images, images, found)
    if not spread.error and not singles:
        return Estimate(value, None, None, images, count, ALIKE)
    reach = spread.quantile(0.5 + CONFIDENCE / 2) * spread.error
    down, up = _reaches(singles)
    return Estimate(value, value - max(reach, down), value + max(reach, up), images, count)


def _reaches(singles: Sequence[Estimate]) -> tuple[float, float]:
    """Return how far intervals reach below and above their estimates, on average."""
    arms = [
        (each.value - each.low, each.high - each.value)
        for each in singles
        if each.value is not None and each.low is not None and each.high is not None
    ]
    if not arms:
        return 0.0, 0.0
    down, up = np.mean(arms, axis=0)
    return float(down), float(up)


def share(
    part: NDArray[np.float64], whole: NDArray[np.float64], undefined: float = 0.0
) -> NDArray[np.float64]:
    """Divide; where the whole is nothing, the share is ``undefined``."""
    return np.divide(part, whole, out=np.full_like(whole, undefined), where=whole > 0)


@dataclass(frozen=True, slots=True)
class _Spread:
    """The standard error of a mean figure, and how many degrees of freedom it rests on."""

    error: float
    freedom: float

    @classmethod
    def of(cls, of_images: float, images: int, *groups: NDArray[np.float64]) -> _Spread:
        """Add up the variance over images and, of each group of figures, over trainings.

        A single training beside a group of several is taken to vary as they do.
        """
        parts = [(of_images, max(1, images - 1))]
        largest = max(groups, key=len)
        for group in groups:
            known = group if len(group) > 1 else largest
            if len(known) > 1:
                parts.append((float(known.var(ddof=1)) / len(group), len(known) - 1))
        total = sum(variance for variance, _ in parts)
        weight = sum(variance**2 / freedom for variance, freedom in parts)
        return cls(math.sqrt(total), total**2 / weight if weight else math.inf)

    def quantile(self, probability: float) -> float:
        """Return Student's t for these degrees of freedom."""
        if math.isinf(self.freedom):
            return NormalDist().inv_cdf(probability)
        return quantile_of_t(self.freedom, probability)

    def p_value(self, value: float) -> float:
        """Return the two-sided p-value of a difference."""
        from scipy.special import stdtr

        if not self.error:
            return 1.0 if not value else 0.0
        return float(2 * stdtr(min(self.freedom, 1e9), -abs(value) / self.error))


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure of one model, and what it is on resampled images: to be compared with others.

    ``figures`` has one number a training, ``draws`` their mean on each bootstrap sample.
    """

    figures: NDArray[np.float64]
    draws: NDArray[np.float64]
    images: int


def drawn(
    statistics: Sequence[Statistic], images: int, *, seed: int = 0, resamples: int = RESAMPLES
) -> Drawn:
    """Evaluate a figure of one model on bootstrap samples, the same samples for every model.

    Args:
        statistics: for each training, the figure as a function of the images' weights.
        images: how many there are.
        seed, resamples: of the resampling.

    """
    found = draws(statistics, images, seed, resamples)
    return Drawn(figures(statistics, images), found, images)


def paired(first: Drawn, second: Drawn, least_variance: float = 0.0) -> Difference:
    """Compare a figure of two models, drawn on the same images by the same seed.

    As :func:`resampled`, of what images and trainings have more under the first.

    Args:
        first, second: the figures.
        least_variance: interval and p-value are at least those of this variance over images:
            where the models are right on the same images, none is drawn that parts them.

    Raises:
        ValueError: for other counts of images or of samples.

    """
    if first.images != second.images or len(first.draws) != len(second.draws):
        raise ValueError("figures are compared on the same images and samples")
    groups = first.figures, second.figures
    value = float(first.figures.mean() - second.figures.mean())
    apart = first.draws - second.draws
    return _distinguished(value, apart, first.images, groups, least_variance, LEAST_OF_SCORES)


def within(
    differences: Sequence[Statistic],
    images: int,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    least_variance: float = 0.0,
) -> Difference:
    """Compare two figures of the same trainings on the same images.

    Args:
        differences: for each training, one figure minus the other as a function of weights.
        images: how many there are.
        seed, resamples: of the resampling.
        least_variance: as of :func:`paired`.

    As :func:`resampled`.

    """
    found = figures(differences, images)
    drawn = draws(differences, images, seed, resamples)
    return _distinguished(float(found.mean()), drawn, images, [found], least_variance)


def resamples_for(family: int) -> int:
    """Return how many resamples a test needs in a family of so many.

    A p-value of a bootstrap is never below 2 / (resamples + 1), and Holm's method multiplies the
    least by the size of the family: with too few, no difference would be significant.
    What is returned keeps the product at half of what is significant at the level of intervals.
    """
    return max(RESAMPLES, math.ceil(4 * family / (1 - CONFIDENCE)))


def _distinguished(
    value: float,
    drawn: NDArray[np.float64],
    images: int,
    groups: Sequence[NDArray[np.float64]],
    least_variance: float,
    least: int = LEAST_IMAGES,
) -> Difference:
    """Turn the draws of a difference over images, and the spread of trainings, into a test."""
    if images < least:
        return Difference(value, None, None, images, 1.0, lacks=below(least))
    of_images = max(float(variance(drawn[np.isfinite(drawn)], images)), least_variance)
    spread = _Spread.of(of_images, images, *groups)
    p_value = at_least_drawn(spread.p_value(value), len(drawn)) if value else 1.0
    if not spread.error or not math.isfinite(value):
        return Difference(value, None, None, images, p_value, lacks=ALIKE)
    reach = spread.quantile(0.5 + CONFIDENCE / 2) * spread.error
    lower = value - spread.quantile(CONFIDENCE) * spread.error
    return Difference(value, value - reach, value + reach, images, p_value, lower)
