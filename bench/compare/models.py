"""Models side by side: which is best where a test says so, what each costs, which to choose.

Two models are called different only after a paired test on the same images, corrected by Holm over
the pairs of models that a figure compares. What has no images is exact (parameters) or was timed.
No torch.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bench import metrics, statistics
from bench.errors import UsageError, nearest
from bench.matrix import Entry, Matrix
from bench.metrics import METRICS, Metric, Withheld, constraints
from bench.records import Kind
from bench.statistics import NOTHING, Difference, Estimate, cross_validation
from bench.suite.sections import Choice

if TYPE_CHECKING:
    from pandas import DataFrame

ALPHA = 0.05
"""Two models are called different below this p-value, after Holm's correction."""

BUSY = 0.1
"""Above this share of the machine's cores, what other processes used disturbs a timing."""

_COMPARED: tuple[tuple[Kind, tuple[str, ...], str | None], ...] = (
    (
        "evaluate",
        ("clean_accuracy", "macro_precision", "macro_recall", "macro_f1", "calibration_error"),
        None,
    ),
    ("profile", ("parameters", "size_bytes", "macs"), None),
    ("latency", ("latency_ms",), "batch"),
    ("train", ("training_seconds", "peak_memory_bytes"), None),
    ("explain", ("faithfulness_gain", "randomisation_similarity"), "explainer"),
)
"""What is compared: kinds of cell, their metrics, and what parts several cells of a model."""


@dataclass(frozen=True)
class Test:
    """A paired test between two models; ``p_value`` is corrected over the family."""

    first: str
    second: str
    difference: Difference
    p_value: float
    name: str


@dataclass(frozen=True)
class Row:
    """One figure of every model; ``best`` names the one that is better than every other."""

    metric: Metric
    part: str
    estimates: Mapping[str, Estimate | Withheld]
    best: str | None
    tests: tuple[Test, ...]


@dataclass(frozen=True)
class _Family:
    """A figure before the correction: its tests still have their own p-values."""

    metric: Metric
    part: str
    entries: Mapping[str, tuple[Entry, ...]]
    estimates: Mapping[str, Estimate | Withheld]
    tests: tuple[Test, ...]


@dataclass(frozen=True)
class _Judged:
    """A figure of one model as it is tested: its cells, the images of each training, its draws."""

    entries: Sequence[Entry]
    trainings: list[DataFrame]
    images: list[str]
    drawn: statistics.Drawn

    @property
    def is_cut(self) -> bool:
        """Whether a training of it is a cross-validation: several, of parts each."""
        return len(self.entries) > len(self.trainings)


@dataclass(frozen=True)
class Comparison:
    """The models of a run, compared."""

    matrix: Matrix

    @cached_property
    def models(self) -> list[str]:
        """The models and their variants, in the plan's order."""
        return list(dict.fromkeys(entry.coordinates.model_variant for entry in self.matrix.entries))

    def entries(self, kind: str, model: str, part: tuple[str, str] | None = None) -> list[Entry]:
        """Return a model's cells of one kind: one, or one for each replica, done or not."""
        return [
            entry
            for entry in self.matrix.entries
            if entry.kind == kind
            and entry.coordinates.model_variant == model
            and (part is None or str(entry.value(part[0])) == part[1])
        ]

    @cached_property
    def rows(self) -> list[Row]:
        """Every figure that at least one model has."""
        rows = []
        for family in self._families():
            if not family.estimates:
                continue
            corrected = statistics.holm([test.p_value for test in family.tests])
            known = tuple(
                replace(test, p_value=p) for test, p in zip(family.tests, corrected, strict=True)
            )
            best = self._best(family, known)
            rows.append(Row(family.metric, family.part, family.estimates, best, known))
        return rows

    def _families(self) -> Iterator[_Family]:
        for kind, names, dimension in _COMPARED:
            for part in self._parts(kind, dimension):
                picked = None if dimension is None or part is None else (dimension, part)
                entries = {m: tuple(self.entries(kind, m, picked)) for m in self.models}
                entries = {model: found for model, found in entries.items() if found}
                for name in names:
                    yield self._family(METRICS[name], "=".join(picked or ()), entries)

    def _parts(self, kind: str, dimension: str | None) -> list[str | None]:
        if dimension is None:
            return [None]
        values = [e.value(dimension) for e in self.matrix.entries if e.kind == kind]
        return [str(value) for value in dict.fromkeys(values)]

    def _family(
        self, metric: Metric, part: str, entries: Mapping[str, tuple[Entry, ...]]
    ) -> _Family:
        estimates = {model: self.estimate(found, metric) for model, found in entries.items()}
        told = {m: e for m, e in estimates.items() if e != NOTHING}
        tests = []
        if metric.better is not None and not metric.biased and metric.kinds != ("explain",):
            pairs = list(itertools.combinations(told, 2))
            judged = self._judged(metric, entries, pairs)
            for first, second in pairs:
                tested = self._test(metric, judged[first], judged[second])
                if tested is not None:
                    tests.append(Test(first, second, *tested))
        return _Family(metric, part, entries, told, tuple(tests))

    def estimate(self, entries: Sequence[Entry], metric: Metric) -> Estimate | Withheld:
        """Compute a metric of a model; withheld where a replica of it is missing."""
        missing = [entry for entry in entries if entry.state != "done"]
        if missing:
            among = f"{len(missing)} of {len(entries)} replicas " if len(entries) > 1 else ""
            return Withheld(f"{among}{missing[0].state}")
        return self.matrix.estimate(entries, metric)

    def _judged(
        self,
        metric: Metric,
        entries: Mapping[str, Sequence[Entry]],
        pairs: Sequence[tuple[str, str]],
    ) -> dict[str, _Judged | None]:
        """Draw a figure of each model in some pairs, once, for a family of so many tests."""
        resamples = statistics.resamples_for(len(pairs))
        models = dict.fromkeys(itertools.chain.from_iterable(pairs))
        return {model: self._judge(metric, entries[model], resamples) for model in models}

    def _judge(self, metric: Metric, entries: Sequence[Entry], resamples: int) -> _Judged | None:
        """Return what is tested of a model.

        None where the figure has no images, a cell is not done, or trainings were judged on
        different images.
        """
        if metric.values is None and metric.weighted is None:
            return None
        if any(entry.state != "done" for entry in entries):
            return None
        trainings = metrics.by_training(self.matrix.cell_data(entries))
        if not trainings:
            return None
        images = metrics.common_images(trainings)
        if any(len(images) < len(records) for records in trainings) or not images:
            return None
        figures = [metrics.statistic(metric, records, images) for records in trainings]
        drawn = statistics.drawn(figures, len(images), resamples=resamples)
        return _Judged(entries, trainings, images, drawn)

    def _test(
        self, metric: Metric, first: _Judged | None, second: _Judged | None
    ) -> tuple[Difference, float, str] | None:
        """Test whether two models differ on a figure that images have.

        Returns:
            The difference, the p-value and the test's name; None where the models were not judged
            on the same images, or either not at all, and where one was trained on folds that the
            other was not: what folds spread cannot be told apart then from what models differ in.

        """
        if first is None or second is None or first.images != second.images:
            return None
        count = len(first.images)
        least = statistics.paired_variance(0, 0, count) if metric.macro else 0.0
        found = statistics.paired(first.drawn, second.drawn, least)
        if first.is_cut or second.is_cut:
            differences = self.fold_differences(metric, first.entries, second.entries)
            if differences is None:
                return None
            found = cross_validation.compared(found, differences, len(first.trainings))
            return found, found.p_value, "corrected t test over folds"
        trainings = [*first.trainings, *second.trainings]
        if metric.values is not None and not metric.mean and len(trainings) == 2:  # noqa: PLR2004 (one each)
            hits, misses = (
                metric.values(records.set_index("image").loc[first.images]) for records in trainings
            )
            if len(hits) == len(misses) == count:
                exact = statistics.mcnemar(hits.to_numpy(bool), misses.to_numpy(bool))
                found = statistics.paired_shares(exact.only_first, exact.only_second, exact.n)
                return found, found.p_value, "McNemar's exact test"
        return found, found.p_value, "paired bootstrap"

    def fold_differences(
        self, metric: Metric, first: Sequence[Entry], second: Sequence[Entry]
    ) -> list[float] | None:
        """Return the difference of two models on each fold; None where they share no folds."""
        groups = [{e.coordinates.replica: e for e in part} for part in (first, second)]
        if groups[0].keys() != groups[1].keys():
            return None
        found = []
        for replica, entry in groups[0].items():
            pair = [self.matrix.estimate([e], metric) for e in (entry, groups[1][replica])]
            values = [e.value for e in pair if isinstance(e, Estimate) and e.value is not None]
            if len(values) < len(pair):
                return None
            found.append(values[0] - values[1])
        return found

    def _best(self, family: _Family, tests: Sequence[Test]) -> str | None:
        """Return the model that is better than every other, if one can be told."""
        if family.metric.better is None or any(
            isinstance(found, Withheld) for found in family.estimates.values()
        ):
            return None
        values = {
            model: found.value
            for model, found in family.estimates.items()
            if isinstance(found, Estimate) and found.value is not None
        }
        if len(values) < 2:  # noqa: PLR2004 (one model is best of none)
            return None
        choose = max if family.metric.better == "higher" else min
        best = choose(values, key=lambda model: values[model])
        others = [model for model in values if model != best]
        return best if all(self._apart(family, tests, best, other) for other in others) else None

    def _apart(self, family: _Family, tests: Sequence[Test], best: str, other: str) -> bool:
        for test in tests:
            if {test.first, test.second} == {best, other}:
                return test.p_value < ALPHA
        if "latency" in family.metric.kinds:
            timings = [entry for entries in family.entries.values() for entry in entries]
            return not self.is_disturbed(timings) and self.timed_apart(
                family.entries[best], family.entries[other]
            )
        if family.metric.is_counted:
            return family.estimates[best] != family.estimates[other]
        return False

    def is_disturbed(self, timings: Sequence[Entry]) -> bool:
        """Say whether other processes took a tenth of the machine during any of some timings."""
        loads = [self.matrix.stored(entry).summary.get("busy_elsewhere") for entry in timings]
        return any(isinstance(load, int | float) and load > BUSY for load in loads)

    def timed_apart(self, best: Sequence[Entry], other: Sequence[Entry]) -> bool:
        """Say whether nearly all runs of one were quicker than nearly all runs of the other.

        Runs that follow one another are not independent, so no test is made of them.
        """
        quick, slow = (
            np.concatenate(
                [self.matrix.store.arrays(self.matrix.stored(e))["milliseconds"] for e in entries]
            )
            for entries in (best, other)
        )
        return bool(np.quantile(quick, 0.95) < np.quantile(slow, 0.05))

    # Cost against use

    def figure(self, model: str, name: str, where: tuple[str, str] | None = None) -> float | None:
        """Return a model's figure; of several cells, the first unless ``where`` picks another.

        Of several batches, the smallest, in whatever order they were timed.
        """
        metric = METRICS[name]
        for kind in metric.kinds:
            found = self.entries(kind, model, where)
            if where is None and found:
                place = min(found, key=_batch)
                found = [e for e in found if e.facts.get("batch") == place.facts.get("batch")]
                found = [e for e in found if e.coordinates.attack == place.coordinates.attack]
                found = [e for e in found if e.coordinates.explainer == place.coordinates.explainer]
            if found:
                estimate = self.estimate(found, metric)
                return None if isinstance(estimate, Withheld) else estimate.value
        return None

    def on_front(self, costs: Sequence[str], gain: str) -> dict[str, bool]:
        """Say of each model that has all figures whether no other is better in one and no worse.

        Args:
            costs: metrics of which less is better.
            gain: the metric of which more is better.

        """
        known: dict[str, list[float]] = {}
        for model in self.models:
            figures = [self.figure(model, cost) for cost in costs]
            value = self.figure(model, gain)
            if value is not None and None not in figures:
                known[model] = [*(f for f in figures if f is not None), -value]
        return undominated(known)

    def recommend(self, choice: Choice) -> Recommendation:
        """Choose the best model among those that keep the constraints.

        Raises:
            UsageError: for an unknown metric.

        """
        name, where = constraints.figure(choice.best)
        if name not in METRICS:
            raise UsageError.of("recommend", f"'{name}' is no metric", "", nearest(name, METRICS))
        refused: dict[str, str] = {}
        for text in choice.where:
            constraint = constraints.parse(text)
            for model in self.models:
                value = self.figure(model, constraint.metric, constraint.where)
                told = self.named(constraint.metric, constraint.where)
                if value is None:
                    refused.setdefault(model, f"has no {told}")
                elif not constraint.holds(value):
                    refused.setdefault(model, f"{told} is {value:.4g}")
        metric = METRICS[name]
        values: dict[str, float] = {}
        for model in self.models:
            value = self.figure(model, name, where)
            if value is None:
                refused.setdefault(model, f"has no {choice.best}")
            elif model not in refused:
                values[model] = value
        if not values:
            return Recommendation(None, None, {}, refused)
        choose = min if metric.better == "lower" else max
        best = choose(values, key=lambda model: values[model])
        others = [model for model in values if model != best]
        return Recommendation(best, values[best], self._leads(metric, where, best, others), refused)

    def named(self, name: str, where: tuple[str, str] | None) -> str:
        """Return how a figure is called that :meth:`figure` reads, its batch included."""
        timed = [entry for entry in self.matrix.entries if entry.kind == "latency"]
        if where is None and "latency" in METRICS[name].kinds and timed:
            where = "batch", str(min(map(_batch, timed)))
        return name if where is None else f"{name}@{'='.join(where)}"

    def _leads(
        self, metric: Metric, where: tuple[str, str] | None, best: str, others: Sequence[str]
    ) -> dict[str, float | None]:
        """Return the p-value of a lead over each other, corrected over all pairs of these models.

        Where figures are counted, 0, or 1 if they are equal; None where nothing can be tested.
        """
        for row in self.rows if where is None else ():
            if row.metric == metric and row.tests:
                return {other: self._told(row, best, other) for other in others}
        if metric.biased or metric.kinds == ("explain",):
            return dict.fromkeys(others)
        if metric.is_counted:
            figures = {model: self.figure(model, metric.name, where) for model in (best, *others)}
            return {other: 0.0 if figures[other] != figures[best] else 1.0 for other in others}
        # the best was picked by these figures: every pair could have become one of its own
        pairs = list(itertools.combinations((best, *others), 2))
        entries = {m: self.entries(metric.kinds[0], m, where) for m in (best, *others)}
        judged = self._judged(metric, entries, pairs)
        found = {pair: self._test(metric, judged[pair[0]], judged[pair[1]]) for pair in pairs}
        tested = {pair: test[1] for pair, test in found.items() if test is not None}
        corrected = dict(zip(tested, statistics.holm(list(tested.values())), strict=True))
        return {other: corrected.get((best, other)) for other in others}

    def _told(self, row: Row, best: str, other: str) -> float | None:
        """Return the p-value that a row has for two models; None where it has none."""
        for test in row.tests:
            if {test.first, test.second} == {best, other}:
                return test.p_value
        return None


def _batch(entry: Entry) -> int:
    """Return the batch of a timing; 0 of any other cell."""
    return int(str(entry.facts.get("batch", 0)))


def undominated(figures: Mapping[str, Sequence[float]]) -> dict[str, bool]:
    """Say of each whether no other is at least as good in every figure and better in one.

    Args:
        figures: as many for each; of all, less is better.

    """
    return {
        name: not any(
            all(a <= b for a, b in zip(other, mine, strict=True)) and list(other) != list(mine)
            for other in figures.values()
        )
        for name, mine in figures.items()
    }


@dataclass(frozen=True)
class Recommendation:
    """The model to choose, its figure, the p-value of its lead over each other, why others are out.

    ``best`` is None where no model keeps the constraints. A p-value is the table's, or corrected
    over the pairs of models that keep the constraints; where figures are counted 0, or 1 if they
    are equal; None where nothing was tested.
    """

    best: str | None
    value: float | None
    others: Mapping[str, float | None]
    refused: Mapping[str, str]
