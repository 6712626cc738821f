"""How pages show figures of model variants: a table, what it leaves out, and the words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bench import tables
from bench.audit import Audit, Basis, in_brackets, travelling
from bench.compare.models import Comparison
from bench.matrix import Entry
from bench.metrics import METRICS, Withheld
from bench.report import blocks
from bench.report.blocks import Block, Paragraph


@dataclass
class Grid:
    """A table as it grows: a row for each model variant; each reason for a gap once, below it."""

    comparison: Comparison
    audited: Audit
    headers: Sequence[str]
    rows: list[list[str]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def figure(self, name: str, entries: Sequence[Entry], *, plain: bool = False) -> str:
        """Write a figure of one model variant; nothing where it has no such cell.

        Args:
            name: of the metric.
            entries: its cells.
            plain: without interval and n.

        """
        if not entries:
            return ""
        metric = METRICS[name]
        self.remarks += set(tables.on_targets([metric], entries)) - set(self.remarks)
        found = self.comparison.estimate(entries, metric)
        if isinstance(found, Withheld):
            if any(entry.state != "done" for entry in entries):
                return found.reason
            if found.reason not in self.reasons:
                self.reasons.append(found.reason)
            return f"withheld [{self.reasons.index(found.reason) + 1}]"
        if plain and found.value is not None:
            return tables.number(found.value, metric.unit)
        basis = Basis(tuple(entries), metric)
        marks = in_brackets(travelling(self.audited, self.comparison.matrix, [basis]))
        return tables.figure(found, metric, intervals=True) + marks

    def blocks(self, *defined: str) -> Iterator[Block]:
        """Write the table without empty columns, the reasons, and definitions.

        Args:
            defined: metrics that are defined below the table, where it shows them.

        """
        kept = [
            place
            for place in range(len(self.headers))
            if not place or any(_is_filled(row[place]) for row in self.rows)
        ]
        if len(kept) == 1:
            return
        headers = [self.headers[place] for place in kept]
        rows = [[row[place] for place in kept] for row in self.rows]
        yield blocks.Table.of(headers, rows, left=1)
        for number, reason in enumerate(self.reasons, 1):
            yield Paragraph(f"[{number}] {reason}")
        yield from map(Paragraph, self.remarks)
        for name in defined:
            if name in headers:
                yield definition(name)


def _is_filled(cell: str) -> bool:
    return bool(cell) and not cell.startswith(tables.DASH)


def definition(name: str) -> Paragraph:
    """Write what a metric is."""
    return Paragraph(f"{name}: {METRICS[name].definition}")


def laid_out(table: tables.Table) -> Iterator[Block]:
    """Write a suite's table, and each line under it as a paragraph."""
    headers, rows, under = table.laid_out()
    if rows:
        yield blocks.Table.of(headers, rows, left=len(table.row_names))
    yield from map(Paragraph, under)
