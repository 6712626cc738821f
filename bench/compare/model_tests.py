"""Paired tests between models: one figure, the same images, corrected over the pairs compared.

It does not decide which figures are compared, nor what a difference means. No torch.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench import metrics, statistics
from bench.matrix import Entry, Matrix
from bench.metrics import Metric
from bench.statistics import Difference, Estimate, cross_validation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pandas import DataFrame


@dataclass(frozen=True)
class Test:
    """A paired test between two models; ``p_value`` is corrected over the family."""

    first: str
    second: str
    difference: Difference
    p_value: float
    name: str


@dataclass(frozen=True)
class _Side:
    """A figure of one model as it is tested: its cells, the images of each training, its draws."""

    entries: Sequence[Entry]
    trainings: list[DataFrame]
    images: list[str]
    drawn: statistics.Drawn

    @property
    def is_cut(self) -> bool:
        """Whether a training of it is a cross-validation: several, of parts each."""
        return len(self.entries) > len(self.trainings)


def is_testable(metric: Metric) -> bool:
    """Return whether models may be tested on a metric: more or less is better, without bias.

    Figures of explanations rank no model.
    """
    return metric.better is not None and not metric.biased and metric.kinds != ("explain",)


def paired_tests(
    matrix: Matrix, metric: Metric, cells: Mapping[str, Sequence[Entry]]
) -> tuple[Test, ...]:
    """Test all pairs of models on a figure, corrected by Holm over the pairs that can be tested.

    Args:
        matrix: of the run.
        metric: the figure.
        cells: of each model, one for each replica.

    """
    pairs = len(list(itertools.combinations(cells, 2)))
    return corrected(uncorrected(matrix, metric, cells, family=pairs))


def corrected(tests: Sequence[Test]) -> tuple[Test, ...]:
    """Correct the p-values of tests, which are one family, by Holm."""
    found = statistics.holm([test.p_value for test in tests])
    return tuple(replace(test, p_value=p) for test, p in zip(tests, found, strict=True))


def uncorrected(
    matrix: Matrix, metric: Metric, cells: Mapping[str, Sequence[Entry]], *, family: int
) -> tuple[Test, ...]:
    """Test all pairs of models on a figure, each by itself.

    Args:
        matrix: of the run.
        metric: the figure.
        cells: of each model, one for each replica.
        family: how many tests are to be corrected together.

    """
    pairs = list(itertools.combinations(cells, 2))
    if not pairs or not is_testable(metric):
        return ()
    # drawn once for each model, as often as a family of so many tests needs
    resamples = statistics.resamples_for(family)
    sides = {model: _side(matrix, metric, found, resamples) for model, found in cells.items()}
    tests = []
    for first, second in pairs:
        found = _test(matrix, metric, sides[first], sides[second])
        if found is not None:
            tests.append(Test(first, second, *found))
    return tuple(tests)


def _side(matrix: Matrix, metric: Metric, entries: Sequence[Entry], resamples: int) -> _Side | None:
    """Return what is tested of a model.

    None where the figure has no images, a cell is not done, or trainings were judged on different
    images.
    """
    if metric.values is None and metric.weighted is None:
        return None
    if any(entry.state != "done" for entry in entries):
        return None
    trainings = metrics.by_training(matrix.metric_data(entries, metric))
    if not trainings:
        return None
    images = metrics.common_images(trainings)
    if any(len(images) < len(records) for records in trainings) or not images:
        return None
    figures = [metrics.statistic(metric, records, images) for records in trainings]
    drawn = statistics.drawn(figures, len(images), resamples=resamples)
    return _Side(entries, trainings, images, drawn)


def _test(
    matrix: Matrix, metric: Metric, first: _Side | None, second: _Side | None
) -> tuple[Difference, float, str] | None:
    """Test whether two models differ on a figure that images have.

    Returns:
        The difference, the p-value and the test's name; None where the models were not judged on
        the same images (of two shares, the common ones are compared), or either not at all, and
        where one was trained on folds that the other was not: the spread over folds would be taken
        for a difference of models.

    """
    if first is None or second is None:
        return None
    if first.images != second.images:
        exact = None if first.is_cut or second.is_cut else _exact(metric, first, second)
        return None if exact is None else (exact, exact.p_value, "McNemar's exact test")
    if first.is_cut or second.is_cut:
        found = _over_folds(matrix, metric, first, second)
        return None if found is None else (found, found.p_value, "corrected t test over folds")
    exact = _exact(metric, first, second)
    if exact is not None:
        return exact, exact.p_value, "McNemar's exact test"
    found = _bootstrap(metric, first, second)
    return found, found.p_value, "paired bootstrap"


def _bootstrap(metric: Metric, first: _Side, second: _Side) -> Difference:
    apart = _apart(metric, first, second)
    if apart is not None:
        low, high = metric.ends
        widest = None if low is None or high is None else high - low
        limits = (None, None) if widest is None else (-widest, widest)
        return statistics.mean_difference(apart, limits, resamples=len(first.drawn.draws))
    least = statistics.paired_variance(0, 0, len(first.images)) if metric.macro else 0.0
    return statistics.paired(first.drawn, second.drawn, least)


def _apart(metric: Metric, first: _Side, second: _Side) -> NDArray[np.float64] | None:
    """Return what each image has more under the first; None of what is no mean over all images."""
    trainings = [*first.trainings, *second.trainings]
    if metric.values is None or not metric.mean or len(trainings) != 2:  # noqa: PLR2004 (one each)
        return None
    one, other = (
        metric.values(records.set_index("image").loc[first.images]).to_numpy(dtype=float)
        for records in trainings
    )
    return one - other if len(one) == len(other) == len(first.images) else None


def _exact(metric: Metric, first: _Side, second: _Side) -> Difference | None:
    """Compare two shares of the same images; None for what is no share, or of several trainings."""
    trainings = [*first.trainings, *second.trainings]
    if metric.values is None or metric.mean or len(trainings) != 2:  # noqa: PLR2004 (one each)
        return None
    known = set(second.images)
    images = [image for image in first.images if image in known]
    hits, others = (metric.values(records.set_index("image").loc[images]) for records in trainings)
    if not images or not len(hits) == len(others) == len(images):
        return None
    found = statistics.mcnemar(hits.to_numpy(bool), others.to_numpy(bool))
    return statistics.paired_shares(found.only_first, found.only_second, found.n)


def _over_folds(matrix: Matrix, metric: Metric, first: _Side, second: _Side) -> Difference | None:
    """Compare two models on each fold; None where they share no folds."""
    groups = [{e.coordinates.replica: e for e in side.entries} for side in (first, second)]
    if groups[0].keys() != groups[1].keys():
        return None
    differences = []
    for replica, entry in groups[0].items():
        pair = [matrix.estimate([e], metric) for e in (entry, groups[1][replica])]
        values = [e.value for e in pair if isinstance(e, Estimate) and e.value is not None]
        if len(values) < len(pair):
            return None
        differences.append(values[0] - values[1])
    found = _bootstrap(metric, first, second)
    return cross_validation.compared(found, differences, len(first.trainings))
