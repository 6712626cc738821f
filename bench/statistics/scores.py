"""Figures that are neither a rate nor a mean: ratios, quantiles, areas under curves.

Each has an interval that was made for it. Functions that end in ``_limits`` take many samples at a
time, which is how ``benchmarks/coverage.py`` counts how often they hold the truth.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.statistics.intervals import ALIKE, CONFIDENCE, NOTHING, Estimate, below, quantile_of_t

Numbers = NDArray[np.float64]

LEAST_PAIRS = 5
"""A ratio over fewer images has no interval."""
LEAST_SCORES = 5
"""An area under a curve between fewer of either kind has no interval."""
_HALVINGS = 60
"""Each halves the distance to a limit: more than a float has digits."""
_TAIL = (1 - CONFIDENCE) / 2
_Z = NormalDist().inv_cdf(1 - _TAIL)


def paired_ratio(both: float, only_first: float, only_second: float, n: int) -> Estimate:
    """Estimate the ratio of two shares of the same images, with the score interval.

    Args:
        both, only_first, only_second: images that both count, that only one of them counts.
        n: how many there are.

    Returns:
        The first share over the second; no value where the second is 0.

    Source: Nam and Blackwelder 2002, "Analysis of the ratio of marginal probabilities in a
        matched-pair setting"; Tang, Tang and Carey 2003 (the constrained estimate in closed form).

    """
    if both + only_second == 0:
        return NOTHING
    value = (both + only_first) / (both + only_second)
    if n < LEAST_PAIRS:
        return Estimate(value, None, None, n, lacks=below(LEAST_PAIRS))
    counts = (np.array([float(count)]) for count in (both, only_first, only_second))
    low, high = ratio_limits(*counts)
    return Estimate(value, float(low[0]), float(high[0]), n)


def ratio_limits(
    both: Numbers, only_first: Numbers, only_second: Numbers
) -> tuple[Numbers, Numbers]:
    """Return the limits of ratios whose second share is above 0."""
    first, second = both + only_first, both + only_second

    def is_beyond(ratio: Numbers) -> NDArray[np.bool_]:
        """Say whether a ratio is further from what was found than chance explains."""
        count = both + only_first + only_second
        a, b = (1 + ratio) * count, second * (ratio**2 - 1) - only_first - only_second
        c = only_second * (1 - ratio)
        # the share of what only the second counts, at the likeliest table that has this ratio
        share = (-b + np.sqrt(np.maximum(0.0, b * b - 4 * a * c))) / (2 * a)
        spread = count * np.maximum(0.0, ratio - 1 + share + ratio * share)
        found: NDArray[np.bool_] = (first - ratio * second) ** 2 > _Z**2 * spread
        return found

    value = np.maximum(first, 1e-9) / second
    low = _bisected(is_beyond, np.log(value), -_FAR)
    high = _bisected(is_beyond, np.log(value), _FAR)
    return np.where(first > 0, np.exp(low), 0.0), np.exp(high)


_FAR = 40.0
"""The logarithm of a ratio is within so much of the one found."""


def _bisected(
    is_beyond: Callable[[Numbers], NDArray[np.bool_]], inside: Numbers, far: float
) -> Numbers:
    """Return the logarithms up to which ratios are not beyond, from one inside outwards."""
    outside = inside + far
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        beyond = is_beyond(np.exp(middle))
        inside, outside = np.where(beyond, inside, middle), np.where(beyond, middle, outside)
    return inside


def auroc(attacked: ArrayLike, clean: ArrayLike) -> Estimate:
    """Estimate how often a score of the first is above one of the second; equal ones count half.

    The interval is DeLong's on the logit scale, with Student's t. Each side's limit is that of a
    sample with one score more of each kind, on the wrong side of all others: so there is one at 1,
    too. What it says of two kinds of scores of the same images is cautious.

    Source: DeLong, DeLong and Clarke-Pearson 1988; Pepe 2003, section 5.2 (logit); Agresti and
        Coull 1998 (scores added).

    """
    first, second = (np.asarray(scores, dtype=np.float64) for scores in (attacked, clean))
    n = int(first.size)
    if not n or not second.size:
        return NOTHING
    value = float(_placements(first[None], second[None])[0].mean())
    if min(n, second.size) < LEAST_SCORES:
        return Estimate(value, None, None, n, lacks=below(LEAST_SCORES))
    [low], [high] = auroc_limits(first[None], second[None])
    return Estimate(value, float(low), float(high), n)


def auroc_limits(attacked: Numbers, clean: Numbers) -> tuple[Numbers, Numbers]:
    """Return the limits, of (sample, score); see :func:`auroc`."""
    placed = _placements(attacked, clean)
    return _logit_limit(*placed, 0.0), _logit_limit(*placed, 1.0)


def _placements(attacked: Numbers, clean: Numbers) -> tuple[Numbers, Numbers]:
    """Return of each score the share of the other kind that it wins against; ties count half."""
    rows = range(len(attacked))
    above = np.array([_below(np.sort(clean[row]), attacked[row]) for row in rows])
    under = np.array([_below(np.sort(attacked[row]), clean[row]) for row in rows])
    return above / clean.shape[1], 1 - under / attacked.shape[1]


def _below(ordered: Numbers, scores: Numbers) -> Numbers:
    """Count how many of some ordered scores are below each of others; equal ones count half."""
    left, right = (np.searchsorted(ordered, scores, side) for side in ("left", "right"))
    found: Numbers = (left + right) / 2
    return found


def _logit_limit(above: Numbers, under: Numbers, won: float) -> Numbers:
    """Return the lower limit if the scores added lose, the upper if they win."""
    m, n = above.shape[1], under.shape[1]
    add = np.full((len(above), 1), won)
    first = np.hstack([(above * n + won) / (n + 1), add])
    second = np.hstack([(under * m + won) / (m + 1), add])
    value = first.mean(1)
    error = np.sqrt(first.var(1, ddof=1) / (m + 1) + second.var(1, ddof=1) / (n + 1))
    t = quantile_of_t(min(m, n), 1 - _TAIL) * (1 if won else -1)
    slope = np.maximum(1e-12, value * (1 - value))
    with np.errstate(divide="ignore"):
        logit = np.log(value) - np.log1p(-value) + t * error / slope
    limit: Numbers = 1 / (1 + np.exp(-logit))
    return limit


def quantile(values: ArrayLike, of: float) -> Estimate:
    """Estimate the least value that a share does not exceed, with an interval between two values.

    Args:
        values: numbers, infinite ones included.
        of: the share, within 0 and 1.

    Source: David and Nagaraja 2003, "Order statistics", section 7.1: it holds for every
        distribution.

    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    n = int(ordered.size)
    if not n:
        return NOTHING
    value = float(ordered[max(0, math.ceil(of * n - _SLACK) - 1)])
    if n < least_of_quantile(of):
        return Estimate(value, None, None, n, lacks=below(least_of_quantile(of)))
    [low], [high] = quantile_limits(ordered[None], of)
    if np.isnan(low):
        return Estimate(value, None, None, n, lacks=ALIKE)
    return Estimate(value, float(low), float(high), n)


def quantile_limits(ordered: Numbers, of: float) -> tuple[Numbers, Numbers]:
    """Return the limits of quantiles, of (sample, ascending value); nan where they are alike."""
    low, high = (ordered[:, rank - 1] for rank in _ranks(ordered.shape[1], of))
    return np.where(low < high, low, np.nan), np.where(low < high, high, np.nan)


def _ranks(n: int, of: float) -> tuple[int, int]:
    """Return the ranks, from 1, of the values that limit a quantile."""
    from scipy.special import bdtr

    below_rank = bdtr(np.arange(n + 1), n, of)  # that at most so many are below it
    low = int((below_rank <= _TAIL).sum())
    return low, 1 + int((below_rank < 1 - _TAIL).sum())


def least_of_quantile(of: float) -> int:
    """Return how many values a quantile needs for an interval."""
    return math.ceil(math.log(_TAIL) / math.log(max(of, 1 - of)))


_SLACK = 1e-9
"""Products carry rounding."""
