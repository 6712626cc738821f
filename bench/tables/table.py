"""A table that is laid out, and how it is written: Markdown, CSV, JSON, LaTeX.

It does not decide what its places hold.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from bench.audit import Finding
from bench.matrix import Entry
from bench.metrics import Metric
from bench.records import JSON
from bench.statistics import Estimate
from bench.tables.markup import latex, latex_cell, markdown, markdown_cell
from bench.tables.words import figure, text_of

if TYPE_CHECKING:
    from pandas import DataFrame

Format = Literal["github", "csv", "json", "latex"]
FORMATS: tuple[Format, ...] = ("github", "csv", "json", "latex")


@dataclass(frozen=True)
class Place:
    """One place of a table: an estimate, or the reason that there is none.

    ``note`` is that reason, or what must be said of the estimate.
    ``entries`` are the cells it comes from: one, or one for each replica of a model. ``findings``
    are what the audit found about it, marks included.
    """

    metric: Metric
    estimate: Estimate | None
    note: str = ""
    entries: tuple[Entry, ...] = ()
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class _Footnotes:
    """The footnotes of a table: reasons by number, findings by letter, each once."""

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


@dataclass(frozen=True, repr=False)
class Table:
    """Metrics laid out over rows and columns, with the remarks under them."""

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

    def __repr__(self) -> str:
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

    def laid_out(self) -> tuple[list[str], list[list[str]], list[str]]:
        """Return the headers, the rows of cells, and the lines under them; nothing is escaped."""
        notes = _Footnotes()
        headers, body = self._grid(notes)
        return headers, body, self._under(notes)

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
                    "note": place.note or (known.lacks if known else "") or None,
                    "findings": _rules(f for f in place.findings if not f.is_mark),
                    "marks": _rules(f for f in place.findings if f.is_mark),
                    "key": " ".join(entry.key or "" for entry in place.entries) or None,
                }

    def _grid(self, notes: _Footnotes) -> tuple[list[str], list[list[str]]]:
        between = " to " if self.column_names == ("source", "model") else " / "
        headers = [*self.row_names, *(between.join(text_of(v) for v in c) for c in self.columns)]
        if not self.column_names:
            headers = [*self.row_names, *(metric.name for metric in self.metrics)]
        body = []
        for i, row in enumerate(self.rows):
            figures = (
                self._words(self.places.get((i, j)), notes) for j in range(len(self.columns))
            )
            body.append([*(text_of(value) for value in row), *figures])
        return headers, body

    def _words(self, place: Place | None, notes: _Footnotes) -> str:
        if place is None:
            return ""
        if place.estimate is None:
            return f"withheld [{notes.number(place.note)}]"
        marks = [str(notes.number(place.note))] if place.note else []
        marks += [notes.letter(finding.sentence) for finding in place.findings]
        words = figure(place.estimate, place.metric, intervals=self.intervals)
        return f"{words} [{', '.join(marks)}]" if marks else words

    def _drawn(self, form: str, escaped: Callable[[str], str], notes: _Footnotes) -> str:
        """Draw the grid in a format of tabulate's, each cell escaped; footnotes are noted."""
        from tabulate import tabulate

        headers, body = self._grid(notes)
        headers, *body = ([escaped(cell) for cell in line] for line in (headers, *body))
        align = ["left"] * len(self.row_names) + ["right"] * len(self.columns)
        return tabulate(
            body,
            headers,
            tablefmt=form,
            disable_numparse=True,
            colalign=align if body else None,
        )

    def _github(self) -> str:
        notes = _Footnotes()
        text = self._drawn("github", markdown_cell, notes)
        grid = [text, ""] if self.rows else []
        return "\n".join([*grid, *map(markdown, self._under(notes))])

    def _latex(self) -> str:
        notes = _Footnotes()
        rules = iter(("\\toprule", "\\midrule", "\\bottomrule"))
        drawn = self._drawn(
            "latex_raw", latex_cell, notes
        )  # booktabs of tabulate's would escape again
        text = re.sub(r"^\\hline$", lambda _: next(rules), drawn, flags=re.MULTILINE)
        under = [rf"\par\noindent{{\footnotesize {latex(line)}}}" for line in self._under(notes)]
        return "\n".join([text, *under])

    def _under(self, notes: _Footnotes) -> list[str]:
        """Return the lines under a table: what it shows, footnotes, what is missing."""
        lines = [f"{metric.name}: {metric.definition}" for metric in self.metrics]
        timed = all(metric.kinds == ("latency",) for metric in self.metrics)
        counted = "the timed runs" if timed else "the images that count"
        several = any(p.estimate and p.estimate.trainings > 1 for p in self.places.values())
        estimates = [p.estimate for p in self.places.values() if p.estimate]
        has_n = any(estimate.n or estimate.value is None for estimate in estimates)
        parts = [f"n, {counted}"] if has_n else []
        parts += ["x trainings; the figure is the mean over them"] if several else []
        words = f"In parentheses: {', '.join(parts)}."
        if self.intervals:
            kind = " or ".join(dict.fromkeys(metric.interval_name for metric in self.metrics))
            t = "; of several trainings, Student's t over images and trainings" if several else ""
            words = f"In brackets: 95 % {kind} interval{t}. {words}"
        if parts:
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
            "places": [_finite(place) for place in self._long()],
            "remarks": list(self.remarks),
        }
        return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)


def _rules(found: Iterable[Finding]) -> str | None:
    """Name the rules of findings, each once; None for none."""
    return " ".join(dict.fromkeys(rule for each in found for rule in each.rules)) or None


def _finite(place: Mapping[str, JSON]) -> dict[str, JSON]:
    """Write numbers that JSON has no way to write as nothing, with a note that says which."""
    lost = {
        name: "undefined" if math.isnan(value) else "infinite" if value > 0 else "minus infinite"
        for name, value in place.items()
        if isinstance(value, float) and not math.isfinite(value)
    }
    if not lost:
        return dict(place)
    words = [f"{name} is {how}" for name, how in lost.items()]
    notes = [str(place["note"])] if place.get("note") else []
    return {**place, **dict.fromkeys(lost), "note": "; ".join([*notes, *words])}
