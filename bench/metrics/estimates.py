"""From records to estimates: of one cell, of the replicas of one, or as a function of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bench import statistics
from bench.api import Metric
from bench.errors import BenchError, PluginError, explained, named
from bench.records import JSON, Budget
from bench.statistics import NOTHING, Estimate, Statistic, cross_validation

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame


@dataclass(frozen=True, slots=True)
class Withheld:
    """A figure that is not reported, and why."""

    reason: str


@dataclass(frozen=True)
class CellData:
    """What one cell says: its records, its figures that are not per image, and which training.

    Cells of one ``seed`` that differ in the fold held out belong together: each image is in one.
    ``budget`` is the ball in which an attack's images count; ``original`` the figures of the same
    cell of the model's original, where a metric asks for them. ``gap`` says what is missing, where
    it is so much that nothing may be reported.
    """

    records: DataFrame | None
    summary: Mapping[str, JSON]
    seed: str = ""
    budget: Budget | None = None
    original: Mapping[str, JSON] | None = None
    gap: str = ""


def estimate(
    metric: Metric,
    records: DataFrame | None,
    summary: Mapping[str, JSON],
    budget: Budget | None = None,
) -> Estimate | Withheld:
    """Compute a metric of one cell, from its records and its figures that are not per image."""
    return estimate_replicas(metric, [CellData(records, summary, budget=budget)])


def estimate_replicas(metric: Metric, cell_data: Sequence[CellData]) -> Estimate | Withheld:
    """Compute a metric of one cell, or of the replicas of one.

    Args:
        metric: one that the cells' kind has.
        cell_data: of one cell; or of one for each replica of a model.

    Returns:
        The estimate: over folds, of all their images, its interval at least that of the corrected
        t over folds; over seeds, the mean. Or :class:`Withheld` where an image has no verdict, a
        rate no budget, or the metric fails: that costs its own figures only.

    """
    for data in cell_data:
        reason = _withheld(metric, data)
        if reason is not None:
            return Withheld(reason)
    place = f"metric {metric.name}"
    try:
        with explained(lambda error: PluginError.of("", f"{place} raised {named(error)}")):
            return _estimated(metric, cell_data)
    except BenchError as error:  # its fault stands in the place of its figures
        return Withheld(str(error))


def _estimated(metric: Metric, cell_data: Sequence[CellData]) -> Estimate:
    """Compute a metric of cells of which nothing is withheld."""
    if (metric.values is None and metric.weighted is None) or cell_data[0].records is None:
        return _of_summaries(metric, cell_data)
    trainings = by_training(cell_data)
    found = _of_trainings(metric, trainings)
    if len(cell_data) == len(trainings):
        return found
    return _over_folds(metric, cell_data, len(trainings), found)


def _of_trainings(metric: Metric, trainings: Sequence[DataFrame]) -> Estimate:
    """Estimate a figure of one training, or the mean over several."""
    singles = [_of_training(metric, records) for records in trainings]
    if any(single.value is None for single in singles):
        return NOTHING
    found = singles[0] if len(singles) == 1 else _over_trainings(metric, trainings, singles)
    return replace(found, low=None, high=None, lacks="") if metric.biased else found


def _of_training(metric: Metric, records: DataFrame) -> Estimate:
    """Estimate a figure of one training: a rate, a mean, or what is neither."""
    if metric.values is None:
        return _of_weights(metric, records)
    values = metric.values(records)
    if metric.mean:
        return statistics.mean(values.to_numpy(dtype=float), metric.ends)
    if not values.isin([0, 1]).all():
        raise ValueError("the values of a rate are booleans; is it a mean?")
    return statistics.rate(int(values.sum()), len(values))


def _of_weights(metric: Metric, records: DataFrame) -> Estimate:
    """Estimate a figure that is no mean over images, with its own interval if it has one."""
    if metric.estimated is not None:
        return metric.estimated(records)
    images = common_images([records])
    found = statistics.resampled([statistic(metric, records, images)], len(images))
    counted = len(images) if metric.counts is None else len(metric.counts(records))
    return NOTHING if found.value is None else replace(_within(metric, found), n=counted)


def _over_folds(
    metric: Metric, cell_data: Sequence[CellData], trainings: int, found: Estimate
) -> Estimate:
    """Widen the interval of a figure of all folds' images by what the folds spread."""
    figures = []
    for records in (part for data in cell_data for part in by_training([data])):
        images = common_images([records])
        figures.append(float(statistic(metric, records, images)(np.ones((1, len(images))))[0]))
    if len(figures) < len(cell_data) or not np.isfinite(figures).all():
        return found
    return _within(metric, cross_validation.estimated(found, figures, trainings))


def _within(metric: Metric, found: Estimate) -> Estimate:
    """Keep the interval of a share between none and all."""
    is_rate = metric.unit == "share" and not metric.beside_original
    if not is_rate or found.low is None or found.high is None:
        return found
    return replace(found, low=max(0.0, found.low), high=min(1.0, found.high))


def _over_trainings(
    metric: Metric, trainings: Sequence[DataFrame], singles: Sequence[Estimate]
) -> Estimate:
    """Estimate the mean of a figure over trainings, of which each has an estimate by itself."""
    images = common_images(trainings)
    least, counted = 0.0, max(single.n for single in singles)
    if metric.macro:
        least = statistics.wilson_variance(counted, counted)
    if metric.values is not None and not metric.mean:
        hits = sum((single.value or 0.0) * counted for single in singles) / len(singles)
        least = statistics.wilson_variance(hits, counted)
    found = statistics.resampled(
        [statistic(metric, records, images) for records in trainings],
        len(images),
        least_variance=least,
        singles=singles,
    )
    return NOTHING if found.value is None else replace(_within(metric, found), n=counted)


def _withheld(metric: Metric, data: CellData) -> str | None:
    if data.gap:
        return data.gap
    if metric.beside_original and data.original is None:
        return "the original of the model has no such cell in this run"
    promised = data.summary.get("budget")
    if metric.needs_budget and data.budget is None and promised is None:
        return "the attack promises no budget, and a rate belongs to one: give it a budget"
    records = data.records
    if metric.needs_minimum and (records is None or "size" not in records):
        return "the attack looks for any image in a ball, not for the nearest"
    if metric.needs_verdict and records is not None and "violation" in records:
        return violations(records) or None
    return None


def violations(records: DataFrame) -> str:
    """Say how many images have no verdict, and why the first has none; nothing if all have one."""
    broken = records["violation"].dropna()
    return f"{len(broken)} of {len(records)} images: {broken.iloc[0]}" if len(broken) else ""


def _of_summaries(metric: Metric, cell_data: Sequence[CellData]) -> Estimate:
    """Average a figure that cells hold whole."""
    found = [metric.figure(data.summary, data.original or {}) for data in cell_data]
    numbers = [float(number) for number in found if number is not None]
    if len(numbers) < len(cell_data):
        return NOTHING
    counted = int(str(cell_data[0].summary.get("images", 0)))
    return Estimate(sum(numbers) / len(numbers), None, None, counted, len(numbers))


def by_training(cell_data: Sequence[CellData]) -> list[DataFrame]:
    """Put the records of the folds of each seed together, in the order of the seeds.

    Images that are only shown, as older files of explanations hold them, are left out.
    """
    import pandas as pd

    parts: dict[str, list[DataFrame]] = {}
    for data in cell_data:
        records = data.records
        if records is not None:
            shown_only = "measured" in records and not records["measured"].all()
            kept = records[records["measured"].astype(bool)] if shown_only else records
            parts.setdefault(data.seed, []).append(kept)
    return [
        records[0] if len(records) == 1 else pd.concat(records, ignore_index=True)
        for records in parts.values()
    ]


def common_images(trainings: Sequence[DataFrame]) -> list[str]:
    """Return the names of the images that all trainings were judged on, in a fixed order."""
    common = set(trainings[0]["image"])
    for records in trainings[1:]:
        common &= set(records["image"])
    return sorted(common)


def statistic(metric: Metric, records: DataFrame, images: Sequence[str]) -> Statistic:
    """Return a metric of one training as a function of the images' weights."""
    import pandas as pd

    ordered = records.set_index("image", drop=False).loc[list(images)].reset_index(drop=True)
    if metric.weighted is not None:
        return metric.weighted(ordered)
    if metric.values is None:
        raise TypeError(f"{metric.name} has no value of each image")
    values: pd.Series[Any] = metric.values(ordered).astype(float)
    rows = values.index.to_numpy()
    numbers = values.to_numpy(dtype=float)

    def mean(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        counted = weights[:, rows]
        return statistics.share(counted @ numbers, counted.sum(1), undefined=float("nan"))

    return mean
