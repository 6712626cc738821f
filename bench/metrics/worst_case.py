"""Several attacks on one model together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.api.outcomes import right_before, scored, truth, within
from bench.records import Budget

if TYPE_CHECKING:
    from pandas import DataFrame, Series


def worst_case(attacks: Sequence[DataFrame], budget: Budget) -> DataFrame:
    """Put several attacks on one model together: which images remain correct under all of them.

    Args:
        attacks: records of each, of the same images, transferred ones included; at least one.
        budget: an image counts if its perturbation lies within, whatever the attack aimed at. One
            that has no verdict does not.

    Returns:
        One row an image: ``image``, ``label``, ``robust_to_all``.

    """
    first = attacks[0].set_index("image")
    robust = right_before(first)
    for records in attacks:
        wrong, inside = _wrong(records, budget)
        robust &= ~(wrong & inside).loc[first.index]
    return first.assign(robust_to_all=robust).reset_index()[["image", "label", "robust_to_all"]]


def fooled_within(records: DataFrame, budget: Budget) -> tuple[int, bool]:
    """Count the images of one attack that were right before and are wrong within a budget.

    Returns:
        Their number, and whether any image of the attack lies within the budget.

    """
    wrong, inside = _wrong(records, budget)
    right = right_before(records.set_index("image"))
    return int((wrong & inside & right).sum()), bool(inside.any())


def _wrong(records: DataFrame, budget: Budget) -> tuple[Series[bool], Series[bool]]:
    """Say of each image whether it is misclassified, and whether it lies within a budget."""
    known = scored(records.drop(columns="within_budget", errors="ignore"), budget)
    known = known.set_index("image")
    wrong = known["prediction"].notna() & ~truth(known["prediction"] == known["label"])
    return wrong, within(known)
