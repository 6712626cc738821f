"""The pages' part on choosing a model: side by side, cost against accuracy, recommendations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench import tables
from bench.audit import Audit, Basis, in_brackets, travelling
from bench.compare.fronts import front
from bench.compare.model_tests import Test
from bench.compare.models import ALPHA, BUSY, Comparison, Row
from bench.compare.recommendation import Recommendation, recommend
from bench.figures import front as drawings
from bench.matrix import Matrix
from bench.metrics import METRICS, Metric, Unit, Withheld
from bench.metrics.constraints import Figure
from bench.report.blocks import (
    Block,
    Bullets,
    Code,
    Details,
    Heading,
    Inline,
    Paragraph,
    Strong,
    Table,
    Text,
)
from bench.report.pictures import embedded
from bench.statistics import Difference, p_equals, written
from bench.suite.sections import Choice

_FIGURES = tuple(map(Figure, ("latency_ms", "size_bytes", "clean_accuracy")))
"""The figures of the front."""


def section(matrix: Matrix, folder: Path, *, audited: Audit) -> Iterator[Block]:
    """Write how the models compare; figures go into ``folder``."""
    comparison = Comparison(matrix)
    if not comparison.rows:
        return
    yield from _side_by_side(comparison, audited)
    yield from _front(comparison, folder)
    yield from _recommendations(comparison)


def _side_by_side(comparison: Comparison, audited: Audit) -> Iterator[Block]:
    yield Heading("Models side by side")
    body = [
        [
            row.metric.name + (f" ({row.part})" if row.part else ""),
            *_figures(row, comparison, audited),
        ]
        for row in comparison.rows
    ]
    yield Table.of(["", *comparison.models], body, left=1)
    if len(comparison.models) < 2:  # noqa: PLR2004 (one model is beside nothing)
        return
    yield Paragraph(
        f"Bold: better than every other model. Of figures that rest on images, where a paired test "
        f"is significant (p < {ALPHA}, Holm over the pairs of models of each figure); of counted "
        "ones, where they differ; of timed ones, where 95 % of the runs are faster than 95 % of "
        f"the other's and no other process took more than {BUSY:.0%} of the machine. A test "
        "between single trainings is about these two trainings; several seeds or folds support "
        "claims about recipes. Models that were cross-validated on different folds are not tested. "
        "Figures of explanations rank no model."
    )
    tested = [(row, test) for row in comparison.rows for test in row.tests]
    if tested:
        yield Details("The tests", (tests_table(tested),))


def tests_table(tested: Sequence[tuple[Row, Test]]) -> Table:
    """Write tests: which models, on what, how far apart, and the corrected p-value."""
    rows = []
    for row, test in tested:
        words = apart(test.difference, row.metric.unit)
        name = row.metric.name + (f" ({row.part})" if row.part else "")
        rows.append([name, test.first, test.second, words, written(test.p_value), test.name])
    headers = ["figure", "model", "minus", "difference", "p, corrected", "test"]
    return Table.of(headers, rows)


def apart(difference: Difference, unit: Unit) -> str:
    """Write how far two figures are apart, with the interval."""
    points = " points" if unit == "share" else ""
    words = f"{tables.number(difference.value, unit)}{points}"
    if difference.low is None or difference.high is None:
        return f"{words} [{difference.lacks}]"
    low, high = (tables.number(value, unit) for value in (difference.low, difference.high))
    return f"{words} [{low}, {high}]"


def _figures(row: Row, comparison: Comparison, audited: Audit) -> Iterator[Text]:
    for model in comparison.models:
        found = row.estimates.get(model)
        if found is None:
            yield ""
        elif isinstance(found, Withheld):
            yield f"withheld: {found.reason}"
        else:
            words = tables.figure(found, row.metric, intervals=True)
            entries = comparison.entries(row.metric.kinds[0], model)
            basis = Basis(tuple(entries), row.metric)
            marks = in_brackets(travelling(audited, comparison.matrix, [basis]))
            yield (Strong(words), marks) if model == row.best else words + marks


def _front(comparison: Comparison, folder: Path) -> Iterator[Block]:
    found = front(comparison, *_FIGURES)
    if len(found.is_on_front) < 2:  # noqa: PLR2004 (one model is no front)
        return
    latency, size, accuracy = found.figures
    marks = {model: comparison.marks(*found.basis(model)) for model in found.is_on_front}
    points = [
        drawings.Point(
            model + "*" * bool(marks[model]),
            accuracy.estimates[model],
            latency.values[model],
            size.values[model],
            is_on_front,
        )
        for model, is_on_front in found.is_on_front.items()
    ]
    batch = int(dict(latency.figure.where)["batch"])
    yield Heading("Accuracy against cost")
    path = drawings.front(points, batch, folder / "front")
    yield embedded(
        path,
        f"Accuracy over latency of batch {batch}; areas are sizes; a model is on the line where no "
        "other is at least as accurate, fast and small",
        width=560,
    )
    if found.left_out:
        yield Paragraph(f"Left out: {_reasons(found.left_out)}.")
    beside = {model: in_brackets(each).strip(" []") for model, each in marks.items() if each}
    if beside:
        yield Paragraph(f"* Its figures carry what the audit found: {_reasons(beside)}.")
    disturbed = [model for model in found.is_on_front if latency.notes.get(model)]
    if disturbed:
        yield Paragraph(f"Timings disturbed by other processes: {', '.join(disturbed)}.")


def _recommendations(comparison: Comparison) -> Iterator[Block]:
    choices = comparison.matrix.run.get("recommend") or {}
    if not choices:
        return
    yield Heading("Recommendations")
    yield Bullets(
        tuple(
            recommendation(comparison, name, Choice.model_validate(raw))
            for name, raw in choices.items()
        )
    )
    yield Paragraph(
        "A constraint is met where it holds at every value of the figure's 95 % interval, missed "
        "where it holds at none, and else cannot be told; figures without an interval are compared "
        "as they are, timings by their median. What rests on a finding of the audit is left out. "
        "The same in recommendations.json."
    )


def recommendation(comparison: Comparison, name: str, choice: Choice) -> tuple[Inline, ...]:
    """Write in a sentence or three which model to choose, and what chance may explain."""
    found = recommend(comparison, choice)
    metric = METRICS[found.figure.metric]
    parts: list[Inline] = [Strong(name), " (best ", Code(str(found.figure))]
    for place, bound in enumerate(choice.where):
        parts += [" and " if place else " with ", Code(str(bound))]
    if found.best is None:
        lacks = "keeps the constraints" if choice.where else "has this figure"
        is_open = found.conclusion == "cannot be told"
        parts.append(f"): {'cannot be told whether a' if is_open else 'no'} model {lacks}.")
    else:
        figure = "" if found.value is None else tables.number(found.value, metric.unit)
        percent = " %" if metric.unit == "share" else ""
        parts += ["): ", Strong(found.best), f", {figure}{percent}."]
    return (*parts, "".join(_beside(found, metric)))


def _beside(found: Recommendation, metric: Metric) -> Iterator[str]:
    """Write what it is judged by, and how the others compare with the one that is recommended."""
    where = {name for name, _ in found.figure.where}
    if found.attack is not None and not where & {"attack", "plugin"}:
        yield f" Judged by {found.attack}."
    if found.notes:
        words = "; ".join(found.notes)
        yield f" {words[0].upper()}{words[1:]}."
    if found.marks:
        yield " Marked: " + "; ".join(f"{m.sentence} ({', '.join(m.rules)})" for m in found.marks)
        yield "."
    close = [m for m, p in found.others.items() if p is not None and p >= ALPHA]
    ahead = {m: p for m, p in found.others.items() if p is not None and 0 < p < ALPHA}
    counted = [model for model, p in found.others.items() if p == 0]
    if close and metric.is_counted:
        yield f" Equal to {', '.join(close)}: the first in the suite is named."
    elif close:
        yield f" Not significantly better than {' or '.join(close)}"
        yield f" ({', '.join(p_equals(p) for m in close if (p := found.others[m]) is not None)})."
    if ahead:
        yield " Better than " + ", ".join(f"{m} ({p_equals(p)})" for m, p in ahead.items()) + "."
    if counted:
        yield f" Better than {', '.join(counted)}, as counted."
    untested = [model for model, p in found.others.items() if p is None]
    if untested:
        yield f" Not tested against {', '.join(untested)}."
    if found.refused:
        yield f" Left out: {_reasons(found.refused)}."


def _reasons(left_out: Mapping[str, str]) -> str:
    return ", ".join(f"{model} ({reason})" for model, reason in left_out.items())
