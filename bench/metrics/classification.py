"""Scores of classification that are no mean over images, as functions of the images' weights.

See :data:`bench.statistics.Statistic`. No torch, and no knowledge of where records come from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from bench.statistics import Statistic

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame

BINS = 15
"""Of confidence. Source: Guo et al. 2017, "On calibration of modern neural networks", section 5."""


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
    return _scored(right, counts.sum(-1), counts.sum(-2))


def _scored(
    right: NDArray[np.float64], support: NDArray[np.float64], predicted: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    return {
        "precision": share(right, predicted),
        "recall": share(right, support),
        "f1": share(2 * right, support + predicted),
        "support": support,
    }


def share(
    part: NDArray[np.float64], whole: NDArray[np.float64], undefined: float = 0.0
) -> NDArray[np.float64]:
    """Divide; where the whole is nothing, the share is ``undefined``."""
    return np.divide(part, whole, out=np.full_like(whole, undefined), where=whole > 0)


def macro(name: str) -> Callable[[DataFrame], Statistic]:
    """Return the mean of a score over the classes that occur, as labels or as predictions."""

    def of(records: DataFrame) -> Statistic:
        labels = records["label"].to_numpy(dtype=np.int64)
        predictions = records["prediction"].to_numpy(dtype=np.int64)
        occurring = np.unique(np.concatenate([labels, predictions]))
        is_of, is_said = (column[:, None] == occurring for column in (labels, predictions))

        def score(weights: NDArray[np.float64]) -> NDArray[np.float64]:
            support, predicted = weights @ is_of, weights @ is_said
            found = _scored(weights @ (is_of & is_said), support, predicted)[name]
            occurs = (support + predicted) > 0
            return share((found * occurs).sum(1), occurs.sum(1).astype(np.float64), float("nan"))

        return score

    return of


def calibration_error(records: DataFrame) -> Statistic:
    """Return the expected calibration error over :data:`BINS` bins of equal width."""
    right = (records["label"] == records["prediction"]).to_numpy(dtype=np.float64)
    confidence = records["confidence"].to_numpy(dtype=np.float64)
    bins = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    distance = (right - confidence)[:, None] * np.eye(BINS)[bins]

    def score(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return share(np.abs(weights @ distance).sum(1), weights.sum(1), float("nan"))

    return score
