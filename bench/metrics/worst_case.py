"""Several attacks on one model together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.api.outcomes import right_before, scored, truth, within
from bench.records import Budget

if TYPE_CHECKING:
    from pandas import DataFrame


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
        known = scored(records.drop(columns="within_budget", errors="ignore"), budget)
        known = known.set_index("image").loc[first.index]
        wrong = known["prediction"].notna() & ~truth(known["prediction"] == known["label"])
        robust &= ~(wrong & within(known))
    return first.assign(robust_to_all=robust).reset_index()[["image", "label", "robust_to_all"]]
