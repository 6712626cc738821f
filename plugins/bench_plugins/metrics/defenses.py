"""What shields prove, and what detectors see."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.api import Metric, outcomes
from bench.api.outcomes import Values
from bench.statistics import Estimate, Statistic, auroc, share

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame


class CertifiedAccuracy(Metric):
    """Predicted right, and proved to stay so within some radius, over all images."""

    name = "certified_accuracy"
    kinds = ("certify",)
    better = "higher"

    def values(self, records: DataFrame) -> Values:
        """Return which images are proved; a shield that abstains predicts nothing."""
        return outcomes.truth(records["prediction"] == records["label"])


class CertifiedRadius(Metric):
    """Mean l2 radius within which the right prediction is proved; 0 where it is wrong or
    the shield abstains (average certified radius, Zhai et al. 2020).
    """

    name = "certified_radius"
    unit = "pixels"
    kinds = ("certify",)
    mean = True
    better = "higher"

    def values(self, records: DataFrame) -> Values:
        """Return the radius of each image."""
        proved = outcomes.truth(records["prediction"] == records["label"])
        return records["radius"].where(proved, 0.0)


class DetectionAuroc(Metric):
    """Chance that the image of a success scores higher with the detector than an
    unattacked image; a half is guessing. The attack does not know of the detector.
    """

    name = "detection_auroc"
    unit = "score"
    interval = "DeLong logit"
    kinds = ("detect",)
    better = "higher"

    def counts(self, records: DataFrame) -> Values:
        """Return the images whose scores are compared with unattacked ones': the successes."""
        return records["success"][_successes(records)]

    def estimated(self, records: DataFrame) -> Estimate:
        """Return the same with the interval of :func:`bench.statistics.auroc`."""
        attacked = records["adversarial_score"][_successes(records)]
        scores = (column.to_numpy(dtype=float) for column in (attacked, records["clean_score"]))
        return auroc(*scores)

    def weighted(self, records: DataFrame) -> Statistic:
        """Return how often a success looks more suspicious than an unattacked image."""
        hit = _successes(records).to_numpy()
        attacked = records["adversarial_score"].to_numpy(dtype=float)[hit]
        clean = records["clean_score"].to_numpy(dtype=float)
        ahead = np.sign(attacked[:, None] - clean) / 2 + 0.5

        def auroc(weights: NDArray[np.float64]) -> NDArray[np.float64]:
            pairs = weights[:, hit].sum(1) * weights.sum(1)
            won = ((weights[:, hit] @ ahead) * weights).sum(1)
            return share(won, pairs, undefined=float("nan"))

        return auroc


def _successes(records: DataFrame) -> Values:
    return outcomes.truth(records["success"]) & outcomes.within(records)


METRICS = (CertifiedAccuracy, CertifiedRadius, DetectionAuroc)
