"""The statistics behind every printed number: intervals, paired tests, correction over a family.

Pure functions of counts and of arrays of numbers; they know nothing of models or attacks.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONFIDENCE = 0.95
RESAMPLES = 2000
"""Bootstrap samples behind an interval, and behind the test of one difference."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval and the count that it rests on.

    ``value`` is None where nothing could be measured (``n`` is 0 then): it prints as a dash.
    ``trainings`` counts the trained seeds that it is the mean of.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    trainings: int = 1


NOTHING = Estimate(None, None, None, 0)


def rate(hits: int, n: int) -> Estimate:
    """Estimate a proportion, with the Wilson score interval.

    Args:
        hits: how many of the ``n`` have the property.
        n: how many were looked at; 0 gives an estimate without a value.

    Source: Wilson 1927, "Probable inference"; Brown, Cai, DasGupta 2001, section 3.1.1.

    """
    if not 0 <= hits <= n:
        raise ValueError(f"{hits} hits of {n}")
    if n == 0:
        return NOTHING
    z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    p = hits / n
    spread = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    centre = p + z * z / (2 * n)
    low = 0.0 if hits == 0 else (centre - spread) / scale
    high = 1.0 if hits == n else (centre + spread) / scale
    return Estimate(p, low, high, n)


def mean(values: ArrayLike, *, seed: int = 0, resamples: int = RESAMPLES) -> Estimate:
    """Estimate a mean, with the percentile bootstrap interval.

    Args:
        values: numbers; empty gives an estimate without a value, a single one no interval.
        seed: of the resampling: equal values give an equal interval.
        resamples: how many bootstrap samples.

    Source: Efron and Tibshirani 1993, section 13.3.

    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.size == 0:
        return NOTHING
    if sample.size == 1:
        return Estimate(float(sample[0]), None, None, 1)
    generator = np.random.default_rng(seed)
    means = np.empty(resamples)
    rows = max(1, 2_000_000 // sample.size)
    for start in range(0, resamples, rows):
        stop = min(start + rows, resamples)
        picks = generator.integers(0, sample.size, size=(stop - start, sample.size))
        means[start:stop] = sample[picks].mean(axis=1)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Estimate(float(sample.mean()), float(low), float(high), int(sample.size))


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
    least: float = 0.0,
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
        least: the variance over images is taken to be at least this: a sample without a single
            error has none of its own.

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
        reach = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2) * math.sqrt(least)
        return Estimate(value, min(low, value - reach), max(high, value + reach), images)
    if np.isinf(draws).any():
        return Estimate(value, None, None, images, count)
    spread = _Spread.of(max(least, float(np.nanvar(draws))), images, figures)
    reach = spread.quantile(0.5 + CONFIDENCE / 2) * spread.error
    return Estimate(value, value - reach, value + reach, images, count)


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
class Difference:
    """The difference of two figures on the same images, with its 95 % interval.

    ``least`` is its one-sided 95 % lower bound: what it is at the very least.

    ``p_value`` is two-sided, for no difference at all. Between single trainings it speaks of those
    two trainings, not of what trained them, and is never below 2 / (resamples + 1).
    """

    value: float
    low: float
    high: float
    n: int
    p_value: float
    least: float = -math.inf


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


def paired(first: Drawn, second: Drawn, least: float = 0.0) -> Difference:
    """Compare a figure of two models, drawn on the same images by the same seed.

    Single trainings: a paired bootstrap over images. Several: as :func:`resampled`.

    Args:
        first, second: the figures.
        least: interval and p-value are at least those of this variance over images: where the
            models are right on the same images, none is drawn that tells them apart.

    Raises:
        ValueError: for other counts of images or of samples.

    Source: Efron and Tibshirani 1993, section 16.4 (the interval turned into a test).

    """
    if first.images != second.images or len(first.draws) != len(second.draws):
        raise ValueError("figures are compared on the same images and samples")
    groups = first.figures, second.figures
    value = float(first.figures.mean() - second.figures.mean())
    draws = first.draws - second.draws
    return _told_apart(value, draws, first.images, groups, len(draws), least)


def within(
    differences: Sequence[Statistic],
    images: int,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    least: float = 0.0,
) -> Difference:
    """Compare two figures of the same trainings on the same images.

    Args:
        differences: for each training, one figure minus the other as a function of weights.
        images: how many there are.
        seed, resamples: of the resampling.
        least: as of :func:`paired`.

    A single training: a paired bootstrap over images. Several: as :func:`resampled`.

    """
    figures = _figures(differences, images)
    draws = _draws(differences, images, seed, resamples)
    return _told_apart(float(figures.mean()), draws, images, [figures], resamples, least)


def resamples_for(family: int) -> int:
    """Return how many resamples a test needs in a family of so many.

    A p-value of a bootstrap is never below 2 / (resamples + 1), and Holm's method multiplies the
    least by the size of the family: with too few, no difference, however large, could be told.
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
        least = float(np.quantile(draws, 1 - CONFIDENCE))
        if least_variance:
            floor = NormalDist(value, math.sqrt(least_variance))
            low = min(low, floor.inv_cdf(0.5 - CONFIDENCE / 2))
            high = max(high, floor.inv_cdf(0.5 + CONFIDENCE / 2))
            least = min(least, floor.inv_cdf(1 - CONFIDENCE))
            p_value = max(p_value, 2 * min(floor.cdf(0), 1 - floor.cdf(0)))
        return Difference(value, low, high, images, p_value, least)
    spread = _Spread.of(max(float(draws.var()), least_variance), images, *groups)
    reach = spread.quantile(0.5 + CONFIDENCE / 2) * spread.error
    p_value = max(spread.p_value(value), 2 / (resamples + 1))
    least = value - spread.quantile(CONFIDENCE) * spread.error
    return Difference(value, value - reach, value + reach, images, p_value, least)


def paired_shares(won: int, lost: int, n: int) -> Difference:
    """Compare two shares of the same images by their discordant pairs.

    Unlike a bootstrap, this has a width where no image differs: of a hundred images none of which
    flipped, a true loss of two points is no surprise.

    Args:
        won, lost: images of which only the first, only the second share counts.
        n: how many there are.

    Returns:
        The difference ``(won - lost) / n``; its interval and lower bound (adjusted Wald: one image
        more is counted as won, and one as lost); the p-value of McNemar's exact test.

    Source: Bonett and Price 2012, "Adjusted Wald confidence interval for a difference of binomial
        proportions based on paired data".

    """
    centre = (won - lost) / (n + 2)
    error = math.sqrt(paired_variance(won, lost, n))
    two, one = (NormalDist().inv_cdf(p) * error for p in (0.5 + CONFIDENCE / 2, CONFIDENCE))
    p_value = _binomial_two_sided(min(won, lost), won + lost)
    return Difference(
        (won - lost) / n,
        max(-1.0, centre - two),
        min(1.0, centre + two),
        n,
        p_value,
        max(-1.0, centre - one),
    )


def paired_variance(won: float, lost: float, n: int) -> float:
    """Return the variance of a difference of paired shares, as its interval has it: never 0."""
    one, other = (won + 1) / (n + 2), (lost + 1) / (n + 2)
    return (one + other - (one - other) ** 2) / (n + 2)


def sign_flips(contributions: ArrayLike, *, seed: int = 0, flips: int = 9999) -> float:
    """Test whether what images contribute to a difference may as well have the other sign.

    Of contributions that are all of one size, this is McNemar's test: exact, however few images
    differ. The p-value is two-sided, and never below 1 / (flips + 1).

    Args:
        contributions: of each image; their sum is the difference.
        seed: of the flips: equal contributions give an equal p-value.
        flips: how many are drawn.

    Source: Fisher 1935, "The Design of Experiments", section 21.

    """
    found = np.asarray(contributions, dtype=np.float64)
    found = found[found != 0]
    if not found.size:
        return 1.0
    signs = np.random.default_rng(seed).integers(0, 2, size=(flips, found.size)) * 2 - 1
    reached = np.abs(signs @ found) >= abs(found.sum()) - _SLACK
    return float((reached.sum() + 1) / (flips + 1))


_SLACK = 1e-12
"""Sums of contributions carry rounding."""


def quantile_of_t(freedom: float, probability: float) -> float:
    """Return a quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, probability))


def wilson_variance(hits: float, n: int) -> float:
    """Return the variance that the longer arm of a Wilson interval amounts to: never 0."""
    z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    found = rate(round(hits), n)
    value, low, high = (number or 0.0 for number in (found.value, found.low, found.high))
    return (max(value - low, high - value) / z) ** 2


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


@dataclass(frozen=True, slots=True)
class PairedTest:
    """Two yes-or-no outcomes on the same images, compared.

    ``only_first`` and ``only_second`` count the images where just one of them says yes;
    ``p_value`` is two-sided unless the first alone was suspected.
    """

    only_first: int
    only_second: int
    n: int
    p_value: float


def mcnemar(first: ArrayLike, second: ArrayLike, *, one_sided: bool = False) -> PairedTest:
    """Compare two outcomes on the same images by McNemar's exact test.

    Args:
        first, second: booleans, one an image, in the same order of images.
        one_sided: ask only whether the first says yes more often.

    Source: McNemar 1947; the exact form is a binomial test on the discordant pairs.

    """
    a = np.asarray(first, dtype=bool)
    b = np.asarray(second, dtype=bool)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"paired outcomes need equal length, got {a.shape} and {b.shape}")
    only_first = int((a & ~b).sum())
    only_second = int((~a & b).sum())
    discordant = only_first + only_second
    p_value = (
        at_least(only_first, discordant, 0.5)
        if one_sided
        else _binomial_two_sided(min(only_first, only_second), discordant)
    )
    return PairedTest(only_first, only_second, int(a.size), p_value)


def _binomial_two_sided(smaller: int, n: int) -> float:
    """P of a split at least as uneven as ``smaller`` of ``n`` under a fair coin (symmetric)."""
    tail = sum(math.comb(n, k) for k in range(smaller + 1))
    # beyond the smallest float the quotient is 0, which no p-value is
    return float(max(sys.float_info.min, min(1.0, 2 * tail / 2**n)))


def at_least(hits: int, n: int, share: float) -> float:
    """Return the exact p-value of so many hits or more, if at most ``share`` of all are hits.

    Of so few hits or fewer, if at least ``share`` are: ``at_least(n - hits, n, 1 - share)``.

    Args:
        hits: how many of the ``n``.
        n: how many were looked at.
        share: what is doubted, in [0, 1].

    """
    if not 0 <= hits <= n:
        raise ValueError(f"{hits} hits of {n}")
    if hits == 0 or share >= 1:
        return 1.0
    if share <= 0:
        return sys.float_info.min  # what cannot be was seen; 0 is no p-value
    ratios = math.log(share), math.log1p(-share)
    # logarithms: beyond a thousand images the counts of ways are no floats any more
    ways = (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in range(n + 1))
    terms = (w + k * ratios[0] + (n - k) * ratios[1] for k, w in enumerate(ways) if k >= hits)
    return max(sys.float_info.min, min(1.0, math.fsum(map(math.exp, terms))))


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values over a family by Holm's step-down method; the order is kept.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    count = len(p_values)
    adjusted = [0.0] * count
    largest = 0.0
    for rank, index in enumerate(sorted(range(count), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (count - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted
