"""What a metric is: which images it speaks of, and what it makes of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from bench.records import Kind
from bench.statistics import Statistic

if TYPE_CHECKING:
    from pandas import DataFrame, Series

Values: TypeAlias = "Series[Any]"
Unit: TypeAlias = Literal["share", "pixels", "count", "seconds", "ms", "bytes", "score"]
Weighted: TypeAlias = "Callable[[DataFrame], Statistic]"


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of a cell.

    Attributes:
        name: how tables and suites call it.
        definition: one sentence.
        unit: ``share`` (printed in percent), ``pixels`` (of the range [0, 1]), ``count``,
            ``seconds``, ``ms``, ``bytes``, ``score`` (no unit).
        kinds: the kinds of cell that have it, the preferred first.
        values: from a cell's records to one value for each image that counts: booleans for a rate,
            numbers for a mean. None for a figure that the cell's summary holds whole.
        weighted: in place of ``values``, for a figure that is no mean over images (macro F1, a
            median): from a cell's records to a function of the images' weights.
        counts: of a ``weighted`` figure, the values whose number is its n; all images if None.
        biased: a small sample shifts it, so that no interval is told and no test is made.
        macro: a ``weighted`` figure that is a mean of shares: as of a share, a sample without an
            error leaves it in doubt all the same.
        better: which way is better, where one is.
        needs_verdict: withheld where an image of the cell has no verdict.
        of_every_image: it counts images of a targeted attack's own target class too, which
            success leaves out: beside such attacks that is stated.
        worst_case: of all attacks on a model together, within the budget of a cell.
        mean: a mean with a bootstrap interval; else a rate with a Wilson interval.
        needs_budget: withheld where an attack has no budget: a rate belongs to one.
        needs_minimum: withheld where an attack looks for any image in a ball, not for the nearest.
        beside_original: compares a variant with its model's original, whose records (columns that
            begin with ``original_``) and figures it needs.
        quotient: of two figures, the original's over the variant's, by their names.

    """

    name: str
    definition: str
    unit: Unit
    kinds: tuple[Kind, ...]
    values: Callable[[DataFrame], Values] | None = None
    needs_verdict: bool = True
    needs_budget: bool = False
    needs_minimum: bool = False
    of_every_image: bool = False
    worst_case: bool = False
    mean: bool = False
    weighted: Weighted | None = None
    counts: Callable[[DataFrame], Values] | None = None
    biased: bool = False
    macro: bool = False
    better: Literal["higher", "lower"] | None = None
    beside_original: bool = False
    quotient: tuple[str, str] | None = None

    @property
    def is_counted(self) -> bool:
        """Whether it is counted, not estimated: two that are not equal differ, without a test."""
        return self.kinds == ("profile",) or self.unit == "bytes"


@dataclass(frozen=True, slots=True)
class Withheld:
    """A figure that is not told, and why."""

    reason: str
