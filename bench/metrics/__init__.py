"""Metrics, from the per-image records of a cell to an estimate.

A metric picks the images that it speaks of (its denominator) and gives each a value. Rates come
with a Wilson interval, other figures with that of :mod:`bench.statistics` that fits them. Metrics
are plugins: this room knows none by name. No torch, and no knowledge of where records come from.
"""

from bench.api import Metric
from bench.api.metrics import Unit
from bench.api.outcomes import (
    eligible,
    fooled,
    judged,
    norm_to_success,
    plain,
    right_after,
    right_before,
    scored,
    success,
)
from bench.metrics.estimates import (
    CellData,
    Withheld,
    by_training,
    common_images,
    estimate,
    estimate_replicas,
    statistic,
    violations,
)
from bench.metrics.worst_case import fooled_within, worst_case
from bench.registry.offered import Offered

METRICS: Offered[Metric] = Offered("metrics", Metric)
"""The metrics that are installed, by name; read at the first look."""

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
    "fooled_within",
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
