"""Every metric, defined once: from the per-image records of one cell to an estimate.

A metric picks the images that it speaks of (its denominator) and gives each a value. Rates come
with a Wilson interval, means with a bootstrap interval. ``docs/metrics.md`` is rendered from this
room. No torch, and no knowledge of where records come from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from bench import scores, statistics
from bench.records import JSON, TOLERANCE, Budget, Kind
from bench.statistics import NOTHING, Estimate, Statistic

if TYPE_CHECKING:
    from numpy.typing import NDArray
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
        better: which way is better, where one is.
        needs_verdict: withheld where an image of the cell has no verdict.
        across: of all attacks on a model together, within the budget of a cell.
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
    across: bool = False
    mean: bool = False
    weighted: Weighted | None = None
    counts: Callable[[DataFrame], Values] | None = None
    biased: bool = False
    better: Literal["higher", "lower"] | None = None
    beside_original: bool = False
    quotient: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Withheld:
    """A figure that is not told, and why."""

    reason: str


def right_before(records: DataFrame) -> Values:
    """Which images the model had right before any attack."""
    return _truth(records["clean_prediction"] == records["label"])


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
    after = _truth(records["prediction"] == records["label"])
    return after.where(within(records), right_before(records))


def eligible(records: DataFrame) -> Values:
    """Which images count for success: right before, and the target, if any, is not their class."""
    return right_before(records) & ~_truth(records["target"] == records["label"])


def fooled(records: DataFrame) -> Values:
    """Which images are, within budget, wrong after or, targeted, predicted as the target."""
    wrong = ~_truth(records["prediction"] == records["label"])
    hit = _truth(records["prediction"] == records["target"])
    return hit.where(records["target"].notna(), wrong) & within(records)


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
    return success(records[_truth(records["source_success"]) & within(records)])


def _source_success(records: DataFrame) -> Values:
    known = records["source_success"].dropna().astype(bool)
    return known & within(records)[known.index]


def reached(records: DataFrame) -> Values:
    """Return the size of each eligible image's perturbation; infinite where it did not fool."""
    counted = records.drop(columns="within_budget", errors="ignore")[eligible(records)]
    return counted["size"].astype(float).where(fooled(counted), float("inf"))


def stepped(records: DataFrame) -> Values:
    """Return the step at which each eligible image fell; infinite where it did not.

    Nothing where the attack does not tell its steps, which all images that fell would have.
    """
    counted = records[eligible(records)]
    fell = fooled(counted)
    if counted["steps_to_success"][fell].isna().any() or not fell.any():
        return counted["steps_to_success"].astype(float)[:0]
    return counted["steps_to_success"].astype(float).where(fell, float("inf"))


def stands(records: DataFrame) -> Values:
    """Which images are right before and after every attack; see :func:`worst_case`."""
    return records["stands"]


def worst_case(attacks: Sequence[DataFrame], budget: Budget) -> DataFrame:
    """Put several attacks on one model together: which images stand all that lies in a ball.

    Args:
        attacks: records of each, of the same images; at least one.
        budget: an image counts if its perturbation lies within, whatever the attack aimed at.

    """
    first = attacks[0].set_index("image")
    standing = right_before(first)
    for records in attacks:
        known = scored(records.drop(columns="within_budget", errors="ignore"), budget)
        known = known.set_index("image").loc[first.index]
        wrong = known["prediction"].notna() & ~_truth(known["prediction"] == known["label"])
        standing &= ~(wrong & known["within_budget"])
    return first.assign(stands=standing).reset_index()[["image", "label", "stands"]]


_SLACK = 1e-9
"""Sums of weights carry rounding."""


def _quantile(of: Callable[[DataFrame], Values], share: float) -> Weighted:
    """Return the least value that a share of the images that count does not exceed."""

    def weighted(records: DataFrame) -> Statistic:
        values = of(records).sort_values()
        rows, numbers = values.index.to_numpy(), values.to_numpy(dtype=float)

        def quantile(weights: NDArray[np.float64]) -> NDArray[np.float64]:
            counted = weights[:, rows].cumsum(axis=1)
            if not len(rows):
                return scores.share(counted.sum(1), counted.sum(1), undefined=float("nan"))
            short = counted < share * counted[:, -1:] - _SLACK
            found: NDArray[np.float64] = numbers[short.sum(axis=1)]
            return found

        return quantile

    return weighted


def _recovered(records: DataFrame) -> Statistic:
    """Return the accuracy of a variant over that of its original, on the same images."""
    own, first = (
        _truth(records[name] == records["label"]).to_numpy(dtype=float)
        for name in ("prediction", "original_prediction")
    )

    def ratio(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return scores.share(weights @ own, weights @ first, undefined=float("nan"))

    return ratio


def _proved(records: DataFrame) -> Values:
    return _truth(records["prediction"] == records["label"])


def _auroc(records: DataFrame) -> Statistic:
    """Return how often the image of a success looks more suspicious than an unattacked one."""
    fell = (_truth(records["success"]) & within(records)).to_numpy()
    attacked = records["adversarial_score"].to_numpy(dtype=float)[fell]
    clean = records["clean_score"].to_numpy(dtype=float)
    ahead = np.sign(attacked[:, None] - clean) / 2 + 0.5

    def auroc(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        pairs = weights[:, fell].sum(1) * weights.sum(1)
        won = ((weights[:, fell] @ ahead) * weights).sum(1)
        return scores.share(won, pairs, undefined=float("nan"))

    return auroc


_EVALUATE: tuple[Kind, ...] = ("evaluate",)
_EXPLAIN: tuple[Kind, ...] = ("explain",)
_ATTACK: tuple[Kind, ...] = ("attack",)
_JUDGED: tuple[Kind, ...] = ("attack", "transfer")
_TRANSFER: tuple[Kind, ...] = ("transfer",)

_MEASURED: tuple[
    tuple[str, str, Unit, tuple[Kind, ...], Literal["higher", "lower"] | None], ...
] = (
    ("parameters", "Trainable numbers of the network.", "count", ("profile",), "lower"),
    ("nonzero_parameters", "Those that are not zero.", "count", ("profile",), None),
    ("sparsity", "Zeros among Conv and Linear weights.", "share", ("profile",), None),
    (
        "nonzero_macs",
        "Those of macs whose weight is not zero; dense kernels do the others all the same.",
        "count",
        ("profile",),
        None,
    ),
    ("size_bytes", "Weights and buffers as a safetensors file.", "bytes", ("profile",), "lower"),
    ("size_compressed_bytes", "The same file, compressed.", "bytes", ("profile",), "lower"),
    (
        "macs",
        "Multiply-accumulate operations for one image: torch's FlopCounterMode / 2.",
        "count",
        ("profile",),
        "lower",
    ),
    (
        "latency_ms",
        (
            "Mean time for one batch; the images lie on the device. See the dimensions batch and "
            "threads."
        ),
        "ms",
        ("latency",),
        "lower",
    ),
    ("latency_ms_std", "Standard deviation over the timed runs.", "ms", ("latency",), None),
    ("latency_ms_median", "Median over the timed runs.", "ms", ("latency",), "lower"),
    ("images_per_second", "The batch over its mean time.", "count", ("latency",), "higher"),
    (
        "busy_elsewhere",
        "Share of the machine's cores that other processes used during the timing.",
        "share",
        ("latency",),
        None,
    ),
    ("training_seconds", "Time of all epochs.", "seconds", ("train",), "lower"),
    ("kept_epoch", "The epoch whose weights were kept.", "count", ("train",), None),
    (
        "peak_memory_bytes",
        "Most memory that training added to what the process held before.",
        "bytes",
        ("train",),
        "lower",
    ),
)
_EXPLAINED: tuple[tuple[str, str, Unit, Literal["higher", "lower"] | None], ...] = (
    (
        "faithfulness",
        (
            "insertion_auc - deletion_auc: how much sooner confidence follows the pixels that the "
            "heatmap ranks first."
        ),
        "score",
        "higher",
    ),
    ("faithfulness_of_chance", "The same for a random order of pixels.", "score", None),
    (
        "faithfulness_gain",
        (
            "faithfulness - faithfulness_of_chance, image by image; an explainer whose interval "
            "includes 0 has not been told apart from chance."
        ),
        "score",
        "higher",
    ),
    (
        "deletion_auc",
        (
            "Mean softmax of the explained class as pixels are blurred, most important first "
            "(Petsiuk et al. 2018)."
        ),
        "score",
        "lower",
    ),
    (
        "insertion_auc",
        "The same as pixels are put back into a blurred image, most important first.",
        "score",
        "higher",
    ),
    (
        "randomisation_similarity",
        (
            "Spearman correlation of the heatmap with that of the same network with random weights "
            "(Adebayo et al. 2018): near 1, the map tells nothing of what was learned."
        ),
        "score",
        None,
    ),
    ("empty_heatmap", "Share of heatmaps that are the same everywhere.", "share", None),
)

_QUOTIENTS: tuple[tuple[str, str, tuple[Kind, ...], tuple[str, str]], ...] = (
    (
        "compression_ratio",
        "size_bytes of the model's original over that of the variant.",
        ("profile",),
        ("size_bytes", "size_bytes"),
    ),
    (
        "compressed_ratio",
        "The same of size_compressed_bytes: what zeros and coarse weights save on disk.",
        ("profile",),
        ("size_compressed_bytes", "size_compressed_bytes"),
    ),
    (
        "theoretical_speed_up",
        (
            "macs of the original over nonzero_macs of the variant: what would be saved if no zero "
            "were multiplied. What the time says is speed_up."
        ),
        ("profile",),
        ("macs", "nonzero_macs"),
    ),
    (
        "speed_up",
        "latency_ms of the model's original over that of the variant, at the same batch.",
        ("latency",),
        ("latency_ms", "latency_ms"),
    ),
)

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
            better="lower",
        ),
        Metric(
            "clean_accuracy",
            "Right before any attack, over all evaluated images.",
            "share",
            ("evaluate", "attack", "transfer"),
            _evaluate_accuracy,
            needs_verdict=False,
            better="higher",
        ),
        *(
            Metric(
                f"macro_{name}",
                f"{told}; the mean over the classes that occur (sklearn: average='macro', "
                "zero_division=0).",
                "share",
                _EVALUATE,
                weighted=scores.macro(name),
                better="higher",
            )
            for name, told in {
                "precision": "Of the images predicted as a class, the share that is",
                "recall": "Of the images of a class, the share predicted as it",
                "f1": "Harmonic mean of precision and recall of a class",
            }.items()
        ),
        Metric(
            "calibration_error",
            "Expected calibration error: over 15 equal bins of confidence, the mean distance of "
            "confidence and accuracy, weighted by how many images a bin holds (Guo et al. 2017). "
            "Few images raise it.",
            "share",
            _EVALUATE,
            weighted=scores.calibration_error,
            biased=True,
            better="lower",
        ),
        Metric(
            "robust_accuracy",
            "Right before and after, over all evaluated images.",
            "share",
            _JUDGED,
            lambda records: right_before(records) & right_after(records),
            needs_budget=True,
            better="higher",
        ),
        Metric(
            "worst_case_accuracy",
            "Right before, and right after every attack of the run whose image lies within the "
            "budget; a targeted attack that causes any error counts. A cell with an image that "
            "has no verdict is left out.",
            "share",
            _ATTACK,
            stands,
            needs_budget=True,
            across=True,
            better="higher",
        ),
        Metric(
            "robust_error",
            "1 - robust_accuracy; many papers call this the success rate.",
            "share",
            _JUDGED,
            lambda records: ~(right_before(records) & right_after(records)),
            needs_budget=True,
            better="lower",
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
            "median_norm",
            "Median size, in the attack's own norm, of the perturbations, over the images that "
            "success_rate counts; infinite where the attack failed. Only for attacks that look "
            "for the nearest adversarial image.",
            "pixels",
            _ATTACK,
            weighted=_quantile(reached, 0.5),
            counts=reached,
            needs_minimum=True,
            better="higher",
        ),
        Metric(
            "norm_80",
            "The size within which 80 % of those images fall; of median_norm, 50 %.",
            "pixels",
            _ATTACK,
            weighted=_quantile(reached, 0.8),
            counts=reached,
            needs_minimum=True,
            better="higher",
        ),
        *(
            Metric(
                f"steps_{percent}",
                f"The step by which {percent} % of the images that success_rate counts have "
                "fallen; infinite where fewer fall. Only for attacks whose model calls are their "
                "iterates.",
                "count",
                _ATTACK,
                weighted=_quantile(stepped, percent / 100),
                counts=stepped,
                better="higher",
            )
            for percent in (50, 80)
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
        *(
            Metric(name, definition, unit, kinds, better=better)
            for name, definition, unit, kinds, better in _MEASURED
        ),
        *(
            Metric(name, definition, unit, _EXPLAIN, _column(name), mean=True, better=better)
            for name, definition, unit, better in _EXPLAINED
        ),
        *(
            Metric(
                name,
                f"{told} of two heatmaps of an image, over all evaluated images ({source}): before "
                "and after an attack, each of the class that is predicted; without an attack, the "
                "original's and the variant's, both of the class that the original predicts.",
                "score",
                ("drift",),
                _column(name),
                mean=True,
                better="higher",
            )
            for name, told, source in (
                ("heatmap_similarity", "Spearman correlation", "Adebayo et al. 2018"),
                ("heatmap_overlap", "Overlap of the top 20 %", "Ghorbani et al. 2019"),
            )
        ),
        Metric(
            "certified_accuracy",
            "Predicted right, and proved to stay so within some radius, over all images.",
            "share",
            ("certify",),
            _proved,
            better="higher",
        ),
        Metric(
            "certified_radius",
            "Mean l2 radius within which the right prediction is proved; 0 where it is wrong or "
            "the shield abstains (average certified radius, Zhai et al. 2020).",
            "pixels",
            ("certify",),
            lambda records: records["radius"].where(_proved(records), 0.0),
            mean=True,
            better="higher",
        ),
        Metric(
            "detection_auroc",
            "Chance that the image of a success scores higher with the detector than an "
            "unattacked image; a half is guessing. The attack does not know of the detector.",
            "score",
            ("detect",),
            weighted=_auroc,
            counts=lambda records: records["success"][_truth(records["success"])],
            better="higher",
        ),
        Metric(
            "accuracy_before",
            "Right before the last training of a reduced variant, over all evaluated images; "
            "clean_accuracy is that after it.",
            "share",
            ("interim",),
            _evaluate_accuracy,
            needs_verdict=False,
            better="higher",
        ),
        Metric(
            "recovery_rate",
            "Accuracy of a variant over that of its model's original, on the same images.",
            "share",
            _EVALUATE,
            weighted=_recovered,
            beside_original=True,
            better="higher",
        ),
        *(
            Metric(
                name,
                definition,
                "score",
                kinds,
                beside_original=True,
                quotient=quotient,
                better="higher",
            )
            for name, definition, kinds, quotient in _QUOTIENTS
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


@dataclass(frozen=True)
class Reading:
    """What one cell says: its records, its figures that are not per image, and which training.

    Cells of one ``seed`` that differ in the fold held out belong together: each image is in one.
    ``budget`` is the ball in which an attack's images count; ``original`` the figures of the same
    cell of the model's original, where a metric asks for them.
    """

    records: DataFrame | None
    summary: Mapping[str, JSON]
    seed: str = ""
    budget: Budget | None = None
    original: Mapping[str, JSON] | None = None


def estimate(
    metric: Metric,
    records: DataFrame | None,
    summary: Mapping[str, JSON],
    budget: Budget | None = None,
) -> Estimate | Withheld:
    """Compute a metric of one cell, from its records and its figures that are not per image."""
    return replicated(metric, [Reading(records, summary, budget=budget)])


def replicated(metric: Metric, readings: Sequence[Reading]) -> Estimate | Withheld:
    """Compute a metric of one cell, or of the replicas of one.

    Args:
        metric: one that the cells' kind has.
        readings: of one cell; or of one for each replica of a model.

    Returns:
        The estimate: over folds, of all their images; over seeds, the mean. Or :class:`Withheld`
        where an image has no verdict, or a rate no budget.

    """
    for reading in readings:
        reason = _withheld(metric, reading)
        if reason is not None:
            return Withheld(reason)
    if metric.quotient is not None:
        return _quotient(metric.quotient, readings)
    if (metric.values is None and metric.weighted is None) or readings[0].records is None:
        return _of_summaries(metric, readings)
    trainings = by_training(readings)
    if metric.values is not None and len(trainings) == 1:
        values = metric.values(trainings[0])
        if metric.mean:
            return statistics.mean(values.to_numpy(dtype=float))
        return statistics.rate(int(values.sum()), len(values))
    return _over_trainings(metric, trainings)


def _over_trainings(metric: Metric, trainings: Sequence[DataFrame]) -> Estimate:
    """Estimate the mean of a figure over trainings, or a figure that is no mean over images."""
    images = common_images(trainings)
    least, counted = 0.0, len(images)
    if metric.counts is not None:
        counted = max(len(metric.counts(records)) for records in trainings)
    if metric.values is not None:
        parts = [metric.values(records) for records in trainings]
        counted = max(len(part) for part in parts)
        if any(part.empty for part in parts):
            return NOTHING
        if not metric.mean:
            hits = sum(float(part.mean()) * counted for part in parts) / len(parts)
            least = statistics.wilson_variance(hits, counted)
    found = statistics.resampled(
        [statistic(metric, records, images) for records in trainings], len(images), least=least
    )
    if found.value is None:
        return NOTHING
    if metric.biased:
        return replace(found, n=counted, low=None, high=None)
    is_rate = metric.unit == "share" and not metric.beside_original
    if is_rate and found.low is not None and found.high is not None:
        found = replace(found, low=max(0.0, found.low), high=min(1.0, found.high))
    return replace(found, n=counted)


def _quotient(names: tuple[str, str], readings: Sequence[Reading]) -> Estimate | Withheld:
    """Divide figures that cells hold whole; of replicas, the mean of the quotients."""
    found = []
    for reading in readings:
        first = None if reading.original is None else reading.original.get(names[0])
        own = reading.summary.get(names[1])
        if not isinstance(first, int | float) or not isinstance(own, int | float) or not own:
            return NOTHING
        found.append(float(first) / float(own))
    counted = int(str(readings[0].summary.get("images", 0)))
    return Estimate(sum(found) / len(found), None, None, counted, len(found))


def _withheld(metric: Metric, reading: Reading) -> str | None:
    if metric.beside_original and reading.original is None:
        return "the original of the model has no such cell in this run"
    promised = reading.summary.get("budget")
    if metric.needs_budget and reading.budget is None and promised is None:
        return "the attack promises no budget, and a rate belongs to one: give it a budget"
    records = reading.records
    if metric.needs_minimum and (records is None or "size" not in records):
        return "the attack looks for any image in a ball, not for the nearest"
    if metric.needs_verdict and records is not None and "violation" in records:
        broken = records["violation"].dropna()
        if len(broken):
            return f"{len(broken)} of {len(records)} images: {broken.iloc[0]}"
    return None


def _of_summaries(metric: Metric, readings: Sequence[Reading]) -> Estimate:
    """Average a figure that cells hold whole."""
    found = [reading.summary.get(metric.name) for reading in readings]
    numbers = [float(number) for number in found if isinstance(number, int | float)]
    if len(numbers) < len(readings):
        return NOTHING
    counted = int(str(readings[0].summary.get("images", 0)))
    return Estimate(sum(numbers) / len(numbers), None, None, counted, len(numbers))


def by_training(readings: Sequence[Reading]) -> list[DataFrame]:
    """Put the records of the folds of each seed together, in the order of the seeds.

    Images that are only shown, as in a gallery, are left out.
    """
    import pandas as pd

    parts: dict[str, list[DataFrame]] = {}
    for reading in readings:
        records = reading.records
        if records is not None:
            shown_only = "measured" in records and not records["measured"].all()
            kept = records[records["measured"].astype(bool)] if shown_only else records
            parts.setdefault(reading.seed, []).append(kept)
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
        return scores.share(counted @ numbers, counted.sum(1), undefined=float("nan"))

    return mean
