"""Estimates and differences with their intervals; the interval of a share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

CONFIDENCE = 0.95
RESAMPLES = 2000
"""Draws behind an interval, and behind the test of one difference."""
ALIKE = "all alike: no interval"
"""What is said of values that are all the same: how much others may differ is not known."""


def below(least: int, of: str = "n") -> str:
    """Say that there is no interval because there are too few images."""
    return f"{of} below {least}: no interval"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval and the count that it rests on.

    ``value`` is None where nothing could be measured (``n`` is 0 then): it prints as a dash.
    ``trainings`` counts the trained seeds that it is the mean of; ``lacks`` says why there is no
    interval, where there might be one.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    trainings: int = 1
    lacks: str = ""


NOTHING = Estimate(None, None, None, 0)


def rate(hits: int, n: int) -> Estimate:
    """Estimate a proportion, with the Wilson score interval.

    Args:
        hits: how many of the ``n`` have the property.
        n: how many were looked at; 0 gives an estimate without a value.

    """
    if not 0 <= hits <= n:
        raise ValueError(f"{hits} hits of {n}")
    if n == 0:
        return NOTHING
    low, high = score_interval(hits / n, n)
    return Estimate(hits / n, low, high, n)


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference of two figures on the same images, with its 95 % interval.

    ``lower_bound`` is its one-sided 95 % lower bound: what it is at the very least.

    ``p_value`` is two-sided, for no difference at all. Between single trainings it speaks of those
    two trainings, not of what trained them. Of a resampled test it is never below what the draws
    allow, and a :class:`~bench.statistics.p_values.PValue` where it is that bound.

    ``lacks`` says why there is no interval, where there is none.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    p_value: float
    lower_bound: float = -math.inf
    lacks: str = ""


def quantile_of_t(freedom: float, probability: float) -> float:
    """Return a quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, probability))


def score_interval(value: float, n: float) -> tuple[float, float]:
    """Return the Wilson score interval of a share of so many images, or of as many as count.

    Source: Wilson 1927, "Probable inference"; Brown, Cai, DasGupta 2001, section 3.1.1.

    """
    z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    spread = z * math.sqrt(value * (1 - value) / n + z * z / (4 * n * n))
    centre, scale = value + z * z / (2 * n), 1 + z * z / n
    low = 0.0 if value <= 0 else (centre - spread) / scale
    return low, 1.0 if value >= 1 else (centre + spread) / scale


def wilson_variance(hits: float, n: int) -> float:
    """Return the variance that the longer arm of a Wilson interval amounts to: never 0."""
    z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    found = rate(round(hits), n)
    value, low, high = (number or 0.0 for number in (found.value, found.low, found.high))
    return (max(value - low, high - value) / z) ** 2
