"""Estimates and differences with their intervals; the intervals of shares and of means."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

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


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference of two figures on the same images, with its 95 % interval.

    ``lower_bound`` is its one-sided 95 % lower bound: what it is at the very least.

    ``p_value`` is two-sided, for no difference at all. Between single trainings it speaks of those
    two trainings, not of what trained them, and is never below 2 / (resamples + 1).
    """

    value: float
    low: float
    high: float
    n: int
    p_value: float
    lower_bound: float = -math.inf


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
