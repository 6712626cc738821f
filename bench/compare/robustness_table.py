"""The comparison of models' robustness as a table: estimates, and differences with their p.

It tests nothing. No torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from bench import tables
from bench.audit import Finding
from bench.compare.model_tests import Test
from bench.compare.models import Comparison
from bench.compare.robustness import Line, robustness
from bench.metrics import Withheld
from bench.records import JSON
from bench.statistics import Estimate, p_equals
from bench.tables import Grid, Sheet

ACROSS = 3
"""So many differences, at most, stand beside the models; more are a table of their own."""


@dataclass(frozen=True)
class _Footnotes:
    """What stands below: each once, by number."""

    lines: list[str] = field(default_factory=list)

    def mark(self, words: Iterable[str]) -> str:
        """Return the numbers of some footnotes in brackets; nothing for none."""
        numbers = []
        for each in words:
            if each not in self.lines:
                self.lines.append(each)
            numbers.append(str(self.lines.index(each) + 1))
        return f" [{', '.join(numbers)}]" if numbers else ""


def compared(comparison: Comparison) -> Sheet:
    """Lay models out side by side, for each attack and budget."""
    lines = robustness(comparison)
    models = [m for m in comparison.models if any(m in line.cells for line in lines)]
    pairs = list(combinations(models, 2))
    notes = _Footnotes()
    rows = [[line.attack, line.budget, *_figures(line, models, notes)] for line in lines]
    headers = ["attack", "budget", *models]
    if len(pairs) <= ACROSS:
        headers += [f"{first} - {second}" for first, second in pairs]
        rows = [
            [*row, *(_difference(line, *pair) for pair in pairs)]
            for row, line in zip(rows, lines, strict=True)
        ]
    grids = [Grid(headers, rows, 2)] if lines else []
    if len(pairs) > ACROSS and lines:
        grids.append(_differences(lines))
    return Sheet(
        "Models side by side, under each attack",
        grids,
        [*_under(lines), *(f"[{place}] {text}" for place, text in enumerate(notes.lines, 1))],
        list(_records(lines)),
    )


def _figures(line: Line, models: Sequence[str], notes: _Footnotes) -> Iterator[str]:
    for model in models:
        found = line.estimates.get(model)
        if found is None:
            yield ""
        elif isinstance(found, Withheld):
            yield f"withheld{notes.mark([found.reason])}"
        else:
            beside = [line.notes[model]] if line.notes.get(model) else []
            beside += [each.sentence for each in line.marks.get(model, ())]
            yield tables.figure(found, line.metric, intervals=True) + notes.mark(beside)


def _difference(line: Line, first: str, second: str) -> str:
    """Write the difference of two models with its interval and p; nothing if it is not tested."""
    for test in line.tests:
        if (test.first, test.second) == (first, second):
            return _words(test)
    return ""


def _words(test: Test) -> str:
    known = test.difference
    interval = known.lacks
    if known.low is not None and known.high is not None:
        interval = f"{100 * known.low:.1f}, {100 * known.high:.1f}"
    return f"{100 * known.value:.1f} points [{interval}], {p_equals(test.p_value)}"


def _differences(lines: Sequence[Line]) -> Grid:
    rows = [
        [line.attack, line.budget, test.first, test.second, _words(test)]
        for line in lines
        for test in line.tests
    ]
    return Grid(["attack", "budget", "model", "minus", "difference"], rows, 4)


def _under(lines: Sequence[Line]) -> Iterator[str]:
    if not lines:
        yield "No attack of this run has a budget."
        return
    for metric in dict.fromkeys(line.metric for line in lines):
        yield f"{metric.name}: {metric.definition}"
    yield "In brackets: 95 % intervals. In parentheses: n, the images that count."
    count = sum(len(line.tests) for line in lines)
    names = ", ".join(dict.fromkeys(test.name for line in lines for test in line.tests))
    if count:
        yield f"p: {names}, on the images that both were judged on; Holm over all {count} tests."
        yield "A test between single trainings is about these trainings, not about recipes."


def _records(lines: Sequence[Line]) -> Iterator[dict[str, JSON]]:
    """Return one record for each estimate, and for each difference."""
    for line in lines:
        place: dict[str, JSON] = {
            "attack": line.attack,
            "budget": line.budget or None,
            "metric": line.metric.name,
        }
        for model, found in line.estimates.items():
            known = found if isinstance(found, Estimate) else None
            reason = found.reason if isinstance(found, Withheld) else line.notes.get(model)
            marks = line.marks.get(model, ())
            yield {
                **place,
                "model": model,
                "minus": None,
                "value": known.value if known else None,
                "low": known.low if known else None,
                "high": known.high if known else None,
                "n": known.n if known else None,
                "p_value": None,
                "test": None,
                "note": reason or None,
                "findings": _rules(each for each in marks if not each.is_mark),
                "marks": _rules(each for each in marks if each.is_mark),
            }
        for test in line.tests:
            apart = test.difference
            yield {
                **place,
                "model": test.first,
                "minus": test.second,
                "value": apart.value,
                "low": apart.low,
                "high": apart.high,
                "n": apart.n,
                "p_value": test.p_value,
                "test": test.name,
                **dict.fromkeys(("note", "findings", "marks")),
            }


def _rules(found: Iterable[Finding]) -> str | None:
    return " ".join(dict.fromkeys(rule for each in found for rule in each.rules)) or None
