"""The transfer cell: adversarial images made on one model, judged on another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from bench import fingerprint, metrics
from bench.cells.cell import Cell, Parent
from bench.cells.subject import Subject
from bench.cells.workbench import Compute, Workbench
from bench.data import ImageSet
from bench.errors import StoreError
from bench.records import JSON, NORMS, SHIELD_FACTS, Kind, Result
from bench.store import Stored


@dataclass(frozen=True)
class TransferCell(Cell):
    """Stored adversarial images, and a model that they were not made on.

    ``attack`` is the attack cell on the source model; ``weights`` are the target model's.
    """

    kind: ClassVar[Kind] = "transfer"
    revision: ClassVar[int] = 2  # records hold the norms

    subject: Subject
    attack: Cell
    images: ImageSet
    target: int | None
    compute: Compute

    @property
    def parents(self) -> Mapping[str, Parent]:
        """The adversarial images, the verdict on their source, and the target model's weights."""
        return {
            "adversarial_images": Parent(self.attack, "adversarial_images"),
            "source": Parent(self.attack, "records"),
            **self.subject.parents,
        }

    @property
    def inputs(self) -> dict[str, JSON]:
        """The images, the target class, and how numbers are computed."""
        return {
            "images": self.images.named_digest,
            "target": self.target,
            **self.compute.identity(),
            **self.subject.identity,
        }

    @property
    def facts(self) -> dict[str, JSON]:
        """Those of the attack, and what shields the target."""
        kept = {k: fact for k, fact in self.attack.facts.items() if k not in SHIELD_FACTS}
        return {**kept, **self.subject.facts}

    @property
    def modules(self) -> tuple[str, ...]:
        """The cell, the referee, and the package of the model's plugin."""
        return (
            *super().modules,
            "bench.referee",
            "bench.classifier",
            "bench.metrics",
            *self.subject.packages,
        )

    @property
    def work(self) -> tuple[str, float]:
        """Two passes for each image."""
        return f"model {self.coordinates.model}", 2.0 * len(self.images)

    def run(self, workbench: Workbench, parents: Mapping[str, Stored]) -> Result:
        """Judge the stored images; they are used as they are, in full precision."""
        import torch

        from bench.referee import attacks as referee

        classifier = self.subject.judged(workbench, parents)
        _, labels = self.images.tensors()
        attack = parents["adversarial_images"]
        made = workbench.store.arrays(attack)["adversarial_images"]
        digest = fingerprint.of_arrays({"adversarial_images": made})
        if digest != attack.outputs["adversarial_images"]:
            raise StoreError.of(attack.label, "holds other images than were made", "its own digest")
        stacked = torch.from_numpy(made)
        before = workbench.store.records(attack)
        source = [
            referee.Origin(
                success=row["success"],
                violation=row["violation"],
                sizes={norm: row[norm] for norm in NORMS},
            )
            for i, row in enumerate(metrics.plain(metrics.judged(before)))
        ]
        records = referee.judge_transfer(
            classifier,
            workbench.verdict(classifier, self.images),
            stacked,
            source,
            labels,
            self.images.names,
            target=self.target,
        )
        return Result(
            records=records,
            summary={"images": len(records), "budget": attack.summary.get("budget")},
        )
