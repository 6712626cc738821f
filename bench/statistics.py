"""The statistics behind every printed number: intervals, paired tests, correction over a family.

Pure functions of counts and of arrays of numbers; they know nothing of models or attacks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval and the count that it rests on.

    ``value`` is None where nothing could be measured (``n`` is 0 then): it prints as a dash.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int


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


def mean(values: ArrayLike, *, seed: int = 0, resamples: int = 2000) -> Estimate:
    """Estimate a mean, with the percentile bootstrap interval.

    Args:
        values: numbers; empty gives an estimate without a value.
        seed: of the resampling: equal values give an equal interval.
        resamples: how many bootstrap samples.

    Source: Efron and Tibshirani 1993, section 13.3.

    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.size == 0:
        return NOTHING
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
class PairedTest:
    """Two yes-or-no outcomes on the same images, compared.

    ``only_first`` and ``only_second`` count the images where just one of them says yes;
    ``p_value`` is two-sided.
    """

    only_first: int
    only_second: int
    n: int
    p_value: float


def mcnemar(first: ArrayLike, second: ArrayLike) -> PairedTest:
    """Compare two outcomes on the same images by McNemar's exact test.

    Args:
        first, second: booleans, one an image, in the same order of images.

    Source: McNemar 1947; the exact form is a binomial test on the discordant pairs.

    """
    a = np.asarray(first, dtype=bool)
    b = np.asarray(second, dtype=bool)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"paired outcomes need equal length, got {a.shape} and {b.shape}")
    only_first = int((a & ~b).sum())
    only_second = int((~a & b).sum())
    p_value = _binomial_two_sided(min(only_first, only_second), only_first + only_second)
    return PairedTest(only_first, only_second, int(a.size), p_value)


def _binomial_two_sided(smaller: int, n: int) -> float:
    """P of a split at least as uneven as ``smaller`` of ``n`` under a fair coin (symmetric)."""
    tail = sum(math.comb(n, k) for k in range(smaller + 1))
    return float(min(1.0, 2 * tail / 2**n))


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
