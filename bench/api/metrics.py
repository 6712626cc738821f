"""What a metric is: which cells have it, which images it speaks of, and what it makes of each.

A metric is one class. What it is called is the name of its entry point, what it means its
docstring. No torch, and no knowledge of where records come from.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from bench.api.outcomes import Values
from bench.records import JSON, Kind
from bench.statistics import Estimate, Limits, Statistic

if TYPE_CHECKING:
    from pandas import DataFrame

Unit: TypeAlias = Literal["share", "pixels", "count", "seconds", "ms", "bytes", "score"]
Better: TypeAlias = Literal["higher", "lower"]


class Metric:
    """A figure of a cell.

    Write one of three methods. ``values``: from a cell's records to one value for each image that
    counts, booleans for a rate, numbers for a ``mean``. ``weighted``, for a figure that is no mean
    over images (macro F1, a median): from the records to a function of the images' weights. Or
    ``figure``, for what a cell's summary holds whole; as it is, it reads the summary by the
    metric's name.

    Attributes:
        name: what tables and suites call it: the entry point's name, unless a table offers it.
        definition: what it is, in a sentence or two: the docstring, unless it is given.
        unit: ``share`` (printed in percent), ``pixels`` (of the range [0, 1]), ``count``,
            ``seconds``, ``ms``, ``bytes``, ``score`` (no unit).
        kinds: the kinds of cell that have it, the preferred first.
        better: which way is better, where one is.
        mean: a mean of numbers; else a rate, with a Wilson interval.
        limits: the least and the greatest that a value of a mean can be, None where that is not
            known; as it is, 0 and 1 of a share, from 0 of sizes and times. The interval of a mean
            needs them.
        interval: whose interval an ``estimated`` figure has, as tables say it.
        estimated: the figure of one training with its interval, of a ``weighted`` figure: from
            records to an estimate, as the functions of ``bench.statistics`` give one. Without it,
            the interval is Student's, with the variance of a bootstrap.
        counts: of a ``weighted`` figure, the values whose number is its n; all images if None.
        biased: a small sample shifts it, so that it gets no interval and no test.
        macro: a ``weighted`` figure that is a mean of shares: as of a share, a sample without an
            error leaves it in doubt all the same.
        needs_verdict: withheld where an image of the cell has no verdict.
        of_every_image: it counts images of a targeted attack's own target class too, which
            success leaves out: beside such attacks that is stated.
        needs_budget: withheld where an attack has no budget: a rate belongs to one.
        needs_minimum: withheld where an attack looks for any image in a ball, not for the nearest.
        worst_case: of all attacks on a model together, within the budget of a cell; the records
            are those of :func:`bench.metrics.worst_case`.
        beside_original: compares a variant with the same cell of its model's original, whose
            records (columns that begin with ``original_``) and summary it needs.

    """

    name: str = ""
    definition: str = ""
    unit: Unit = "share"
    kinds: tuple[Kind, ...] = ()
    better: Better | None = None
    mean: bool = False
    values: Callable[[DataFrame], Values] | None = None
    weighted: Callable[[DataFrame], Statistic] | None = None
    counts: Callable[[DataFrame], Values] | None = None
    estimated: Callable[[DataFrame], Estimate] | None = None
    interval: str = ""
    limits: Limits | None = None
    biased: bool = False
    macro: bool = False
    needs_verdict: bool = True
    needs_budget: bool = False
    needs_minimum: bool = False
    of_every_image: bool = False
    worst_case: bool = False
    beside_original: bool = False

    def __init__(self, name: str = "", definition: str = "") -> None:
        self.name = name or self.name
        words = definition or self.definition or type(self).__doc__ or ""
        self.definition = " ".join(inspect.cleandoc(words).split())

    def __repr__(self) -> str:
        return f"<metric {self.name}>"

    def figure(self, summary: Mapping[str, JSON], original: Mapping[str, JSON]) -> float | None:
        """Return the figure of a cell that has no value of each image; None where it has none.

        Args:
            summary: of the cell: what is not per image.
            original: the summary of the same cell of the model's original; empty unless the metric
                is ``beside_original``.

        """
        return number(summary, self.name)

    @property
    def is_counted(self) -> bool:
        """Whether it is counted, not estimated: two that are not equal differ, without a test."""
        return self.kinds == ("profile",) or self.unit == "bytes"

    @property
    def is_robustness(self) -> bool:
        """Whether it is the share of all images that remain correct under one attack."""
        return (
            "attack" in self.kinds
            and self.needs_budget
            and self.of_every_image
            and self.better == "higher"
            and not self.worst_case
        )

    @property
    def interval_name(self) -> str:
        """Whose interval it has, of one training."""
        if self.values is not None:
            return "Gaffke" if self.mean else "Wilson"
        return self.interval or "bootstrap t"

    @property
    def ends(self) -> Limits:
        """The least and the greatest that a value can be."""
        if self.limits is not None:
            return self.limits
        return {"share": (0.0, 1.0), "score": (None, None)}.get(self.unit, (0.0, None))

    @property
    def fault(self) -> str:
        """What is missing for it to be used, or nothing."""
        wrong = [kind for kind in self.kinds if kind not in get_args(Kind)]
        if not self.kinds or wrong:
            return f"kinds: got {self.kinds!r}, expected some of {', '.join(get_args(Kind))}"
        if self.unit not in get_args(Unit):
            return f"unit: got {self.unit!r}, expected one of {', '.join(get_args(Unit))}"
        return "" if self.definition else "has no docstring, expected one that defines it"


def number(summary: Mapping[str, JSON], name: str) -> float | None:
    """Return what a summary holds by a name, if it is a number."""
    found = summary.get(name)
    return float(found) if isinstance(found, int | float) else None
