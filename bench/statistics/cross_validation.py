"""What a cross-validation may say: figures and differences carry what its folds spread.

The trainings of a cross-validation share images, so a plain t test takes them for more evidence
than they are; the variance is corrected for that. Where folds spread less than their images
explain, what the images say stays: the wider interval, the larger p-value. Folds are taken to be
judged whole: where images are drawn from them, as for attacks, the variance is larger than need be.

Source: Nadeau and Bengio 2003, "Inference for the generalization error", section 3.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from bench.statistics.intervals import CONFIDENCE, Difference, Estimate, quantile_of_t


def compared(found: Difference, differences: ArrayLike, trainings: int = 1) -> Difference:
    """Have a difference over all images of a cross-validation carry what its folds spread.

    Args:
        found: of the images of all folds together.
        differences: one a fold, two folds or more; of several trainings, one after the other.
        trainings: how often the same folds were trained on, under other seeds: their mean counts,
            since that the folds are the same leaves no more folds than there are.

    """
    from scipy.special import stdtr

    error, freedom = _error(differences, trainings)
    two, one = (error * quantile_of_t(freedom, p) for p in (0.5 + CONFIDENCE / 2, CONFIDENCE))
    p_value = float(2 * stdtr(freedom, -abs(found.value) / error)) if error else 0.0
    return replace(
        found,
        low=None if found.low is None else min(found.low, found.value - two),
        high=None if found.high is None else max(found.high, found.value + two),
        p_value=max(found.p_value, p_value),
        lower_bound=min(found.lower_bound, found.value - one),
    )


def estimated(found: Estimate, figures: ArrayLike, trainings: int = 1) -> Estimate:
    """Have a figure of all images of a cross-validation carry what its folds spread.

    Args:
        found: of the images of all folds together; one without an interval gets none.
        figures: one a fold, as :func:`compared` takes differences.
        trainings: as of :func:`compared`.

    """
    if found.value is None or found.low is None or found.high is None:
        return found
    error, freedom = _error(figures, trainings)
    reach = error * quantile_of_t(freedom, 0.5 + CONFIDENCE / 2)
    low, high = min(found.low, found.value - reach), max(found.high, found.value + reach)
    return replace(found, low=low, high=high)


def _error(figures: ArrayLike, trainings: int) -> tuple[float, int]:
    """Return the standard error of the mean over folds, and its degrees of freedom."""
    folds = np.asarray(figures, dtype=np.float64).reshape(trainings, -1).mean(0)
    freedom = len(folds) - 1
    held_out_share = 1 / freedom  # images held out over images trained on
    return math.sqrt((1 / len(folds) + held_out_share) * float(folds.var(ddof=1))), freedom
