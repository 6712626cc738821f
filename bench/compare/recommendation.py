"""Which model to choose: the best by one figure among those that keep the constraints.

A lead is tested, and corrected over all pairs that it could have been picked from. A model whose
figure is withheld or missing is not recommended. No torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.compare.model_tests import is_testable, paired_tests
from bench.compare.models import Comparison
from bench.compare.selection import Selection, select
from bench.metrics import constraints
from bench.metrics.constraints import Figure
from bench.suite.sections import Choice


@dataclass(frozen=True)
class Recommendation:
    """The model to choose, and how it compares with each other.

    Attributes:
        figure: that is chosen by, with the batch that was taken.
        best: None where no model that has the figure keeps the constraints.
        value: its figure.
        others: the p-value of its lead over each other: the table's, or corrected over the pairs
            of models that keep the constraints; of counted figures 0, or 1 where they are equal;
            None where nothing was tested.
        refused: of each model that is left out, why.

    """

    figure: Figure
    best: str | None
    value: float | None
    others: Mapping[str, float | None]
    refused: Mapping[str, str]


def recommend(comparison: Comparison, choice: Choice) -> Recommendation:
    """Choose the best model among those that keep the constraints.

    Raises:
        UsageError: for an unknown metric.

    """
    refused: dict[str, str] = {}
    for text in choice.where:
        constraint = constraints.parse(text)
        bounded = select(comparison, constraint.figure)
        for model in comparison.models:
            value = bounded.values.get(model)
            if value is None:
                refused.setdefault(model, bounded.missing[model])
            elif not constraint.holds(value):
                refused.setdefault(model, f"{bounded.figure} is {value:.4g}")
    wanted = select(comparison, constraints.figure(choice.best))
    for model, reason in wanted.missing.items():
        refused.setdefault(model, reason)
    values = {model: value for model, value in wanted.values.items() if model not in refused}
    if not values:
        return Recommendation(wanted.figure, None, None, {}, refused)
    choose = min if wanted.metric.better == "lower" else max
    best = choose(values, key=lambda model: values[model])
    leads = _leads(comparison, wanted, best, [model for model in values if model != best])
    return Recommendation(wanted.figure, best, values[best], leads, refused)


def _leads(
    comparison: Comparison, wanted: Selection, best: str, others: Sequence[str]
) -> dict[str, float | None]:
    """Return the p-value of a lead over each other model; see :class:`Recommendation`."""
    metric = wanted.metric
    for row in comparison.rows if not wanted.figure.where else ():
        if row.metric == metric and row.tests:
            return {other: row.p_value(best, other) for other in others}
    if metric.is_counted and is_testable(metric):
        values = wanted.values
        return {other: 0.0 if values[other] != values[best] else 1.0 for other in others}
    # the best was picked by these figures: every pair could have become one of its own
    cells = {model: wanted.cells[model] for model in (best, *others)}
    tests = paired_tests(comparison.matrix, metric, cells)
    found = {frozenset((test.first, test.second)): test.p_value for test in tests}
    return {other: found.get(frozenset((best, other))) for other in others}
