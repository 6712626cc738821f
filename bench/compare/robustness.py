"""Robustness of models side by side: under each attack, and in the worst case at each budget.

Every pair of models is tested on the images that both were judged on, and p-values are corrected
over all tests of the comparison. No torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import comb

from bench.audit import Basis, Finding
from bench.compare.model_tests import Test, corrected, uncorrected
from bench.compare.models import Comparison
from bench.matrix import Entry
from bench.metrics import METRICS, Metric, Withheld
from bench.records import write_name
from bench.statistics import Estimate

UNATTACKED = "none"
"""What stands in the place of an attack where there is none."""

WORST = "worst case"
"""What stands in the place of an attack where it is all of a budget."""


@dataclass(frozen=True)
class Line:
    """One figure of every model.

    Attributes:
        attack: its name; :data:`UNATTACKED`, or :data:`WORST`.
        budget: norm and eps, as they were written; empty without an attack.
        metric: what is compared.
        cells: of each model, one for each replica.
        estimates: of each model that was attacked so.
        notes: of a model, which attack decides its worst case.
        tests: of all pairs that can be tested, corrected over all lines of the comparison.
        marks: what the figure of each model carries.

    """

    attack: str
    budget: str
    metric: Metric
    cells: Mapping[str, tuple[Entry, ...]]
    estimates: Mapping[str, Estimate | Withheld] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    tests: tuple[Test, ...] = ()
    marks: Mapping[str, tuple[Finding, ...]] = field(default_factory=dict)


def robustness(comparison: Comparison) -> list[Line]:
    """Compare models without an attack, under each, and in the worst case at each budget."""
    lines = [_estimated(comparison, line) for line in _lines(comparison)]
    known = [
        {m: line.cells[m] for m, e in line.estimates.items() if isinstance(e, Estimate)}
        for line in lines
    ]
    family = sum(comb(len(cells), 2) for cells in known)
    tests = [
        uncorrected(comparison.matrix, line.metric, cells, family=max(1, family))
        for line, cells in zip(lines, known, strict=True)
    ]
    found = iter(corrected([test for each in tests for test in each]))
    return [
        replace(line, tests=tuple(next(found) for _ in each))
        for line, each in zip(lines, tests, strict=True)
    ]


def _lines(comparison: Comparison) -> Iterator[Line]:
    """Lay out what is compared; of attacks, those that have a budget."""
    robust = next((each for each in METRICS.values() if each.is_robustness), None)
    worst = next((each for each in METRICS.values() if each.worst_case), None)
    attacks = [e for e in comparison.matrix.entries if e.kind == "attack" and e.budget is not None]
    if not attacks or robust is None:
        return
    yield Line(UNATTACKED, "", METRICS["clean_accuracy"], _of_models(comparison, "evaluate"))
    for name, budget in dict.fromkeys((e.coordinates.attack, str(e.budget)) for e in attacks):
        cells = _of_models(comparison, "attack", attack=name, budget=budget)
        yield Line(write_name(str(name)), _written(budget), robust, cells)
    for budget in dict.fromkeys(str(e.budget) for e in attacks if e.facts.get("control") is False):
        if worst is not None:
            cells = _of_models(comparison, "attack", budget=budget)
            first = {model: _first(found) for model, found in cells.items()}
            yield Line(WORST, _written(budget), worst, first)


def _of_models(
    comparison: Comparison, kind: str, *, attack: str | None = None, budget: str = ""
) -> dict[str, tuple[Entry, ...]]:
    """Return the cells of each model that has any, by attack and budget where they are given."""
    found = {
        model: tuple(
            entry
            for entry in comparison.entries(kind, model)
            if (attack is None or entry.coordinates.attack == attack)
            and (not budget or str(entry.budget) == budget)
        )
        for model in comparison.models
    }
    return {model: entries for model, entries in found.items() if entries}


def _first(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Return one cell of each training: all attacks of a budget have one worst case."""
    return tuple({e.coordinates.replica: e for e in reversed(entries)}.values())[::-1]


def _written(budget: str) -> str:
    return write_name(f"budget={budget}").removeprefix("budget=")


def _estimated(comparison: Comparison, line: Line) -> Line:
    """Compute the figure of each model, and what belongs beside it."""
    matrix, metric = comparison.matrix, line.metric
    estimates = {model: comparison.estimate(cells, metric) for model, cells in line.cells.items()}
    notes = {
        model: "; ".join(dict.fromkeys(matrix.worst(entry).words for entry in cells))
        for model, cells in line.cells.items()
        if metric.worst_case and isinstance(estimates[model], Estimate)
    }
    marks = {model: comparison.marks(Basis(cells, metric)) for model, cells in line.cells.items()}
    return replace(line, estimates=estimates, notes=notes, marks=marks)
