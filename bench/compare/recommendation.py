"""Which model to choose: the best by one figure among those that keep the constraints.

Constraints are tested with the intervals of their figures: met, missed, or cannot be told. A lead
is tested, and corrected over all pairs that it could have been picked from. A model whose figures
are withheld, missing or in doubt by a finding of the audit is not recommended. No torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from bench import tables
from bench.audit import Finding
from bench.compare.model_tests import is_testable, paired_tests
from bench.compare.models import Comparison
from bench.compare.selection import Selection, select
from bench.metrics import Metric, constraints
from bench.metrics.constraints import Constraint, Figure
from bench.records import JSON
from bench.statistics import Estimate
from bench.suite.sections import Choice

Answer: TypeAlias = Literal["met", "missed", "cannot be told"]
Conclusion: TypeAlias = Literal["recommended", "cannot be told", "no model"]


@dataclass(frozen=True)
class Recommendation:
    """The model to choose, and how it compares with each other.

    Attributes:
        figure: that is chosen by, with the batch or budget that was taken.
        best: None where no model that has the figure keeps the constraints.
        value: its figure.
        others: the p-value of its lead over each other: the table's, or corrected over the pairs
            of models that keep the constraints; of counted figures 0, or 1 where they are equal;
            None where nothing was tested.
        refused: of each model that is left out, why.
        conclusion: whether there is one; ``cannot be told`` where none is known to keep the
            constraints, and some may.
        estimate: its figure with its interval.
        attack, budget: what it is judged by, if it is an attack; a worst case names a budget only.
        notes: what must be said of the figures of the best.
        marks: what its figures carry.

    """

    figure: Figure
    best: str | None
    value: float | None
    others: Mapping[str, float | None]
    refused: Mapping[str, str]
    conclusion: Conclusion = "no model"
    estimate: Estimate | None = None
    attack: str | None = None
    budget: str | None = None
    notes: tuple[str, ...] = ()
    marks: tuple[Finding, ...] = ()

    def plain(self, name: str, choice: Choice) -> dict[str, JSON]:
        """Return plain values, as ``recommendations.json`` holds them."""
        known = self.estimate
        return {
            "name": name,
            "best": str(self.figure),
            "where": list(choice.where),
            "conclusion": self.conclusion,
            "choice": self.best,
            "value": self.value,
            "interval": [known.low, known.high] if known and known.low is not None else None,
            "n": known.n if known else None,
            "attack": self.attack,
            "budget": self.budget,
            "notes": list(self.notes),
            "marks": [{"rule": rule, "sentence": each.sentence} for each in self.marks
                      for rule in each.rules],
            "others": [{"model": other, "p_value": p} for other, p in self.others.items()],
            "left_out": [{"model": m, "reason": reason} for m, reason in self.refused.items()],
        }  # fmt: skip


@dataclass(frozen=True)
class _Asked:
    """All that a recommendation rests on: the figure to choose by, and those of constraints."""

    wanted: Selection
    bounded: tuple[tuple[Constraint, Selection], ...]

    @property
    def selections(self) -> list[Selection]:
        return [self.wanted, *(selection for _, selection in self.bounded)]


def recommend(comparison: Comparison, choice: Choice) -> Recommendation:
    """Choose the best model among those that keep the constraints.

    Raises:
        UsageError: for an unknown metric.

    """
    bounds = [constraints.parse(text) for text in choice.where]
    asked = _Asked(
        select(comparison, constraints.figure(choice.best)),
        tuple((bound, select(comparison, bound.figure)) for bound in bounds),
    )
    refused: dict[str, str] = {}
    undecided = set()
    for model in comparison.models:
        answer, reason = _checked(comparison, asked, model)
        if answer != "met":
            refused[model] = reason
            undecided |= {model} if answer == "cannot be told" else set()
    wanted = asked.wanted
    values = {model: value for model, value in wanted.values.items() if model not in refused}
    if not values:
        conclusion: Conclusion = "cannot be told" if undecided else "no model"
        empty = Recommendation(wanted.figure, None, None, {}, refused, conclusion)
        return replace(empty, attack=wanted.attack, budget=wanted.budget)
    choose = min if wanted.metric.better == "lower" else max
    best = choose(values, key=lambda model: values[model])
    notes = (selection.notes.get(best, "") for selection in asked.selections)
    return Recommendation(
        wanted.figure,
        best,
        values[best],
        _leads(comparison, wanted, best, [model for model in values if model != best]),
        refused,
        "recommended",
        wanted.estimates[best],
        wanted.attack,
        wanted.budget,
        tuple(dict.fromkeys(note for note in notes if note)),
        comparison.marks(*(selection.basis(best) for selection in asked.selections)),
    )


def _checked(comparison: Comparison, asked: _Asked, model: str) -> tuple[Answer, str]:
    """Say whether a model may be chosen, or the first reason that it may not."""
    doubts: tuple[Answer, str] | None = None
    for bound, selection in asked.bounded:
        if model not in selection.estimates:
            return "missed", selection.missing[model]
        answer, words = tested(bound, selection, model)
        if answer == "missed":
            return answer, words
        if answer == "cannot be told":
            doubts = doubts or (answer, words)
    if model in asked.wanted.missing:
        return "missed", asked.wanted.missing[model]
    for selection in asked.selections:
        found = [f for f in comparison.marks(selection.basis(model)) if not f.is_mark]
        if found:
            rules = ", ".join(dict.fromkeys(rule for each in found for rule in each.rules))
            return "missed", f"{selection.figure} is in doubt: the audit found {rules}"
    return doubts or ("met", "")


def tested(bound: Constraint, selection: Selection, model: str) -> tuple[Answer, str]:
    """Say whether a model keeps a constraint, at every value that its interval holds, or at none.

    A figure that has none is compared as it is; one whose images are too few for an interval
    cannot be told.
    """
    found = selection.estimates[model]
    ends = [end for end in (found.low, found.high) if end is not None]
    value = [] if found.value is None else [found.value]
    kept = [bound.holds(each) for each in ends or value]
    answer: Answer = "met" if all(kept) else "cannot be told" if any(kept) else "missed"
    if found.lacks:
        answer = "cannot be told"
    parts = [_written(found, selection.metric), selection.notes.get(model, "")]
    if str(selection.figure) != str(bound.figure):
        parts.insert(1, str(selection.figure))
    said = "is missed" if answer == "missed" else answer
    return answer, f"{bound.text} {said}: {', '.join(part for part in parts if part)}"


def _written(found: Estimate, metric: Metric) -> str:
    """Write a figure with its interval, or with its unit."""
    if metric.unit == "share" or found.value is None:
        return tables.figure(found, metric, intervals=True)
    unit = f" {metric.unit}" if metric.unit in ("ms", "seconds", "bytes") else ""
    return tables.number(found.value, metric.unit) + unit


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
