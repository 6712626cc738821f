"""Scores of classes, and their mean: precision, recall, F1, all one formula, with an interval."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.statistics.intervals import CONFIDENCE, Estimate, below

Numbers = NDArray[np.float64]

LEAST_OF_CLASS = 3
"""A macro score has no interval where a class that occurs has fewer images."""


def macro(counts: Numbers, support: float, predicted: float) -> Estimate:
    """Estimate the mean over classes of: images that are right over a mean of two counts.

    The interval is that of Clopper and Pearson, of as many images as would leave a plain share as
    uncertain.

    Args:
        counts: images by (class, predicted class), of the classes that occur as either.
        support, predicted: what the images of a class, and those predicted as it, weigh in the
            mean: 0 and 1 for precision, 1 and 0 for recall, a half each for F1.

    Source: Takahashi et al. 2022, "Confidence interval for micro-averaged F1 and macro-averaged F1
        scores" (the variance); Korn and Graubard 1998 (the number of images).

    """
    n = int(counts.sum())
    values, images = macro_parts(counts[None], support, predicted)
    value = float(values[0])
    if counts.sum(1).min() < LEAST_OF_CLASS:
        return Estimate(value, None, None, n, lacks=below(LEAST_OF_CLASS, "images of a class"))
    low, high = exact_limits(values, images)
    return Estimate(value, float(low[0]), float(high[0]), n)


def macro_parts(counts: Numbers, support: float, predicted: float) -> tuple[Numbers, Numbers]:
    """Return scores, and of how many images a plain share would be as uncertain.

    Args:
        counts: by (sample, class, predicted class).
        support, predicted: as of :func:`macro`.

    """
    right = np.diagonal(counts, axis1=1, axis2=2)
    of_class, as_class = counts.sum(2), counts.sum(1)
    whole = support * of_class + predicted * as_class
    each = np.divide(1.0, whole, out=np.zeros_like(whole), where=whole > 0)
    classes = ((of_class + as_class) > 0).sum(1)
    score = right * each
    value = score.sum(1) / classes
    # what one image more of each kind would change: the delta method
    influence = -(support * score * each)[:, :, None] - (predicted * score * each)[:, None, :]
    diagonal = np.arange(counts.shape[1])
    influence[:, diagonal, diagonal] += each
    n = counts.sum((1, 2))
    variance = (counts * influence**2).sum((1, 2)) / classes**2 * n / np.maximum(1, n - 1)
    most = classes**2 / np.maximum(each.sum(1), np.finfo(float).tiny)
    with np.errstate(divide="ignore", invalid="ignore"):
        images = np.where(variance > 0, value * (1 - value) / variance, most)
    return value, np.clip(images, 1.0, most)


def exact_limits(values: Numbers, images: Numbers) -> tuple[Numbers, Numbers]:
    """Return Clopper and Pearson's limits of shares of so many images, which may be a fraction."""
    from scipy.special import betaincinv

    tail, hits = (1 - CONFIDENCE) / 2, values * images
    others, least = images - hits, np.finfo(float).tiny
    low = betaincinv(np.maximum(hits, least), others + 1, tail)
    high = betaincinv(hits + 1, np.maximum(others, least), 1 - tail)
    return np.where(values > 0, low, 0.0), np.where(values < 1, high, 1.0)
