"""Every metric, defined once: from the per-image records of one cell to an estimate.

A metric picks the images that it speaks of (its denominator) and gives each a value. Rates come
with a Wilson interval, means with a bootstrap interval. ``docs/metrics.md`` is rendered from this
room. No torch, and no knowledge of where records come from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from bench import statistics
from bench.records import JSON, Kind
from bench.statistics import NOTHING, Estimate

if TYPE_CHECKING:
    from pandas import DataFrame, Series

Values: TypeAlias = "Series[Any]"
Unit: TypeAlias = Literal["share", "pixels", "count", "seconds"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of a cell.

    Attributes:
        name: how tables and suites call it.
        definition: one sentence.
        unit: ``share`` (printed in percent), ``pixels`` (of the range [0, 1]), ``count``,
            ``seconds``.
        kinds: the kinds of cell that have it, the preferred first.
        values: from a cell's records to one value for each image that counts: booleans for a rate,
            numbers for a mean. None for a figure that the cell's summary holds whole.
        needs_verdict: withheld where an image of the cell has no verdict.
        mean: a mean with a bootstrap interval; else a rate with a Wilson interval.
        needs_budget: withheld where the attack promises no budget: a rate belongs to one.

    """

    name: str
    definition: str
    unit: Unit
    kinds: tuple[Kind, ...]
    values: Callable[[DataFrame], Values] | None = None
    needs_verdict: bool = True
    needs_budget: bool = False
    mean: bool = False


@dataclass(frozen=True, slots=True)
class Withheld:
    """A figure that is not told, and why."""

    reason: str


def right_before(records: DataFrame) -> Values:
    """Which images the model had right before any attack."""
    return _truth(records["clean_prediction"] == records["label"])


def right_after(records: DataFrame) -> Values:
    """Which images the model has right after the attack."""
    return _truth(records["prediction"] == records["label"])


def eligible(records: DataFrame) -> Values:
    """Which images count for success: right before, and the target, if any, is not their class."""
    return right_before(records) & ~_truth(records["target"] == records["label"])


def fooled(records: DataFrame) -> Values:
    """Which images are wrong after the attack or, targeted, predicted as the target."""
    hit = _truth(records["prediction"] == records["target"])
    return hit.where(records["target"].notna(), ~right_after(records))


def success(records: DataFrame) -> Values:
    """Success of every eligible image; the index is that of the records."""
    return fooled(records)[eligible(records)]


def _truth(comparison: Values) -> Values:
    """Read a comparison of columns in which a missing value equals nothing."""
    return comparison.fillna(value=False).astype(bool)


def _column(name: str, *, of_successes: bool = False) -> Callable[[DataFrame], Values]:
    def values(records: DataFrame) -> Values:
        if of_successes:
            records = records[eligible(records) & fooled(records)]
        return records[name].dropna().astype(float)

    return values


def _evaluate_accuracy(records: DataFrame) -> Values:
    before = "clean_prediction" if "clean_prediction" in records else "prediction"
    return _truth(records[before] == records["label"])


def _transfer_rate(records: DataFrame) -> Values:
    return success(records[_truth(records["source_success"])])


def _source_success(records: DataFrame) -> Values:
    return records["source_success"].dropna().astype(bool)


_ATTACK: tuple[Kind, ...] = ("attack",)
_JUDGED: tuple[Kind, ...] = ("attack", "transfer")
_TRANSFER: tuple[Kind, ...] = ("transfer",)

METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "success_rate",
            "Untargeted: of the images right before, those wrong after. Targeted: of the images "
            "right before whose class is not the target, those predicted as the target after.",
            "share",
            _ATTACK,
            success,
            needs_budget=True,
        ),
        Metric(
            "clean_accuracy",
            "Right before any attack, over all evaluated images.",
            "share",
            ("evaluate", "attack", "transfer"),
            _evaluate_accuracy,
            needs_verdict=False,
        ),
        Metric(
            "robust_accuracy",
            "Right before and after, over all evaluated images.",
            "share",
            _JUDGED,
            lambda records: right_before(records) & right_after(records),
            needs_budget=True,
        ),
        Metric(
            "robust_error",
            "1 - robust_accuracy; many papers call this the success rate.",
            "share",
            _JUDGED,
            lambda records: ~(right_before(records) & right_after(records)),
            needs_budget=True,
        ),
        Metric(
            "healed",
            "Wrong before, right after, over all evaluated images.",
            "share",
            _JUDGED,
            lambda records: ~right_before(records) & right_after(records),
            needs_budget=True,
        ),
        *(
            Metric(
                f"{norm}{'_of_successes' if of_successes else ''}",
                f"Mean {name} of the perturbation, over "
                + ("the successes." if of_successes else "all evaluated images."),
                "count" if norm == "l0" else "pixels",
                _ATTACK,
                _column(norm, of_successes=of_successes),
                mean=True,
            )
            for norm, name in {
                "linf": "L-infinity norm",
                "l2": "L2 norm",
                "l1": "L1 norm",
                "l0": "number of changed pixels",
            }.items()
            for of_successes in (False, True)
        ),
        *(
            Metric(
                f"{column}{'_of_successes' if of_successes else ''}",
                f"Mean softmax of the {name} after the attack, over "
                + ("the successes." if of_successes else "all evaluated images."),
                "share",
                _JUDGED,
                _column(column, of_successes=of_successes),
                mean=True,
            )
            for column, name in {
                "confidence": "predicted class",
                "target_confidence": "target class",
            }.items()
            for of_successes in (False, True)
        ),
        Metric(
            "steps_to_success",
            "Mean step at which the attack first fooled the model, over the successes; 0 is a "
            "random start that already fools. Only for attacks whose model calls are their "
            "iterates.",
            "count",
            _ATTACK,
            _column("steps_to_success", of_successes=True),
            mean=True,
        ),
        Metric("forwards", "Forward passes an image.", "count", _ATTACK),
        Metric("backwards", "Backward passes an image.", "count", _ATTACK),
        Metric("seconds", "Wall-clock time of the attack, all images.", "seconds", _ATTACK),
        Metric(
            "source_success",
            "The attack's success rate on the model that its images were made on.",
            "share",
            _TRANSFER,
            _source_success,
            needs_budget=True,
        ),
        Metric(
            "target_success",
            "Of the images that the target model had right, those that it now has wrong (targeted: "
            "predicts as the target class, of those whose class is not the target).",
            "share",
            _TRANSFER,
            success,
            needs_budget=True,
        ),
        Metric(
            "transfer_rate",
            "target_success, among the images that fooled the source model only.",
            "share",
            _TRANSFER,
            _transfer_rate,
            needs_budget=True,
        ),
    )
}


def estimate(
    metric: Metric, records: DataFrame | None, summary: Mapping[str, JSON]
) -> Estimate | Withheld:
    """Compute a metric of one cell.

    Args:
        metric: one that the cell's kind has.
        records: the cell's per-image records.
        summary: the cell's figures that are not per image.

    Returns:
        The estimate; or :class:`Withheld` where an image of the cell has no verdict.

    """
    if metric.needs_budget and summary.get("budget") is None:
        return Withheld("the attack promises no budget, and a rate belongs to one")
    if metric.values is None or records is None:
        value = summary.get(metric.name)
        if not isinstance(value, int | float):
            return NOTHING
        return Estimate(float(value), None, None, int(str(summary.get("images", 0))))
    if metric.needs_verdict and "violation" in records:
        broken = records["violation"].dropna()
        if len(broken):
            return Withheld(f"{len(broken)} of {len(records)} images: {broken.iloc[0]}")
    values = metric.values(records)
    if metric.mean:
        return statistics.mean(values.to_numpy(dtype=float))
    return statistics.rate(int(values.sum()), len(values))
