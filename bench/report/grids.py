"""How Markdown shows figures of model variants: a table, what it leaves out, and the words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tabulate import tabulate

from bench import tables
from bench.audit import Audit
from bench.compare.models import Comparison
from bench.matrix import Entry
from bench.metrics import METRICS, Withheld


@dataclass
class Grid:
    """A table as it grows: a row for each model variant; reasons for gaps stand once, below it."""

    comparison: Comparison
    audited: Audit
    headers: Sequence[str]
    rows: list[list[str]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

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
        found = self.comparison.estimate(entries, metric)
        if isinstance(found, Withheld):
            if any(entry.state != "done" for entry in entries):
                return found.reason
            if found.reason not in self.reasons:
                self.reasons.append(found.reason)
            return f"withheld [{self.reasons.index(found.reason) + 1}]"
        if plain and found.value is not None:
            return tables.number(found.value, metric.unit)
        return tables.figure(found, metric, intervals=True) + self.audited.marks(entries, metric)

    def lines(self, *defined: str) -> Iterator[str]:
        """Write the table without columns that say nothing, the reasons, and definitions.

        Args:
            defined: metrics that are defined below the table, where it shows them.

        """
        kept = [
            place
            for place in range(len(self.headers))
            if not place or any(_says(row[place]) for row in self.rows)
        ]
        if len(kept) == 1:
            return
        headers = [self.headers[place] for place in kept]
        yield from table([[row[place] for place in kept] for row in self.rows], headers)
        for number, reason in enumerate(self.reasons, 1):
            yield f"[{number}] {reason}"
            yield ""
        for name in defined:
            if name in headers:
                yield f"{name}: {METRICS[name].definition}"
                yield ""


def _says(cell: str) -> bool:
    return bool(cell) and not cell.startswith(tables.DASH)


def table(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> Iterator[str]:
    """Write a table: names on the left, figures to the right."""
    align = ["left", *["right"] * (len(headers) - 1)]
    yield tabulate(rows, headers, tablefmt="github", disable_numparse=True, colalign=align)
    yield ""
