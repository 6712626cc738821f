"""The attacks that a plan has on each model variant: what the audit asks of them.

This room lays out nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from bench.cells.attack import AttackCell
from bench.cells.cell import Cell


def by_subject(cells: Iterable[Cell]) -> list[list[AttackCell]]:
    """Gather attack cells by model and variant; of several trainings those of the first."""
    subjects: dict[tuple[str, str], list[AttackCell]] = {}
    for cell in cells:
        if type(cell) is AttackCell:
            where = cell.coordinates
            found = subjects.setdefault((where.model, where.variant), [])
            if not found or found[0].coordinates.replica == where.replica:
                found.append(cell)
    return list(subjects.values())
