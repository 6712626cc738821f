"""Exact paired tests, and binomial tails."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from bench.statistics.intervals import CONFIDENCE, Difference
from bench.statistics.p_values import PValue


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
    found_p = float((reached.sum() + 1) / (flips + 1))
    return found_p if reached.any() else PValue(found_p)


_SLACK = 1e-12
"""Sums of contributions carry rounding."""


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
    tail = at_least(n - smaller, n, 0.5)
    return PValue(2 * tail) if isinstance(tail, PValue) else min(1.0, 2 * tail)


def at_least(hits: int, n: int, share: float) -> float:
    """Return the exact p-value of so many hits or more, if at most ``share`` of all are hits.

    Of so few hits or fewer, if at least ``share`` are: ``at_least(n - hits, n, 1 - share)``.

    Args:
        hits: how many of the ``n``.
        n: how many were looked at.
        share: what is doubted, in [0, 1].

    Returns:
        In (0, 1]: below the smallest float it is that float, as a bound, for 0 is no p-value.

    """
    if not 0 <= hits <= n:
        raise ValueError(f"{hits} hits of {n}")
    if hits == 0 or share >= 1:
        return 1.0
    if share <= 0:
        return PValue(sys.float_info.min)  # what cannot be was seen
    from scipy.special import betainc

    # the binomial tail as an incomplete beta function: exact to rounding, however small
    found = float(betainc(hits, n - hits + 1, share))
    return found if found > sys.float_info.min else PValue(sys.float_info.min)
