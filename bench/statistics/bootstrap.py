"""Figures as functions of the images' weights: resampled, and compared image by image."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.statistics.intervals import (
    CONFIDENCE,
    NOTHING,
    RESAMPLES,
    Difference,
    Estimate,
    quantile_of_t,
)

Statistic: TypeAlias = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""A figure of one training: from weights, (draw, image), to a number for each draw, or nan.

A weight says how often an image counts: ones for the figure itself.
"""

_KEPT = 2**25
"""Draws of weights are kept up to so many numbers: 64 MB."""
_AT_ONCE = 4_000_000
"""Weights that are drawn at a time."""


def resampled(
    statistics: Sequence[Statistic],
    images: int,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    least_variance: float = 0.0,
) -> Estimate:
    """Estimate the mean over trainings of a figure, with its interval.

    Of one training: the percentile bootstrap over images; of one image, none. Of several: images
    and trainings are both drawn from more that there might have been; their variances add, and
    Student's t with Satterthwaite's degrees of freedom accounts for how few trainings there are.

    Args:
        statistics: for each training, the figure as a function of the images' weights.
        images: how many there are.
        seed: of the resampling: equal figures give an equal interval.
        resamples: how many bootstrap samples.
        least_variance: the variance over images is taken to be at least this: a sample without
            a single error has none of its own.

    Source: Efron and Tibshirani 1993, section 13.3; Satterthwaite 1946, "An approximate
    distribution of estimates of variance components".

    """
    figures = _figures(statistics, images)
    if images == 0 or np.isnan(figures).any():
        return NOTHING
    value, count = float(figures.mean()), len(figures)
    draws = _draws(statistics, images, seed, resamples)
    if count == 1 and images == 1:
        return Estimate(value, None, None, images)
    if count == 1:
        low, high = _interval(draws)
        reach = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2) * math.sqrt(least_variance)
        return Estimate(value, min(low, value - reach), max(high, value + reach), images)
    if np.isinf(draws).any():
        return Estimate(value, None, None, images, count)
    spread = _Spread.of(max(least_variance, float(np.nanvar(draws))), images, figures)
    reach = spread.quantile(0.5 + CONFIDENCE / 2) * spread.error
    return Estimate(value, value - reach, value + reach, images, count)


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
        for figures in groups:
            known = figures if len(figures) > 1 else largest
            if len(known) > 1:
                parts.append((float(known.var(ddof=1)) / len(figures), len(known) - 1))
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
    draws = _draws(statistics, images, seed, resamples)
    return Drawn(_figures(statistics, images), draws, images)


def paired(first: Drawn, second: Drawn, least_variance: float = 0.0) -> Difference:
    """Compare a figure of two models, drawn on the same images by the same seed.

    Single trainings: a paired bootstrap over images. Several: as :func:`resampled`.

    Args:
        first, second: the figures.
        least_variance: interval and p-value are at least those of this variance over images:
            where the models are right on the same images, none is drawn that parts them.

    Raises:
        ValueError: for other counts of images or of samples.

    Source: Efron and Tibshirani 1993, section 16.4 (the interval turned into a test).

    """
    if first.images != second.images or len(first.draws) != len(second.draws):
        raise ValueError("figures are compared on the same images and samples")
    groups = first.figures, second.figures
    value = float(first.figures.mean() - second.figures.mean())
    draws = first.draws - second.draws
    return _told_apart(value, draws, first.images, groups, len(draws), least_variance)


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

    A single training: a paired bootstrap over images. Several: as :func:`resampled`.

    """
    figures = _figures(differences, images)
    draws = _draws(differences, images, seed, resamples)
    return _told_apart(float(figures.mean()), draws, images, [figures], resamples, least_variance)


def resamples_for(family: int) -> int:
    """Return how many resamples a test needs in a family of so many.

    A p-value of a bootstrap is never below 2 / (resamples + 1), and Holm's method multiplies the
    least by the size of the family: with too few, no difference would be significant.
    What is returned keeps the product at half of what is significant at the level of intervals.
    """
    return max(RESAMPLES, math.ceil(4 * family / (1 - CONFIDENCE)))


def _told_apart(
    value: float,
    draws: NDArray[np.float64],
    images: int,
    groups: Sequence[NDArray[np.float64]],
    resamples: int,
    least_variance: float = 0.0,
) -> Difference:
    """Turn the draws of a difference over images, and the spread of trainings, into a test."""
    draws = draws[~np.isnan(draws)]
    if all(len(figures) == 1 for figures in groups):
        below, above = int((draws <= 0).sum()), int((draws >= 0).sum())
        p_value = min(1.0, 2 * (min(below, above) + 1) / (len(draws) + 1))
        low, high = _interval(draws)
        lower = float(np.quantile(draws, 1 - CONFIDENCE))
        if least_variance:
            floor = NormalDist(value, math.sqrt(least_variance))
            low = min(low, floor.inv_cdf(0.5 - CONFIDENCE / 2))
            high = max(high, floor.inv_cdf(0.5 + CONFIDENCE / 2))
            lower = min(lower, floor.inv_cdf(1 - CONFIDENCE))
            p_value = max(p_value, 2 * min(floor.cdf(0), 1 - floor.cdf(0)))
        return Difference(value, low, high, images, p_value, lower)
    spread = _Spread.of(max(float(draws.var()), least_variance), images, *groups)
    reach = spread.quantile(0.5 + CONFIDENCE / 2) * spread.error
    p_value = max(spread.p_value(value), 2 / (resamples + 1))
    lower = value - spread.quantile(CONFIDENCE) * spread.error
    return Difference(value, value - reach, value + reach, images, p_value, lower)


def _figures(statistics: Sequence[Statistic], images: int) -> NDArray[np.float64]:
    """Return each training's figure, each image counted once."""
    return np.array([statistic(np.ones((1, images)))[0] for statistic in statistics])


def _draws(
    statistics: Sequence[Statistic], images: int, seed: int, resamples: int
) -> NDArray[np.float64]:
    """Draw images, the same for each seed; return the mean over trainings, draw by draw."""
    means = np.empty(resamples)
    is_small = images * resamples <= _KEPT
    start = 0
    for counts in (_kept if is_small else _counts)(images, seed, resamples):
        weights = counts.astype(np.float64)
        figures = np.stack([statistic(weights) for statistic in statistics])
        means[start : start + len(weights)] = figures.mean(0)
        start += len(weights)
    return means


def _counts(images: int, seed: int, resamples: int) -> Iterator[NDArray[np.uint16]]:
    """Draw how often each image counts, (draw, image), some draws at a time."""
    generator = np.random.default_rng(seed)
    step = max(1, _AT_ONCE // max(1, images))
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        counts = generator.multinomial(images, np.full(images, 1 / images), size=size)
        yield counts.astype(np.uint16)  # once on average: never near what would not fit


@lru_cache(maxsize=2)
def _kept(images: int, seed: int, resamples: int) -> tuple[NDArray[np.uint16], ...]:
    """Return the same, kept: a page compares many figures on the same images."""
    return tuple(_counts(images, seed, resamples))


def _interval(draws: NDArray[np.float64]) -> tuple[float, float]:
    tail = (1 - CONFIDENCE) / 2
    # between two infinite draws there is nothing to interpolate
    method: Any = "closest_observation" if np.isinf(draws).any() else "linear"
    low, high = np.nanquantile(draws, [tail, 1 - tail], method=method)
    return float(low), float(high)
