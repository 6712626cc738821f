"""From the matrix to tables that people read: GitHub Markdown, CSV, JSON, LaTeX, plain text.

A table is a metric, or several, laid out over rows and columns. Each place holds one cell's figure
with its n, or says why there is none. Nothing is pooled: where several cells fall into one place,
that is an error that says what to add. No torch.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from bench.audit import Audit, Finding, known
from bench.errors import UsageError, nearest
from bench.matrix import Entry, Matrix
from bench.metrics import METRICS, Metric, Unit, Withheld
from bench.records import JSON
from bench.statistics import Estimate

if TYPE_CHECKING:
    from pandas import DataFrame

Format = Literal["github", "csv", "json", "latex"]
FORMATS: tuple[Format, ...] = ("github", "csv", "json", "latex")
DASH = "–"  # noqa: RUF001 (the mark for an empty denominator)


@dataclass(frozen=True)
class Place:
    """One place of a table: an estimate, or the reason that there is none.

    ``entries`` are the cells it comes from: one, or one for each replica of a model. ``findings``
    are what the audit found about it.
    """

    metric: Metric
    estimate: Estimate | None
    note: str = ""
    entries: tuple[Entry, ...] = ()
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class _Footnotes:
    """What stands under a table: reasons by number, findings by letter, each once."""

    reasons: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)

    def number(self, reason: str) -> int:
        if reason not in self.reasons:
            self.reasons.append(reason)
        return self.reasons.index(reason) + 1

    def letter(self, finding: str) -> str:
        if finding not in self.findings:
            self.findings.append(finding)
        return _letters(self.findings.index(finding))

    def lines(self) -> list[str]:
        reasons = [f"[{number}] {reason}" for number, reason in enumerate(self.reasons, 1)]
        found = [f"[{_letters(place)}] {words}" for place, words in enumerate(self.findings)]
        return reasons + found


def _letters(place: int) -> str:
    """Count in letters: a, b, ... z, aa, ab, ..."""
    before, last = divmod(place, 26)
    return (_letters(before - 1) if before else "") + chr(ord("a") + last)


@dataclass(frozen=True)
class Table:
    """Metrics laid out over rows and columns, with what must be said under them."""

    title: str
    metrics: tuple[Metric, ...]
    row_names: tuple[str, ...]
    column_names: tuple[str, ...]
    rows: tuple[tuple[JSON, ...], ...]
    columns: tuple[tuple[JSON, ...], ...]
    places: Mapping[tuple[int, int], Place]
    remarks: tuple[str, ...]
    intervals: bool = False

    def __str__(self) -> str:
        return self.render("github")

    def _repr_markdown_(self) -> str:
        return self.render("github")

    def render(self, form: Format) -> str:
        """Write the table out."""
        return {
            "github": self._github,
            "latex": self._latex,
            "csv": self._csv,
            "json": self._json,
        }[form]()

    def frame(self) -> DataFrame:
        """Return one row for each place: value, low, high, n as plain numbers; note, findings."""
        import pandas as pd

        return pd.DataFrame(list(self._long()))

    def _long(self) -> Iterable[dict[str, JSON]]:
        for i, row in enumerate(self.rows):
            for j, column in enumerate(self.columns):
                place = self.places.get((i, j))
                if place is None:
                    continue
                known = place.estimate
                yield {
                    **dict(zip(self.row_names, row, strict=True)),
                    **dict(zip(self.column_names, column, strict=True)),
                    "metric": place.metric.name,
                    "value": known.value if known else None,
                    "low": known.low if known else None,
                    "high": known.high if known else None,
                    "n": known.n if known else None,
                    "trainings": known.trainings if known else None,
                    "note": place.note or None,
                    "findings": " ".join(dict.fromkeys(f.rule for f in place.findings)) or None,
                    "key": " ".join(entry.key or "" for entry in place.entries) or None,
                }

    def _grid(self, notes: _Footnotes) -> tuple[list[str], list[list[str]]]:
        between = " to " if self.column_names == ("source", "model") else " / "
        headers = [*self.row_names, *(between.join(_text(v) for v in c) for c in self.columns)]
        if not self.column_names:
            headers = [*self.row_names, *(metric.name for metric in self.metrics)]
        body = []
        for i, row in enumerate(self.rows):
            figures = (
                self._words(self.places.get((i, j)), notes) for j in range(len(self.columns))
            )
            body.append([*(_text(value) for value in row), *figures])
        return headers, body

    def _words(self, place: Place | None, notes: _Footnotes) -> str:
        if place is None:
            return ""
        if place.estimate is None:
            return f"withheld [{notes.number(place.note)}]"
        marks = [notes.letter(finding.sentence) for finding in place.findings]
        told = figure(place.estimate, place.metric, intervals=self.intervals)
        return f"{told} [{', '.join(marks)}]" if marks else told

    def _github(self) -> str:
        from tabulate import tabulate

        notes = _Footnotes()
        headers, body = self._grid(notes)
        align = ["left"] * len(self.row_names) + ["right"] * len(self.columns)
        text = tabulate(
            body,
            headers,
            tablefmt="github",
            disable_numparse=True,
            colalign=align if body else None,
        )
        grid = [text, ""] if self.rows else []
        return "\n".join([*grid, *self._under(notes)])

    def _latex(self) -> str:
        from tabulate import tabulate

        notes = _Footnotes()
        headers, body = self._grid(notes)
        align = ["left"] * len(self.row_names) + ["right"] * len(self.columns)
        text = tabulate(
            body,
            headers,
            tablefmt="latex_booktabs",
            disable_numparse=True,
            colalign=align if body else None,
        )
        return "\n".join([text, *(f"% {line}" for line in self._under(notes))])

    def _under(self, notes: _Footnotes) -> list[str]:
        """Return the lines under a table: what it shows, footnotes, what is missing."""
        lines = [f"{metric.name}: {metric.definition}" for metric in self.metrics]
        timed = all(metric.kinds == ("latency",) for metric in self.metrics)
        counted = "the timed runs" if timed else "the images that count"
        several = any(p.estimate and p.estimate.trainings > 1 for p in self.places.values())
        words = f"In parentheses: n, {counted}"
        words += ", x trainings; the figure is the mean over them." if several else "."
        if self.intervals:
            bootstrap = {metric.mean or metric.weighted is not None for metric in self.metrics}
            kind = " or ".join("bootstrap" if each else "Wilson" for each in sorted(bootstrap))
            t = "; of several trainings, Student's t over images and trainings" if several else ""
            words = f"In brackets: 95 % {kind} interval{t}. {words}"
        told = [p.estimate for p in self.places.values() if p.estimate]
        if any(estimate.n or estimate.value is None for estimate in told):  # others are counted
            lines.append(words)
        return [*lines, *notes.lines(), *self.remarks]

    def _csv(self) -> str:
        rows = list(self._long())
        sink = io.StringIO()
        if rows:
            writer = csv.DictWriter(sink, fieldnames=list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        return sink.getvalue().rstrip("\n")

    def _json(self) -> str:
        document = {
            "title": self.title,
            "metric": ", ".join(metric.name for metric in self.metrics),
            "definition": "\n".join(metric.definition for metric in self.metrics),
            "places": list(self._long()),
            "remarks": list(self.remarks),
        }
        return json.dumps(document, indent=1, ensure_ascii=False)


def judged(matrix: Matrix) -> list[str]:
    """Return the dimensions that name who is judged: the variant where there are several."""
    variants = {entry.coordinates.variant for entry in matrix.entries}
    return ["model", "variant"] if len(variants) > 1 else ["model"]


def build(
    matrix: Matrix,
    metric: str | Sequence[str] = "success_rate",
    *,
    rows: Sequence[str] = ("attack",),
    columns: Sequence[str] = ("model",),
    where: Mapping[str, JSON] | None = None,
    intervals: bool = False,
    title: str = "",
    audited: Audit | None = None,
) -> Table:
    """Lay a metric, or several, out over rows and columns.

    Args:
        matrix: of one run.
        metric: a name in :data:`bench.metrics.METRICS`, or several.
        rows, columns: dimensions; see ``matrix.dimensions``. Of several metrics one is ``metric``;
            where neither names it, it is the last of the columns.
        where: only cells with these values.
        intervals: print the 95 % intervals.
        title: over the table.
        audited: the run's audit, so that it is not looked up for each table.

    Raises:
        UsageError: for an unknown metric or dimension, or where several cells fall in one place.

    """
    measures = _measures(metric)
    if len(measures) > 1 and METRIC not in (*rows, *columns):
        columns = [*columns, METRIC]
    where = dict(where or {})
    for option, names in (("--rows", rows), ("--columns", columns), ("--where", where)):
        for name in names:
            if name != METRIC or option == "--where":
                matrix.check_dimension(name, option)
    chosen = {measure: _chosen(matrix, measure, [*rows, *columns], where) for measure in measures}
    row_keys: dict[tuple[JSON, ...], int] = {}
    column_keys: dict[tuple[JSON, ...], int] = {}
    found: dict[tuple[int, int], tuple[Metric, list[Entry]]] = {}
    for measure, entry in ((m, e) for m, entries in chosen.items() for e in entries):
        row, column = (
            tuple(measure.name if name == METRIC else entry.value(name) for name in names)
            for names in (rows, columns)
        )
        place = (
            row_keys.setdefault(row, len(row_keys)),
            column_keys.setdefault(column, len(column_keys)),
        )
        _, others = found.setdefault(place, (measure, []))
        if others and not _is_same(measure, entry, others[0]):
            _refuse_pooling(matrix, entry, others[0], [*rows, *columns])
        if not (measure.across and any(_is_one_training(entry, other) for other in others)):
            others.append(entry)
    findings = (known(matrix) if audited is None else audited).findings
    places = {
        place: _place(matrix, tuple(entries), measure, findings)
        for place, (measure, entries) in found.items()
    }
    everything = {entry.label: entry for entries in chosen.values() for entry in entries}
    return Table(
        title=title,
        metrics=tuple(measures),
        row_names=tuple(rows),
        column_names=tuple(columns),
        rows=tuple(row_keys),
        columns=tuple(column_keys),
        places=places,
        remarks=tuple(_remarks(matrix, list(everything.values()))),
        intervals=intervals,
    )


METRIC = "metric"
"""The dimension that several metrics are laid out by."""


def _measures(metric: str | Sequence[str]) -> list[Metric]:
    """Look metrics up."""
    names = [metric] if isinstance(metric, str) else list(dict.fromkeys(metric))
    unknown = [name for name in names if name not in METRICS] or ([] if names else [""])
    if unknown:
        near = nearest(unknown[0], METRICS)
        raise UsageError.of("--metric", f"got '{unknown[0]}'", "a metric", near)
    return [METRICS[name] for name in names]


def _chosen(
    matrix: Matrix, metric: Metric, dimensions: Sequence[str], where: Mapping[str, JSON]
) -> list[Entry]:
    """Pick the entries that a metric is laid out of.

    Raises:
        UsageError: where it is the condition that leaves none.

    """
    used = [name for name in dimensions if name != METRIC]
    chosen = _choose(matrix, metric, [*used, *where], where)
    if where and not chosen and _choose(matrix, metric, used, {}):
        _refuse_condition(matrix, where)
    return chosen


def _choose(
    matrix: Matrix, metric: Metric, dimensions: Sequence[str], where: Mapping[str, JSON]
) -> list[Entry]:
    """Pick the entries of the first kind that has the metric and all dimensions in use."""
    for kind in metric.kinds:
        entries = [
            entry
            for entry in matrix.entries
            if entry.kind == kind
            and not (metric.across and (entry.state != "done" or entry.budget is None))
            and all(_same(entry.value(name), value) for name, value in where.items())
        ]
        if entries and all(
            any(entry.value(name) is not None for entry in entries)
            for name in dimensions
            if name != "target"
        ):
            return entries
    return []


def _refuse_condition(matrix: Matrix, where: Mapping[str, JSON]) -> None:
    told = ", ".join(f"{name}={value}" for name, value in where.items())
    name = next(iter(where))
    known = {_text(entry.value(name)) for entry in matrix.entries if entry.value(name) is not None}
    raise UsageError.of(
        "--where", f"no cell has {told}", f"{name} to be one of " + ", ".join(sorted(known))
    )


def _same(value: JSON, wanted: JSON) -> bool:
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted or str(value).lower() == str(wanted).lower()
    if isinstance(value, int | float) and isinstance(wanted, int | float):
        return abs(value - wanted) <= 1e-9 * max(1.0, abs(value))
    return str(value) == str(wanted)


def _is_same(metric: Metric, entry: Entry, other: Entry) -> bool:
    """Say whether two cells belong in one place: replicas, or attacks that a figure combines."""
    if not metric.across:
        return _is_replica(entry, other)
    one, two = entry.coordinates, other.coordinates
    return (one.contender, entry.budget) == (two.contender, other.budget)


def _is_one_training(entry: Entry, other: Entry) -> bool:
    """Say whether two attacks are on one training of one model."""
    return replace(entry.coordinates, attack=None) == replace(other.coordinates, attack=None)


def _is_replica(entry: Entry, other: Entry) -> bool:
    """Say whether two cells are of trainings of one recipe, and differ in nothing else."""
    if replace(entry.coordinates, replica=None) != replace(other.coordinates, replica=None):
        return False
    own = {"training_seed", "training_images", "weights"}
    return {k: v for k, v in entry.facts.items() if k not in own} == {
        k: v for k, v in other.facts.items() if k not in own
    }


def _place(
    matrix: Matrix, entries: tuple[Entry, ...], metric: Metric, findings: Sequence[Finding]
) -> Place:
    concerned = tuple(finding for finding in findings if finding.concerns(entries, metric))
    missing = [entry for entry in entries if entry.state != "done"]
    if missing:
        reason = f": {missing[0].reason}" if missing[0].reason else ""
        among = f"{len(missing)} of {len(entries)} replicas " if len(entries) > 1 else ""
        return Place(metric, None, f"{among}{missing[0].state}{reason}", entries, concerned)
    found = matrix.estimate(entries, metric)
    if isinstance(found, Withheld):
        return Place(metric, None, found.reason, entries, concerned)
    return Place(metric, found, "", entries, concerned)


def _refuse_pooling(matrix: Matrix, entry: Entry, other: Entry, used: Sequence[str]) -> None:
    apart = [
        name
        for name in matrix.dimensions
        if name not in used and entry.value(name) != other.value(name)
    ]
    raise UsageError.of(
        "table",
        f"{entry.label} and {other.label} fall into one place",
        "one cell in each place: a rate belongs to one attack and budget",
        "lay it out by, or pick with --where, one of: " + ", ".join(apart),
    )


def _remarks(matrix: Matrix, entries: Sequence[Entry]) -> Iterable[str]:
    missing = [entry for entry in entries if entry.state != "done"]
    if missing:
        counts: dict[str, int] = {}
        for entry in missing:
            counts[entry.state] = counts.get(entry.state, 0) + 1
        told = ", ".join(f"{count} {state}" for state, count in counts.items())
        yield f"Missing: {len(missing)} of {len(entries)} cells ({told})."
    yield from dict.fromkeys(
        f"{entry.coordinates.attack}: {caveat}" for entry in entries for caveat in entry.caveats
    )
    if any(entry.coordinates.is_fold for entry in entries):
        yield "Cross-validated: each image is judged by a training that did not see it."
    if not entries:
        yield "No cell of this run has this metric."
    yield from matrix.run["notes"]


def _text(value: JSON) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return DASH if value is None else str(value)


def figure(estimate: Estimate, metric: Metric, *, intervals: bool) -> str:
    """Write an estimate with its unit, its interval if wanted, and its n."""
    if estimate.value is None:
        return f"{DASH} (0)"

    text = number(estimate.value, metric.unit) + (" %" if metric.unit == "share" else "")
    if intervals and estimate.low is not None and estimate.high is not None:
        low, high = number(estimate.low, metric.unit), number(estimate.high, metric.unit)
        text += f" [{low}, {high}]"
    counted = [str(estimate.n)] if estimate.n else []
    counted += [f"x {estimate.trainings}"] if estimate.trainings > 1 else []
    return f"{text} ({' '.join(counted)})" if counted else text


def number(value: float, unit: Unit) -> str:
    """Write a figure in its unit, with the digits that such figures deserve."""
    if unit == "share":
        return f"{100 * value:.1f}"
    if math.isinf(value):
        return "∞"
    if unit == "pixels":
        return f"{value:.4f}" if abs(value) < _WIDE else f"{value:.4g}"
    if unit == "score":
        return f"{value:.3f}"
    if unit == "bytes" or (unit == "count" and value == round(value)):
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < _LARGE else f"{value:,.0f}"


_LARGE = 1000
_WIDE = 10


def class_distribution(run: Mapping[str, Any]) -> str:
    """Write the table of how many images of each class each split of a run's dataset has."""
    from tabulate import tabulate

    counts: dict[str, dict[str, int]] = run["dataset"]["counts"]
    rows = [
        [name, *(counts[split][name] for split in counts)] for name in run["dataset"]["classes"]
    ]
    rows.append(["all", *(sum(counts[split].values()) for split in counts)])
    return tabulate(rows, ["class", *counts], tablefmt="github")
