"""What records say of each image: right, fooled, within its budget, and how far or late it fell.

These are the denominators and numerators of all metrics; nothing is averaged here but by weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.metrics import classification
from bench.metrics.metric import Values, Weighted
from bench.records import TOLERANCE, Budget, success_of
from bench.statistics import Statistic

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame


def right_before(records: DataFrame) -> Values:
    """Which images the model had right before any attack."""
    return truth(records["clean_prediction"] == records["label"])


def plain(records: DataFrame) -> list[dict[str, Any]]:
    """Return records as mappings, with None for what is missing."""
    return [
        {str(name): None if value != value else value for name, value in row.items()}  # noqa: PLR0124 (nan)
        for row in records.astype(object).to_dict("records")
    ]


def scored(records: DataFrame, budget: Budget | None) -> DataFrame:
    """Mark which images lie within a budget: only those can count as successes of an attack.

    Args:
        records: of an attack, or of a transfer of its images.
        budget: of the attack or, where it promises none, of the suite; None marks nothing.

    """
    if budget is None or budget.norm not in records:
        return records
    size = records[budget.norm].astype(float)
    return records.assign(within_budget=(size <= budget.eps + TOLERANCE) | size.isna())


def within(records: DataFrame) -> Values:
    """Which images lie within the budget; all do where none was marked."""
    import pandas as pd

    if "within_budget" in records:
        return records["within_budget"]
    return pd.Series(data=True, index=records.index)


def right_after(records: DataFrame) -> Values:
    """Which images the model has right after the attack: as before, where it left its budget."""
    after = truth(records["prediction"] == records["label"])
    return after.where(within(records), right_before(records))


def eligible(records: DataFrame) -> Values:
    """Which images count for success: right before, and the target, if any, is not their class."""
    return right_before(records) & ~truth(records["target"] == records["label"])


def judged(records: DataFrame) -> DataFrame:
    """Return records with the verdict on each image, by the one function that decides it.

    Records of attacks hold it; those of transfers do not, nor do files from before it was kept.
    """
    import pandas as pd

    if "success" in records:
        return records
    names = ["label", "target", "clean_prediction", "prediction"]
    known = records[names].astype(object)
    rows = known.where(known.notna(), None).itertuples(index=False)
    verdicts = pd.array([success_of(*row) for row in rows], dtype="boolean")
    return records.assign(success=verdicts)


def fooled(records: DataFrame) -> Values:
    """Which images are, within budget, successes of the attack, of those that count."""
    return truth(judged(records)["success"]) & within(records)


def success(records: DataFrame) -> Values:
    """Success of every eligible image; the index is that of the records."""
    return fooled(records)[eligible(records)]


def truth(comparison: Values) -> Values:
    """Read a comparison of columns in which a missing value equals nothing."""
    return comparison.fillna(value=False).astype(bool)


def column_of(name: str, *, of_successes: bool = False) -> Callable[[DataFrame], Values]:
    """Return what reads a column: of all images that have a value, or of the successes."""

    def values(records: DataFrame) -> Values:
        if of_successes:
            records = records[eligible(records) & fooled(records)]
        return records[name].dropna().astype(float)

    return values


def right_unattacked(records: DataFrame) -> Values:
    """Which images are right before any attack, in records of attacks or of none."""
    before = "clean_prediction" if "clean_prediction" in records else "prediction"
    return truth(records[before] == records["label"])


def transferred(records: DataFrame) -> Values:
    """Success of every eligible image that fooled the source."""
    return success(records[truth(records["source_success"]) & within(records)])


def fooled_source(records: DataFrame) -> Values:
    """Which of the images that counted on the source fooled it."""
    known = records["source_success"].dropna().astype(bool)
    return known & within(records)[known.index]


def norm_to_success(records: DataFrame) -> Values:
    """Return the size of each eligible image's perturbation; infinite where it did not fool."""
    counted = records.drop(columns="within_budget", errors="ignore")[eligible(records)]
    return counted["size"].astype(float).where(fooled(counted), float("inf"))


def steps_to_success(records: DataFrame) -> Values:
    """Return the step at which each eligible image fell; infinite where it did not.

    Nothing where the attack does not tell its steps, which all images that fell would have; where
    none fell, ``traceable`` says whether it would have told them.
    """
    counted = records[eligible(records)]
    fell = fooled(counted)
    is_told = "traceable" in counted and bool(counted["traceable"].all())
    if counted["steps_to_success"][fell].isna().any() or not (fell.any() or is_told):
        return counted["steps_to_success"].astype(float)[:0]
    return counted["steps_to_success"].astype(float).where(fell, float("inf"))


def robust_to_all(records: DataFrame) -> Values:
    """Which images are right before and after every attack; see :func:`worst_case`."""
    return records["robust_to_all"]


def worst_case(attacks: Sequence[DataFrame], budget: Budget) -> DataFrame:
    """Put several attacks on one model together: which images remain correct under all of them.

    Args:
        attacks: records of each, of the same images, transferred ones included; at least one.
        budget: an image counts if its perturbation lies within, whatever the attack aimed at. One
            that has no verdict does not.

    """
    first = attacks[0].set_index("image")
    robust = right_before(first)
    for records in attacks:
        known = scored(records.drop(columns="within_budget", errors="ignore"), budget)
        known = known.set_index("image").loc[first.index]
        wrong = known["prediction"].notna() & ~truth(known["prediction"] == known["label"])
        robust &= ~(wrong & within(known))
    return first.assign(robust_to_all=robust).reset_index()[["image", "label", "robust_to_all"]]


_SLACK = 1e-9
"""Sums of weights carry rounding."""


def quantile_of(of: Callable[[DataFrame], Values], share: float) -> Weighted:
    """Return the least value that a share of the images that count does not exceed."""

    def weighted(records: DataFrame) -> Statistic:
        values = of(records).sort_values()
        rows, numbers = values.index.to_numpy(), values.to_numpy(dtype=float)

        def quantile(weights: NDArray[np.float64]) -> NDArray[np.float64]:
            counted = weights[:, rows].cumsum(axis=1)
            if not len(rows):
                return classification.share(counted.sum(1), counted.sum(1), undefined=float("nan"))
            short = counted < share * counted[:, -1:] - _SLACK
            return np.where(counted[:, -1] > 0, numbers[short.sum(axis=1)], np.nan)

        return quantile

    return weighted


def recovered(records: DataFrame) -> Statistic:
    """Return the accuracy of a variant over that of its original, on the same images."""
    own, first = (
        truth(records[name] == records["label"]).to_numpy(dtype=float)
        for name in ("prediction", "original_prediction")
    )

    def ratio(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return classification.share(weights @ own, weights @ first, undefined=float("nan"))

    return ratio


def proved(records: DataFrame) -> Values:
    """Which images are proved to stay right; a shield that abstains predicts nothing."""
    return truth(records["prediction"] == records["label"])


def detected(records: DataFrame) -> Values:
    """Return the images whose scores are compared with those of unattacked ones: the successes."""
    return records["success"][truth(records["success"]) & within(records)]


def auroc_of(records: DataFrame) -> Statistic:
    """Return how often the image of a success looks more suspicious than an unattacked one."""
    fell = (truth(records["success"]) & within(records)).to_numpy()
    attacked = records["adversarial_score"].to_numpy(dtype=float)[fell]
    clean = records["clean_score"].to_numpy(dtype=float)
    ahead = np.sign(attacked[:, None] - clean) / 2 + 0.5

    def auroc(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        pairs = weights[:, fell].sum(1) * weights.sum(1)
        won = ((weights[:, fell] @ ahead) * weights).sum(1)
        return classification.share(won, pairs, undefined=float("nan"))

    return auroc
