"""The drift cells: how far an attack, or compression, moves explanations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from bench.cells import explaining
from bench.cells.cell import Cell, Parent, package_of
from bench.cells.subject import Subject
from bench.cells.workbench import Compute, Workbench
from bench.data import ImageSet
from bench.records import JSON, DriftRecord, Kind, Result
from bench.store import Stored
from bench.suite import ExplainerEntry
from bench.tensors import Heatmaps, Images, Labels

SHOWN = 6
"""How many images are kept to look at: those that the attack felled, first."""


@dataclass(frozen=True)
class DriftCell(Cell):
    """Images before and after an attack; of each, the predicted class is explained."""

    kind: ClassVar[Kind] = "drift"

    subject: Subject
    attack: Cell
    entry: ExplainerEntry
    images: ImageSet
    suite_seed: int
    compute: Compute

    @property
    def parents(self) -> Mapping[str, Parent]:
        """The weights and the adversarial images."""
        return {
            **self.subject.parents,
            "adversarial_images": Parent(self.attack, "adversarial_images"),
        }

    @property
    def inputs(self) -> dict[str, JSON]:
        """The explainer and its seed, the images, how numbers are computed."""
        batched = not self.entry.plugin.batch_invariant or self.subject.is_randomised
        return {
            **explaining.identity_of(self.entry),
            "seed": explaining.seed_of(self.entry, self.images, self.suite_seed),
            "images": self.images.named_digest,
            **self.compute.identity(batch_size=batched),
            **self.subject.identity,
        }

    @property
    def facts(self) -> dict[str, JSON]:
        """Those of the attack."""
        return self.attack.facts

    @property
    def modules(self) -> tuple[str, ...]:
        """The cell, its judges, and the packages of the plugins."""
        return (
            *super().modules,
            "bench.cells.explaining",
            "bench.faithfulness",
            "bench.classifier",
            package_of(self.entry.plugin),
            *self.subject.packages,
        )

    @property
    def work(self) -> tuple[str, float]:
        """Two maps an image."""
        return f"model {self.coordinates.model}", 6.0 * len(self.images)

    def run(self, workbench: Workbench, parents: Mapping[str, Stored]) -> Result:
        """Explain both, and compare."""
        import torch

        from bench import faithfulness, referee

        classifier = self.subject.judged(workbench, parents)
        images, labels = self.images.tensors()
        arrays = workbench.store.arrays(parents["adversarial_images"])
        attacked = torch.from_numpy(arrays["adversarial_images"])
        before = workbench.verdict(classifier, self.images).predictions
        after = referee.classify(classifier, attacked).predictions
        clean = self._explain(workbench, parents, images, before)
        moved = self._explain(workbench, parents, attacked, after)
        alike = faithfulness.similarity(clean, moved)
        records = [
            DriftRecord(
                image=name,
                label=int(labels[i]),
                clean_prediction=int(before[i]),
                prediction=int(after[i]),
                heatmap_similarity=_told(float(alike.rank_correlation[i])),
                heatmap_overlap=_told(float(alike.overlap[i])),
            )
            for i, name in enumerate(self.images.names)
        ]
        felled = [i for i in range(len(images)) if before[i] == labels[i] != after[i]]
        rest = [i for i in range(len(images)) if i not in felled]
        shown = (felled + rest)[:SHOWN]
        return Result(
            records=records,
            arrays={
                "shown": torch.tensor(shown).numpy(),
                "images": images[shown].numpy(),
                "adversarial_images": attacked[shown].numpy(),
                "heatmaps": clean[shown].numpy(),
                "adversarial_heatmaps": moved[shown].numpy(),
            },
            summary={"images": len(records)},
        )

    def _explain(
        self, workbench: Workbench, parents: Mapping[str, Stored], images: Images, targets: Labels
    ) -> Heatmaps:
        return explaining.explain(
            self.entry,
            self.subject.attacked(workbench, parents),
            images,
            targets,
            seed=explaining.seed_of(self.entry, self.images, self.suite_seed),
            compute=self.compute,
            notify=workbench.notify,
        )


@dataclass(frozen=True)
class VariantDriftCell(Cell):
    """Images, a variant, and its model's original, whose predicted class is explained on both.

    ``subject`` is the variant.
    """

    kind: ClassVar[Kind] = "drift"

    subject: Subject
    original: Subject
    entry: ExplainerEntry
    images: ImageSet
    suite_seed: int
    compute: Compute

    @property
    def parents(self) -> Mapping[str, Parent]:
        """The weights of both."""
        first = {f"original {role}": parent for role, parent in self.original.parents.items()}
        return {**self.subject.parents, **first}

    @property
    def inputs(self) -> dict[str, JSON]:
        """The explainer and its seed, the images, how numbers are computed."""
        return {
            **explaining.identity_of(self.entry),
            "seed": explaining.seed_of(self.entry, self.images, self.suite_seed),
            "images": self.images.named_digest,
            **self.compute.identity(batch_size=not self.entry.plugin.batch_invariant),
            **self.subject.identity,
        }

    @property
    def facts(self) -> dict[str, JSON]:
        """Nothing besides the coordinates."""
        return {}

    @property
    def modules(self) -> tuple[str, ...]:
        """The cell, its judges, and the packages of the plugins."""
        return (
            *super().modules,
            "bench.cells.explaining",
            "bench.faithfulness",
            "bench.classifier",
            package_of(self.entry.plugin),
            *self.subject.packages,
        )

    @property
    def work(self) -> tuple[str, float]:
        """Two maps an image."""
        return f"model {self.coordinates.model}", 6.0 * len(self.images)

    def run(self, workbench: Workbench, parents: Mapping[str, Stored]) -> Result:
        """Explain the same class on both, and compare."""
        from bench import faithfulness

        first = {role: parents[f"original {role}"] for role in self.original.parents}
        images, labels = self.images.tensors()
        verdicts = [
            workbench.verdict(subject.judged(workbench, given), self.images).predictions
            for subject, given in ((self.original, first), (self.subject, parents))
        ]
        maps = [
            explaining.explain(
                self.entry,
                subject.attacked(workbench, given),
                images,
                verdicts[0],
                seed=explaining.seed_of(self.entry, self.images, self.suite_seed),
                compute=self.compute,
                notify=workbench.notify,
            )
            for subject, given in ((self.original, first), (self.subject, parents))
        ]
        alike = faithfulness.similarity(*maps)
        records = [
            DriftRecord(
                image=name,
                label=int(labels[i]),
                clean_prediction=int(verdicts[0][i]),
                prediction=int(verdicts[1][i]),
                heatmap_similarity=_told(float(alike.rank_correlation[i])),
                heatmap_overlap=_told(float(alike.overlap[i])),
            )
            for i, name in enumerate(self.images.names)
        ]
        return Result(records=records, summary={"images": len(records)})


def _told(value: float) -> float | None:
    """Return a figure; None where one of the maps is the same everywhere."""
    return None if math.isnan(value) else value
