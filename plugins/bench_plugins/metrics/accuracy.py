"""How often models are right, over all images and over classes, and how well they know it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.api import Metric, outcomes
from bench.api.outcomes import Values
from bench.records import Kind
from bench.statistics import NOTHING, Estimate, Statistic, macro, paired_ratio, share

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame

BINS = 15
"""Of confidence. Source: Guo et al. 2017, "On calibration of modern neural networks", section 5."""


class CleanAccuracy(Metric):
    """Right before any attack, over all evaluated images."""

    name = "clean_accuracy"
    kinds: tuple[Kind, ...] = ("evaluate", "attack", "transfer")
    needs_verdict = False
    better = "higher"

    def values(self, records: DataFrame) -> Values:
        """Return which images are right, in records of attacks or of none."""
        before = "clean_prediction" if "clean_prediction" in records else "prediction"
        return outcomes.truth(records[before] == records["label"])


class AccuracyBefore(CleanAccuracy):
    """Right before the last training of a reduced variant, over all evaluated images.
    clean_accuracy is of the whole variant: of what follows that training, too.
    """

    name = "accuracy_before"
    kinds = ("interim",)


class Macro(Metric):
    """The mean of a score over the classes that occur, as labels or as predictions."""

    kinds = ("evaluate",)
    macro = True
    interval = "Korn-Graubard"
    better = "higher"

    def __init__(self, name: str, definition: str, support: float, predicted: float) -> None:
        """Take what is divided by: so much of a class's images, and of those predicted as it."""
        words = "the mean over the classes that occur (sklearn: average='macro', zero_division=0)."
        super().__init__(name, f"{definition}; {words}")
        self.weights = (support, predicted)

    def estimated(self, records: DataFrame) -> Estimate:
        """Return the score with the interval of :func:`bench.statistics.macro`."""
        if not len(records):
            return NOTHING
        is_of, is_said = _by_class(records)
        return macro((is_of.T @ is_said).astype(np.float64), *self.weights)

    def weighted(self, records: DataFrame) -> Statistic:
        """Return the score as a function of the images' weights."""
        is_of, is_said = _by_class(records)
        of_support, of_predicted = self.weights

        def mean(weights: NDArray[np.float64]) -> NDArray[np.float64]:
            support, predicted = weights @ is_of, weights @ is_said
            whole = of_support * support + of_predicted * predicted
            occurs = (support + predicted) > 0
            found = share(weights @ (is_of & is_said), whole) * occurs
            return share(found.sum(1), occurs.sum(1).astype(np.float64), float("nan"))

        return mean


def _by_class(records: DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return, by (image, class that occurs), which is its label and which its prediction."""
    labels = records["label"].to_numpy(dtype=np.int64)
    predictions = records["prediction"].to_numpy(dtype=np.int64)
    occurring = np.unique(np.concatenate([labels, predictions]))
    of, said = (column[:, None] == occurring for column in (labels, predictions))
    return of.astype(np.int64), said.astype(np.int64)


class CalibrationError(Metric):
    """Expected calibration error: over 15 equal bins of confidence, the mean distance of
    confidence and accuracy, weighted by how many images a bin holds (Guo et al. 2017). Few images
    raise it.
    """

    name = "calibration_error"
    kinds = ("evaluate",)
    biased = True
    better = "lower"

    def weighted(self, records: DataFrame) -> Statistic:
        """Return the error over :data:`BINS` bins of equal width."""
        right = (records["label"] == records["prediction"]).to_numpy(dtype=np.float64)
        confidence = records["confidence"].to_numpy(dtype=np.float64)
        bins = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
        distance = (right - confidence)[:, None] * np.eye(BINS)[bins]

        def error(weights: NDArray[np.float64]) -> NDArray[np.float64]:
            return share(np.abs(weights @ distance).sum(1), weights.sum(1), float("nan"))

        return error


class RecoveryRate(Metric):
    """Accuracy of a variant over that of its model's original, on the same images."""

    name = "recovery_rate"
    kinds = ("evaluate",)
    beside_original = True
    interval = "paired score"
    better = "higher"

    def estimated(self, records: DataFrame) -> Estimate:
        """Return the quotient with its score interval."""
        own, first = _right_beside(records)
        both, only_own, only_first = own & first, own & ~first, first & ~own
        return paired_ratio(both.sum(), only_own.sum(), only_first.sum(), len(records))

    def weighted(self, records: DataFrame) -> Statistic:
        """Return the quotient as a function of the images' weights."""
        own, first = (right.astype(float) for right in _right_beside(records))

        def ratio(weights: NDArray[np.float64]) -> NDArray[np.float64]:
            return share(weights @ own, weights @ first, undefined=float("nan"))

        return ratio


def _right_beside(records: DataFrame) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which images the variant has right, and which its original."""
    own, first = (
        outcomes.truth(records[name] == records["label"]).to_numpy(dtype=bool)
        for name in ("prediction", "original_prediction")
    )
    return own, first


METRICS: tuple[Metric, ...] = (
    CleanAccuracy(),
    Macro("macro_precision", "Of the images predicted as a class, the share that is", 0, 1),
    Macro("macro_recall", "Of the images of a class, the share predicted as it", 1, 0),
    Macro("macro_f1", "Harmonic mean of precision and recall of a class", 0.5, 0.5),
    CalibrationError(),
    AccuracyBefore(),
    RecoveryRate(),
)
