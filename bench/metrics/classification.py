"""Counts of classification: which class is taken for which, and the scores of each class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.statistics import share

if TYPE_CHECKING:
    from numpy.typing import NDArray


def confusion(
    labels: NDArray[np.int64], predictions: NDArray[np.int64], classes: int
) -> NDArray[np.float64]:
    """Count images by (class, predicted class); shape (classes, classes)."""
    counted = np.bincount(labels * classes + predictions, minlength=classes * classes)
    return counted.astype(np.float64).reshape(classes, classes)


def per_class(counts: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return precision, recall, F1 and support of each class; what is undefined is 0.

    Args:
        counts: by (..., class, predicted class), as :func:`confusion` gives.

    """
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    support, predicted = counts.sum(-1), counts.sum(-2)
    return {
        "precision": share(right, predicted),
        "recall": share(right, support),
        "f1": share(2 * right, support + predicted),
        "support": support,
    }
