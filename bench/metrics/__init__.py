"""Every metric: from the per-image records of a cell to an estimate.

A metric picks the images that it speaks of (its denominator) and gives each a value. Rates come
with a Wilson interval, means with a bootstrap interval. No torch, and no knowledge of where
records come from.
"""

from bench.metrics.definitions import METRICS
from bench.metrics.estimates import (
    CellData,
    by_training,
    common_images,
    estimate,
    estimate_replicas,
    statistic,
    violations,
)
from bench.metrics.metric import Metric, Unit, Withheld
from bench.metrics.outcomes import (
    eligible,
    fooled,
    judged,
    norm_to_success,
    plain,
    right_after,
    right_before,
    scored,
    success,
    worst_case,
)

__all__ = [
    "METRICS",
    "CellData",
    "Metric",
    "Unit",
    "Withheld",
    "by_training",
    "common_images",
    "eligible",
    "estimate",
    "estimate_replicas",
    "fooled",
    "judged",
    "norm_to_success",
    "plain",
    "right_after",
    "right_before",
    "scored",
    "statistic",
    "success",
    "violations",
    "worst_case",
]
