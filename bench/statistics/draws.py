"""How often each image counts: random weights, the same for every figure on the same images.

The Bayesian bootstrap: weights are spacings of uniform numbers, so that no image, and no class of
few images, is ever left out.

Source: Rubin 1981, "The Bayesian bootstrap".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Statistic: TypeAlias = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""A figure of one training: from weights, (draw, image), to a number for each draw, or nan.

A weight says how often an image counts: ones for the figure itself.
"""

_KEPT = 2**24
"""Draws of weights are kept up to so many numbers: 64 MB."""
_AT_ONCE = 4_000_000
"""Weights that are drawn at a time."""


def weights(images: int, seed: int, resamples: int) -> Iterator[NDArray[np.float32]]:
    """Draw weights of one on average, (draw, image and one more), some draws at a time.

    The one more is for a value that no image has: see :mod:`bench.statistics.means`.
    """
    is_small = (images + 1) * resamples <= _KEPT
    return iter((_kept if is_small else _weights)(images, seed, resamples))


def figures(statistics: Sequence[Statistic], images: int) -> NDArray[np.float64]:
    """Return each training's figure, each image counted once."""
    return np.array([statistic(np.ones((1, images)))[0] for statistic in statistics])


def draws(
    statistics: Sequence[Statistic], images: int, seed: int, resamples: int
) -> NDArray[np.float64]:
    """Return the mean over trainings, draw by draw.

    Their variance is that of the sample: :func:`variance` makes it that of the population.
    """
    means = []
    for drawn in weights(images, seed, resamples):
        found = drawn[:, :images].astype(np.float64)
        means.append(np.stack([statistic(found) for statistic in statistics]).mean(0))
    return np.concatenate(means)


def variance(draws: NDArray[np.float64], images: int) -> Any:
    """Return the variance of a figure, of which that of its draws is (n - 1) / (n + 1).

    A number; of draws by (draw, sample), one for each sample.
    """
    return np.nanvar(draws, axis=0) * (images + 1) / max(1, images - 1)


def _weights(images: int, seed: int, resamples: int) -> Iterator[NDArray[np.float32]]:
    generator = np.random.default_rng(seed)
    step = max(1, _AT_ONCE // (images + 1))
    for start in range(0, resamples, step):
        size = (min(step, resamples - start), images + 1)
        yield generator.standard_exponential(size, dtype=np.float32)


@lru_cache(maxsize=2)
def _kept(images: int, seed: int, resamples: int) -> tuple[NDArray[np.float32], ...]:
    """Return the same, kept: a page compares many figures on the same images."""
    return tuple(_weights(images, seed, resamples))
