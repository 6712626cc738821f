"""The evaluate cell: a classifier on unattacked images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from bench.cells.cell import Cell, Parent, package_of
from bench.cells.workbench import Architecture, Compute, Workbench
from bench.data import ImageSet
from bench.records import JSON, Kind, Result
from bench.store import Stored


@dataclass(frozen=True)
class EvaluateCell(Cell):
    """A model to judge on all images of some splits."""

    kind: ClassVar[Kind] = "evaluate"

    architecture: Architecture
    weights: Cell
    images: ImageSet
    splits: tuple[str, ...]
    compute: Compute

    @property
    def parents(self) -> Mapping[str, Parent]:
        """The weights."""
        return {"classifier": Parent(self.weights, "classifier")}

    @property
    def inputs(self) -> dict[str, JSON]:
        """The images and how numbers are computed."""
        return {"images": self.images.named_digest, **self.compute.identity()}

    @property
    def facts(self) -> dict[str, JSON]:
        """The splits."""
        return {"split": "+".join(self.splits)}

    @property
    def modules(self) -> tuple[str, ...]:
        """The cell, the referee, and the package of the model's plugin."""
        plugin = package_of(self.architecture.entry.plugin)
        return (*super().modules, "bench.referee", "bench.classifier", plugin)

    @property
    def work(self) -> tuple[str, float]:
        """One pass for each image."""
        return f"model {self.coordinates.model}", float(len(self.images))

    def run(self, workbench: Workbench, parents: Mapping[str, Stored]) -> Result:
        """Classify every image."""
        from bench import referee

        classifier = workbench.classifier(self.architecture, parents["classifier"])
        _, labels = self.images.tensors()
        verdict = workbench.verdict(classifier, self.images)
        records = referee.evaluate(verdict, labels, self.images.names)
        return Result(records=records, summary={"images": len(records)})
