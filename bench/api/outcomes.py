"""What records say of each image: right, fooled, within its budget, and how far it was moved.

These are the denominators and numerators of metrics and rules, written once; nothing is averaged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from bench.records import TOLERANCE, Budget, success_of

if TYPE_CHECKING:
    from pandas import DataFrame, Series

Values: TypeAlias = "Series[Any]"
"""One value for each image that counts; the index is that of the records."""


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


def norm_to_success(records: DataFrame) -> Values:
    """Return the size of each eligible image's perturbation; infinite where it did not fool."""
    counted = records.drop(columns="within_budget", errors="ignore")[eligible(records)]
    return counted["size"].astype(float).where(fooled(counted), float("inf"))
