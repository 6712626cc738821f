"""Confusions of a model: images by class and predicted class, scores, frequent confusions.

Counts are of each training by itself; scores are means over trainings. No torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench import metrics
from bench.matrix import Entry, Matrix
from bench.metrics import classification

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SCORES = ("precision", "recall", "f1")


@dataclass(frozen=True)
class ClassScores:
    """Scores of one class, the mean over trainings; None where they are undefined."""

    precision: float | None
    recall: float | None
    f1: float | None
    support: float


@dataclass(frozen=True)
class Confusion:
    """How many images of a class are predicted as another, over all trainings, and of how many."""

    label: int
    prediction: int
    images: int
    support: int


def confusions(matrix: Matrix, entries: Sequence[Entry]) -> list[NDArray[np.float64]]:
    """Count a model's images by (class, predicted class), for each training."""
    classes = len(matrix.run["dataset"]["classes"])
    return [
        classification.confusion(
            records["label"].to_numpy(dtype=np.int64),
            records["prediction"].to_numpy(dtype=np.int64),
            classes,
        )
        for records in metrics.by_training(matrix.cell_data(entries))
    ]


def class_scores(counts: Sequence[NDArray[np.float64]]) -> list[ClassScores]:
    """Score each class.

    The precision of a class is undefined where no image is predicted as it, its recall where no
    image has it, and its F1 where both are so.
    """
    each = [classification.per_class(one) for one in counts]
    support = np.mean([one["support"] for one in each], axis=0)
    predicted = np.mean([one.sum(0) for one in counts], axis=0)
    defined = (predicted > 0, support > 0, support + predicted > 0)
    precision, recall, f1 = (
        [float(mean) if is_defined[i] else None for i, mean in enumerate(means)]
        for is_defined, means in zip(
            defined, (np.mean([one[n] for one in each], axis=0) for n in _SCORES), strict=True
        )
    )
    return [
        ClassScores(*scores)
        for scores in zip(precision, recall, f1, map(float, support), strict=True)
    ]


def macro_scores(counts: Sequence[NDArray[np.float64]]) -> ClassScores:
    """Return the means over the classes that occur, where undefined counts 0, as scikit-learn's."""
    each = [classification.per_class(one) for one in counts]
    occurs = [one.sum(0) + one.sum(1) > 0 for one in counts]
    precision, recall, f1 = (
        float(np.mean([one[name][o].mean() for one, o in zip(each, occurs, strict=True)]))
        for name in _SCORES
    )
    return ClassScores(precision, recall, f1, float(np.mean([one.sum() for one in counts])))


def frequent_confusions(counts: Sequence[NDArray[np.float64]], most: int) -> list[Confusion]:
    """Return the most frequent confusions, at most so many; equals in the order of the classes."""
    total = np.sum(counts, axis=0)
    wrong = total * (1 - np.eye(len(total)))
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    places = [divmod(int(cell), len(total)) for cell in order]
    return [
        Confusion(label, prediction, int(wrong[label, prediction]), int(total[label].sum()))
        for label, prediction in places
        if wrong[label, prediction]
    ]
