"""The detect cell: what a detector makes of the images of an attack, and of those before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from bench import metrics, seeds
from bench.api import Detector
from bench.cells.cell import Cell, Parent, package_of
from bench.cells.subject import Subject
from bench.cells.workbench import Compute, Workbench
from bench.data import ImageSet
from bench.errors import PluginError
from bench.records import JSON, DetectRecord, Kind, Result
from bench.store import Stored
from bench.suite import StepEntry
from bench.tensors import Images, PerImage


@dataclass(frozen=True)
class DetectCell(Cell):
    """A detector, and an attack that does not know of it."""

    kind: ClassVar[Kind] = "detect"

    subject: Subject
    attack: Cell
    detector: StepEntry
    images: ImageSet
    suite_seed: int
    compute: Compute

    @property
    def parents(self) -> Mapping[str, Parent]:
        """The weights, the adversarial images and the verdict on them."""
        return {
            **self.subject.parents,
            "adversarial_images": Parent(self.attack, "adversarial_images"),
            "records": Parent(self.attack, "records"),
        }

    @property
    def seed(self) -> int:
        """What a detector that draws numbers draws by."""
        return seeds.derive(self.suite_seed, "detect", self.detector.identity)

    @property
    def inputs(self) -> dict[str, JSON]:
        """The detector and its seed, the images and how numbers are computed."""
        return {
            "detector": self.detector.identity,
            "seed": self.seed,
            "images": self.images.named_digest,
            **self.compute.identity(batch_size=True),
            **self.subject.identity,
        }

    @property
    def facts(self) -> dict[str, JSON]:
        """Those of the attack, and the detector."""
        return {**self.attack.facts, "detector": self.detector.plugin_name}

    @property
    def modules(self) -> tuple[str, ...]:
        """The cell, and the packages of the plugins."""
        return (
            *super().modules,
            "bench.classifier",
            package_of(self.detector.plugin),
            *self.subject.packages,
        )

    @property
    def work(self) -> tuple[str, float]:
        """A few passes for each image, before and after."""
        return f"model {self.coordinates.model}", 8.0 * len(self.images)

    def run(self, workbench: Workbench, parents: Mapping[str, Stored]) -> Result:
        """Score images before and after the attack."""
        import torch

        images, _ = self.images.tensors()
        arrays = workbench.store.arrays(parents["adversarial_images"])
        attacked = torch.from_numpy(arrays["adversarial_images"])
        before = self._scores(workbench, parents, images)
        after = self._scores(workbench, parents, attacked)
        verdict = workbench.store.records(parents["records"])
        records = [
            DetectRecord(
                image=str(row["image"]),
                label=int(row["label"]),
                success=row["success"],
                clean_score=float(before[i]),
                adversarial_score=float(after[i]),
                linf=row["linf"],
                l2=row["l2"],
                l1=row["l1"],
                l0=row["l0"],
                violation=row["violation"],
            )
            for i, row in enumerate(metrics.plain(metrics.judged(verdict)))
        ]
        return Result(records=records, summary={"images": len(records)})

    def _scores(
        self, workbench: Workbench, parents: Mapping[str, Stored], images: Images
    ) -> PerImage:
        """Score batch by batch on a classifier that the detector may ruin; check the form."""
        import torch

        plugin = self.detector.plugin
        culprit = f"defense '{self.detector.name}' (plugin {self.detector.plugin_name})"
        if not isinstance(plugin, Detector):
            raise TypeError(f"{self.detector.name} is no detector")
        classifier = self.subject.copied(workbench, parents)
        parts = []
        with seeds.forked(self.seed), classifier.guarded(culprit), torch.no_grad():
            for batch in images.split(self.compute.batch_size):  # type: ignore[no-untyped-call]
                scores = plugin.score(classifier, batch.to(self.compute.device))
                if not isinstance(scores, torch.Tensor) or scores.shape != (len(batch),):
                    raise PluginError.of(culprit, "returned no score of each image", "a tensor", "")
                parts.append(scores.double().cpu())
        return torch.cat(parts)
