"""The evaluate cell: a classifier on unattacked images; the interim cell: the same, earlier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from bench.cells.cell import Cell, Parent
from bench.cells.subject import Subject
from bench.cells.workbench import Compute, Workbench
from bench.data import ImageSet
from bench.records import JSON, EvaluateRecord, Kind, Result
from bench.store import Stored

CONFUSIONS = 8
"""How many of the most frequent confusions are shown."""

EXAMPLES = 4
"""How many images of each."""


@dataclass(frozen=True)
class EvaluateCell(Cell):
    """A model to judge on all images of some splits."""

    kind: ClassVar[Kind] = "evaluate"
    revision: ClassVar[int] = 2  # holds the most frequent confusions' images

    subject: Subject
    images: ImageSet
    split: str
    compute: Compute

    @property
    def parents(self) -> Mapping[str, Parent]:
        """The weights."""
        return self.subject.parents

    @property
    def inputs(self) -> dict[str, JSON]:
        """The images and how numbers are computed."""
        return {
            "images": self.images.named_digest,
            **self.compute.identity(),
            **self.subject.identity,
        }

    @property
    def facts(self) -> dict[str, JSON]:
        """What the images are part of."""
        return {"split": self.split, **self.subject.facts}

    @property
    def modules(self) -> tuple[str, ...]:
        """The cell, the referee, and the package of the model's plugin."""
        return (*super().modules, "bench.referee", "bench.classifier", *self.subject.packages)

    @property
    def work(self) -> tuple[str, float]:
        """One pass for each image."""
        return f"model {self.coordinates.model}", float(len(self.images))

    def run(self, workbench: Workbench, parents: Mapping[str, Stored]) -> Result:
        """Classify every image."""
        from bench.classifier import layout
        from bench.referee import attacks as referee

        classifier = self.subject.judged(workbench, parents)
        _, labels = self.images.tensors()
        verdict = workbench.verdict(classifier, self.images)
        records = referee.evaluate(verdict, labels, self.images.names)
        examples = _examples(records)
        return Result(
            records=records,
            arrays={"examples": self.images.pixels[examples]} if examples else {},
            summary={
                "images": len(records),
                "examples": [self.images.names[position] for position in examples],
                "memory_format": layout.of(classifier),
            },
        )


@dataclass(frozen=True)
class InterimCell(EvaluateCell):
    """A reduced variant to judge as its last training found it."""

    kind: ClassVar[Kind] = "interim"


def _examples(records: Sequence[EvaluateRecord]) -> list[int]:
    """Return which images show the most frequent confusions: of each, the most confident."""
    wrong: dict[tuple[int, int], list[int]] = {}
    for position, record in enumerate(records):
        if record.prediction != record.label:
            wrong.setdefault((record.label, record.prediction), []).append(position)
    frequent = sorted(wrong.items(), key=lambda pair: (-len(pair[1]), pair[0]))[:CONFUSIONS]
    return [
        position
        for _, positions in frequent
        for position in sorted(positions, key=lambda p: -records[p].confidence)[:EXAMPLES]
    ]
