"""Cells that compute nothing: they answer what a test wants, and count how often they are asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from bench.cells.cell import Cell, Parent
from bench.records import JSON, Coordinates, Result


@dataclass(frozen=True)
class SketchedCell(Cell):
    """One cell of a plan that a test lays out; ``does`` is asked in place of any work."""

    kind: ClassVar = "evaluate"

    after: tuple[SketchedCell, ...] = ()
    does: Callable[[], object] = lambda: None
    runs: list[str] = field(default_factory=list)
    saw: list[dict[str, str]] = field(default_factory=list)

    @property
    def inputs(self) -> dict[str, JSON]:
        """Its name."""
        return {"name": str(self.coordinates)}

    @property
    def parents(self) -> Mapping[str, Parent]:
        """Those that come before, by name."""
        return {str(cell.coordinates): Parent(cell, "answer") for cell in self.after}

    @property
    def modules(self) -> tuple[str, ...]:
        """None: its source is this test's."""
        return ()

    def run(self, workbench: Any, parents: Mapping[str, Any]) -> Result:
        """Answer with its own name."""
        self.runs.append(self.label)
        self.saw.append({role: stored.outputs["answer"] for role, stored in parents.items()})
        self.does()
        return Result(outputs={"answer": f"of {self.coordinates}"}, summary={"images": 1})


def sketch(name: str, *after: SketchedCell, does: Callable[[], object] | None = None) -> Any:
    """Lay out one cell."""
    return SketchedCell(Coordinates(name), after, **({} if does is None else {"does": does}))
