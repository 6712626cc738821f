"""How often models are right, over all images and over classes, and how well they know it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from bench.api import Metric, outcomes
from bench.api.outcomes import Values
from bench.records import Kind
from bench.statistics import Statistic, share

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


class _Macro(Metric, ABC):
    """The mean of a score over the classes that occur, as labels or as predictions."""

    kinds = ("evaluate",)
    macro = True
    better = "higher"

    @abstractmethod
    def score(
        self,
        right: NDArray[np.float64],
        support: NDArray[np.float64],
        predicted: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Return the score of each class; 0 where it is undefined.

        Args:
            right, support, predicted: images of each (draw, class) that are predicted as it and
                are, that are, that are predicted as it.

        """

    def weighted(self, records: DataFrame) -> Statistic:
        """Return the score as a function of the images' weights."""
        labels = records["label"].to_numpy(dtype=np.int64)
        predictions = records["prediction"].to_numpy(dtype=np.int64)
        occurring = np.unique(np.concatenate([labels, predictions]))
        is_of, is_said = (column[:, None] == occurring for column in (labels, predictions))

        def mean(weights: NDArray[np.float64]) -> NDArray[np.float64]:
            support, predicted = weights @ is_of, weights @ is_said
            found = self.score(weights @ (is_of & is_said), support, predicted)
            occurs = (support + predicted) > 0
            return share((found * occurs).sum(1), occurs.sum(1).astype(np.float64), float("nan"))

        return mean


class MacroPrecision(_Macro):
    """Of the images predicted as a class, the share that is; the mean over the classes that occur
    (sklearn: average='macro', zero_division=0).
    """

    name = "macro_precision"

    def score(
        self,
        right: NDArray[np.float64],
        support: NDArray[np.float64],
        predicted: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Return the precision."""
        return share(right, predicted)


class MacroRecall(_Macro):
    """Of the images of a class, the share predicted as it; the mean over the classes that occur
    (sklearn: average='macro', zero_division=0).
    """

    name = "macro_recall"

    def score(
        self,
        right: NDArray[np.float64],
        support: NDArray[np.float64],
        predicted: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Return the recall."""
        return share(right, support)


class MacroF1(_Macro):
    """Harmonic mean of precision and recall of a class; the mean over the classes that occur
    (sklearn: average='macro', zero_division=0).
    """

    name = "macro_f1"

    def score(
        self,
        right: NDArray[np.float64],
        support: NDArray[np.float64],
        predicted: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Return the F1."""
        return share(2 * right, support + predicted)


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
    better = "higher"

    def weighted(self, records: DataFrame) -> Statistic:
        """Return the quotient as a function of the images' weights."""
        own, first = (
            outcomes.truth(records[name] == records["label"]).to_numpy(dtype=float)
            for name in ("prediction", "original_prediction")
        )

        def ratio(weights: NDArray[np.float64]) -> NDArray[np.float64]:
            return share(weights @ own, weights @ first, undefined=float("nan"))

        return ratio


METRICS = (
    CleanAccuracy,
    MacroPrecision,
    MacroRecall,
    MacroF1,
    CalibrationError,
    AccuracyBefore,
    RecoveryRate,
)
