"""Metrics of which there are several: columns of records, quantiles, and what cells hold whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from bench.api import Metric, outcomes
from bench.api.metrics import Better, Unit, number
from bench.api.outcomes import Values
from bench.records import JSON, Kind
from bench.statistics import Estimate, Statistic, quantile, share

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame

_SLACK = 1e-9
"""Sums of weights carry rounding."""


class Whole(Metric):
    """A figure that a cell's summary holds whole."""

    def __init__(
        self, name: str, definition: str, unit: Unit, kind: Kind, better: Better | None = None
    ) -> None:
        super().__init__(name, definition)
        self.unit, self.kinds, self.better = unit, (kind,), better


class Quotient(Metric):
    """A figure of the model's original over one of the variant."""

    unit = "score"
    better = "higher"
    beside_original = True

    def __init__(self, name: str, definition: str, kind: Kind, of: tuple[str, str]) -> None:
        super().__init__(name, definition)
        self.kinds, self.of = (kind,), of

    def figure(self, summary: Mapping[str, JSON], original: Mapping[str, JSON]) -> float | None:
        """Divide: the original's figure by the variant's."""
        first, own = number(original, self.of[0]), number(summary, self.of[1])
        return first / own if first is not None and own else None


class Column(Metric):
    """A column of the records: of all images that have a value, or of the successes."""

    def __init__(
        self,
        name: str,
        definition: str,
        unit: Unit,
        kinds: tuple[Kind, ...],
        better: Better | None = None,
        *,
        column: str = "",
        of_successes: bool = False,
        mean: bool = True,
    ) -> None:
        super().__init__(name, definition)
        self.unit, self.kinds, self.better, self.mean = unit, kinds, better, mean
        self.column, self.of_successes = column or name, of_successes

    def values(self, records: DataFrame) -> Values:
        """Return the column's values."""
        if self.of_successes:
            records = records[outcomes.eligible(records) & outcomes.fooled(records)]
        return records[self.column].dropna().astype(float)


class Quantile(Metric):
    """The least value that a share of the images that count does not exceed.

    ``of_images`` returns the value of each image that counts, infinite where it has none.
    """

    better = "higher"
    interval = "order-statistic"
    kinds = ("attack",)

    def __init__(
        self,
        name: str,
        definition: str,
        unit: Unit,
        of_images: Callable[[DataFrame], Values],
        of: float,
        *,
        needs_minimum: bool = False,
    ) -> None:
        super().__init__(name, definition)
        self.unit, self.of, self.needs_minimum = unit, of, needs_minimum
        self.counts = of_images

    def estimated(self, records: DataFrame) -> Estimate:
        """Return the quantile, between two values of the sample."""
        return quantile(self._values(records).to_numpy(dtype=float), self.of)

    def weighted(self, records: DataFrame) -> Statistic:
        """Return the quantile; nan of weights by which no image counts."""
        values = self._values(records).sort_values()
        rows, numbers = values.index.to_numpy(), values.to_numpy(dtype=float)

        def least(weights: NDArray[np.float64]) -> NDArray[np.float64]:
            counted = weights[:, rows].cumsum(axis=1)
            if not len(rows):
                return share(counted.sum(1), counted.sum(1), undefined=float("nan"))
            short = counted < self.of * counted[:, -1:] - _SLACK
            return np.where(counted[:, -1] > 0, numbers[short.sum(axis=1)], np.nan)

        return least

    def _values(self, records: DataFrame) -> Values:
        if self.counts is None:
            raise TypeError(f"{self.name} has no value of each image")
        return self.counts(records)
