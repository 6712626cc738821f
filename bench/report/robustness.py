"""The pages' part on robustness side by side: models under each attack, with paired tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.compare.models import Comparison
from bench.compare.robustness_table import compared
from bench.matrix import Matrix
from bench.report.blocks import Block, Details, Heading, Paragraph, Table


def section(matrix: Matrix, _folder: Path) -> Iterator[Block]:
    """Write how robust models are beside each other; nothing for one model, or no attack."""
    comparison = Comparison(matrix)
    if len(comparison.models) < 2:  # noqa: PLR2004 (one model is beside nothing)
        return
    sheet = compared(comparison)
    if not sheet.grids:
        return
    yield Heading("Robustness side by side")
    first, *others = sheet.grids
    yield Table.of(list(first.headers), first.rows, left=first.left)
    for grid in others:
        drawn = Table.of(list(grid.headers), grid.rows, left=grid.left)
        yield Details("The differences", (drawn,))
    yield from map(Paragraph, sheet.remarks)
