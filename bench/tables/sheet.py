"""A table whose cells are words already: drawn as Markdown and LaTeX, with plain records beside.

It does not know what its cells mean.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.records import JSON
from bench.tables.markup import latex, latex_cell, markdown, markdown_cell


@dataclass(frozen=True)
class Grid:
    """Cells under headers; the first columns, so many, are aligned left."""

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: int

    def drawn(self, form: str, escaped: Callable[[str], str]) -> str:
        """Draw it in a format of tabulate's, each cell escaped."""
        from tabulate import tabulate

        headers, *body = ([escaped(cell) for cell in line] for line in (self.headers, *self.rows))
        sides = ["left"] * self.left + ["right"] * (len(self.headers) - self.left)
        return tabulate(
            body, headers, tablefmt=form, disable_numparse=True, colalign=sides if body else None
        )


@dataclass(frozen=True, repr=False)
class Sheet:
    """One or more grids, the lines under them, and the same as records of plain numbers."""

    title: str
    grids: Sequence[Grid]
    remarks: Sequence[str]
    records: Sequence[Mapping[str, JSON]]

    def __str__(self) -> str:
        return self.render("github")

    def __repr__(self) -> str:
        return self.render("github")

    def _repr_markdown_(self) -> str:
        return self.render("github")

    def render(self, form: str) -> str:
        """Write it out: ``github``, ``latex``, ``csv`` or ``json``."""
        if form == "json":
            document: dict[str, JSON] = {
                "title": self.title,
                "records": [dict(record) for record in self.records],
                "remarks": list(self.remarks),
            }
            return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
        if form == "csv":
            return self._csv()
        if form == "latex":
            grids = [_ruled(grid.drawn("latex_raw", latex_cell)) for grid in self.grids]
            under = [rf"\par\noindent{{\footnotesize {latex(line)}}}" for line in self.remarks]
            return "\n".join([*grids, *under])
        grids = [grid.drawn("github", markdown_cell) + "\n" for grid in self.grids]
        return "\n".join([*grids, *map(markdown, self.remarks)])

    def _csv(self) -> str:
        sink = io.StringIO()
        if self.records:
            writer = csv.DictWriter(sink, fieldnames=list(self.records[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.records)
        return sink.getvalue().rstrip("\n")


def _ruled(drawn: str) -> str:
    """Put the rules of booktabs into a table of LaTeX's."""
    rules = iter(("\\toprule", "\\midrule", "\\bottomrule"))
    return re.sub(r"^\\hline$", lambda _: next(rules), drawn, flags=re.MULTILINE)
