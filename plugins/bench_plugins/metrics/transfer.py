"""What adversarial images do to a model that they were not made on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.api import Metric, outcomes
from bench.api.outcomes import Values

if TYPE_CHECKING:
    from pandas import DataFrame


class SourceSuccess(Metric):
    """The attack's success rate on the model that its images were made on."""

    name = "source_success"
    kinds = ("transfer",)
    needs_budget = True

    def values(self, records: DataFrame) -> Values:
        """Return which of the images that counted on the source fooled it."""
        known = records["source_success"].dropna().astype(bool)
        return known & outcomes.within(records)[known.index]


class TargetSuccess(Metric):
    """Of the images that the target model had right, those that it now has wrong (targeted:
    predicts as the target class, of those whose class is not the target).
    """

    name = "target_success"
    kinds = ("transfer",)
    needs_budget = True

    def values(self, records: DataFrame) -> Values:
        """Return the success of every eligible image."""
        return outcomes.success(records)


class TransferRate(Metric):
    """target_success, among the images that fooled the source model only."""

    name = "transfer_rate"
    kinds = ("transfer",)
    needs_budget = True

    def values(self, records: DataFrame) -> Values:
        """Return the success of every eligible image that fooled the source."""
        fooled_source = outcomes.truth(records["source_success"]) & outcomes.within(records)
        return outcomes.success(records[fooled_source])


METRICS = (SourceSuccess, TargetSuccess, TransferRate)
