"""Means over images, with intervals that hold for skewed values, too.

The sample gets one value more, at the end of what values can be, and a random share of the whole:
below all others for the lower limit, above for the upper. Of zeros and ones this is Clopper and
Pearson's interval; of values with known ends it holds for every distribution that was tried. Where
an end is not known it is taken to lie beyond the sample, the farther the fewer values differ from
the most frequent one: how far was chosen by simulation (``benchmarks/coverage.py``).

Source: Gaffke 2005, "Three test statistics for a nonparametric one-sided hypothesis on the mean of
a nonnegative variable"; Phan, Thomas and Learned-Miller 2021, "Towards practical mean bounds for
small samples" (the bound with unknown ends is ours).
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.statistics.draws import weights
from bench.statistics.intervals import (
    ALIKE,
    CONFIDENCE,
    NOTHING,
    RESAMPLES,
    Difference,
    Estimate,
    below,
)
from bench.statistics.p_values import at_least_drawn, resampled_p
from bench.statistics.tests import sign_flips

Limits: TypeAlias = tuple[float | None, float | None]
"""The least and the greatest that a value can be; None where that is not known."""

Numbers: TypeAlias = NDArray[np.float64]

LEAST = 5
"""Means of fewer values have no interval."""
_FARTHEST, _NEARER = 4.0, 10.0
"""An unknown end lies so many ranges of the sample beyond it, and 10 over the values that differ
from the most frequent one if that is less: the least of those tried that cover everywhere."""
_ROUNDING = 1e-6
"""Values that differ by this share of the largest are alike: they are of single precision."""


def mean(
    values: ArrayLike,
    limits: Limits = (None, None),
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Estimate a mean, with its interval.

    Args:
        values: numbers; empty gives an estimate without a value. Fewer than :data:`LEAST`, and
            values that are all alike, have no interval, unless both limits are known: then being
            alike is no reason.
        limits: what values can be. A limit that a value exceeds is not believed.
        seed: of the draws: equal values give an equal interval.
        resamples: how many draws.

    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.size == 0:
        return NOTHING
    value, n = float(sample.mean()), int(sample.size)
    if n < LEAST:
        return Estimate(value, None, None, n, lacks=below(LEAST))
    if not np.isfinite(sample).all():
        return Estimate(value, None, None, n)
    [low], [high] = mean_intervals(sample[None], limits, seed=seed, resamples=resamples)
    if np.isnan(low):
        return Estimate(value, None, None, n, lacks=ALIKE)
    return Estimate(value, min(value, float(low)), max(value, float(high)), n)


def mean_intervals(
    samples: Numbers, limits: Limits = (None, None), *, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[Numbers, Numbers]:
    """Return the limits of the interval of each mean, of (sample, value); nan where it has none."""
    ends, is_known = _ends(samples, limits)
    tail = (1 - CONFIDENCE) / 2
    lows, highs = _drawn(samples, ends, seed, resamples)
    low, high = np.quantile(lows, tail, axis=1), np.quantile(highs, 1 - tail, axis=1)
    least, greatest = (end if end is not None else np.nan for end in limits)
    low = np.where(samples.min(1) >= least, np.maximum(low, least), low)
    high = np.where(samples.max(1) <= greatest, np.minimum(high, greatest), high)
    has_none = _are_alike(samples) & ~is_known
    return np.where(has_none, np.nan, low), np.where(has_none, np.nan, high)


def mean_difference(
    differences: ArrayLike,
    limits: Limits = (None, None),
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Difference:
    """Compare two means by what each image has more under the first.

    Args:
        differences: of each image; one at least.
        limits: what a difference can be.
        seed, resamples: of the draws. The p-value is that of the same draws as the interval; of
            few or equal differences, which have no interval, that of flipping their signs.

    """
    sample = np.asarray(differences, dtype=np.float64)
    value, n = float(sample.mean()), int(sample.size)
    ends, is_known = _ends(sample[None], limits)
    if n < LEAST or (_are_alike(sample[None]) & ~is_known)[0]:
        reason = below(LEAST) if n < LEAST else ALIKE
        p_value = at_least_drawn(sign_flips(sample, seed=seed), resamples)
        return Difference(value, None, None, n, p_value, lacks=reason)
    lows, highs = (found[0] for found in _drawn(sample[None], ends, seed, resamples))
    tail = (1 - CONFIDENCE) / 2
    reached = min(int((lows <= 0).sum()), int((highs >= 0).sum()))
    return Difference(
        value,
        min(value, float(np.quantile(lows, tail))),
        max(value, float(np.quantile(highs, 1 - tail))),
        n,
        resampled_p(reached, resamples),
        min(value, float(np.quantile(lows, 1 - CONFIDENCE))),
    )


def _drawn(
    samples: Numbers, ends: tuple[Numbers, Numbers], seed: int, resamples: int
) -> tuple[Numbers, Numbers]:
    """Return the means with one value more, (sample, draw): at the lower end, at the upper."""
    n = samples.shape[1]
    lows, highs = [], []
    for drawn in weights(n, seed, resamples):
        shares = drawn.astype(np.float64)
        shares /= shares.sum(1, keepdims=True)
        means, more = samples @ shares[:, :n].T, shares[:, n]
        lows.append(means + np.outer(ends[0], more))
        highs.append(means + np.outer(ends[1], more))
    return np.concatenate(lows, axis=1), np.concatenate(highs, axis=1)


def _ends(samples: Numbers, limits: Limits) -> tuple[tuple[Numbers, Numbers], NDArray[np.bool_]]:
    """Return where the value more lies, below and above, and whether both ends are known."""
    least, greatest = samples.min(1), samples.max(1)
    beyond = np.minimum(_FARTHEST, _NEARER / _unlike(samples)) * (greatest - least)
    low, high = least - beyond, greatest + beyond
    if limits[0] is None or limits[1] is None:
        return (low, high), np.zeros(len(samples), dtype=bool)
    is_known = (least >= limits[0]) & (greatest <= limits[1])
    low[is_known], high[is_known] = limits
    return (low, high), is_known


def _unlike(samples: Numbers) -> Numbers:
    """Count the values of each sample that are not its most frequent one; one at least."""
    n = samples.shape[1]
    ordered = np.sort(samples, axis=1)
    slack = _ROUNDING * np.abs(ordered[:, [0, -1]]).max(1, keepdims=True)
    starts = np.ones(samples.shape, dtype=bool)
    starts[:, 1:] = np.diff(ordered, axis=1) > slack
    places = np.broadcast_to(np.arange(n), samples.shape)
    longest = (places - np.maximum.accumulate(np.where(starts, places, 0), axis=1)).max(1) + 1
    unlike: Numbers = np.where(longest > 1, np.maximum(1.0, n - longest), float(n))
    return unlike


def _are_alike(samples: Numbers) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.ptp(samples, axis=1) <= _ROUNDING * np.abs(samples).max(1)
    return found
