"""The explain cell: an explainer makes heatmaps, and the core measures what they are worth."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from bench.cells import explainer
from bench.cells.cell import Cell, Parent, package_of
from bench.cells.subject import Subject
from bench.cells.workbench import Compute, Workbench
from bench.data import ImageSet
from bench.records import JSON, ExplainRecord, Kind, Result
from bench.store import Stored
from bench.suite import ExplainerEntry
from bench.suite.sections import Gallery
from bench.tensors import Heatmaps, Images, Labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.classifier.classifier import Classifier
    from bench.referee.attacks import Verdict


_UNMEASURED: dict[str, None] = dict.fromkeys(
    (
        *("empty_heatmap", "deletion_auc", "insertion_auc", "faithfulness"),
        *("faithfulness_of_chance", "faithfulness_gain", "randomisation_similarity"),
    )
)


@dataclass(frozen=True)
class ExplainCell(Cell):
    """A model to explain: its predictions on a sample of images, measured, and some to look at.

    ``images`` is the sample. The gallery is picked from all ``evaluated`` images, some of each
    class that the model has right and some that it has wrong; what is not in the sample too is
    shown and not measured.
    """

    kind: ClassVar[Kind] = "explain"
    revision: ClassVar[int] = 2  # records say which images the gallery shows

    subject: Subject
    entry: ExplainerEntry
    images: ImageSet
    evaluated: ImageSet
    gallery: Gallery
    suite_seed: int
    compute: Compute

    @property
    def seed(self) -> int:
        """The same for every model, so that all face the same random draws."""
        return explainer.seed_of(self.entry, self.images, self.suite_seed)

    @property
    def parents(self) -> Mapping[str, Parent]:
        """The weights."""
        return self.subject.parents

    @property
    def inputs(self) -> dict[str, JSON]:
        """The explainer, its parameters and seed, the images, how numbers are computed."""
        plugin = self.entry.plugin
        return {
            **explainer.identity_of(self.entry),
            "seed": self.seed,
            "images": self.images.named_digest,
            "evaluated": self.evaluated.named_digest,
            "gallery": self.gallery.model_dump(mode="json"),
            # what stands for a randomised shield draws anew for each batch
            **self.compute.identity(
                batch_size=not plugin.batch_invariant or self.subject.is_randomised
            ),
            **self.subject.identity,
        }

    @property
    def facts(self) -> dict[str, JSON]:
        """The explainer's plugin and parameters."""
        return {**self.entry.plugin.parameters(), "plugin": self.entry.plugin_name}

    @property
    def modules(self) -> tuple[str, ...]:
        """The cell, its judges, and the packages of the explainer's and the model's plugins."""
        return (
            *super().modules,
            "bench.cells.explainer",
            "bench.referee",
            "bench.classifier",
            package_of(self.entry.plugin),
            *self.subject.packages,
        )

    @property
    def work(self) -> tuple[str, float]:
        """Two maps an image, and the passes that measure them."""
        return f"model {self.coordinates.model}", 100.0 * len(self.images)

    def run(self, workbench: Workbench, parents: Mapping[str, Stored]) -> Result:
        """Explain the predicted classes, then measure the heatmaps on a classifier of its own."""
        from bench.referee import attacks as referee

        classifier = self.subject.judged(workbench, parents)
        shown = self._gallery(workbench.verdict(classifier, self.evaluated))
        more = shown[~np.isin(shown, self.images.positions)]
        looked_at = ImageSet(self.images.data, np.concatenate([self.images.positions, more]))
        images, labels = looked_at.tensors()
        verdict = referee.classify(classifier, images)
        referee.check_finite(verdict)
        started = time.perf_counter()
        explained = self.subject.attacked(workbench, parents)
        heatmaps = self._explain(workbench, explained, images, verdict.predictions)
        seconds = time.perf_counter() - started
        figures = self._measured(
            workbench, parents, images, heatmaps, verdict.predictions, len(self.images)
        )
        confidence = verdict.confidence()
        records = [
            ExplainRecord(
                image=name,
                label=int(labels[i]),
                prediction=int(verdict.predictions[i]),
                confidence=float(confidence[i]),
                measured=i < len(self.images),
                shown=bool(looked_at.positions[i] in shown),
                **(figures[i] if i < len(self.images) else _UNMEASURED),
            )
            for i, name in enumerate(looked_at.names)
        ]
        return Result(
            records=records,
            arrays={"heatmaps": heatmaps.numpy(), "images": looked_at.pixels},
            summary={"images": len(self.images), "seconds": seconds},
        )

    def _measured(
        self,
        workbench: Workbench,
        parents: Mapping[str, Stored],
        images: Images,
        heatmaps: Heatmaps,
        targets: Labels,
        count: int,
    ) -> list[dict[str, Any]]:
        """Measure the first ``count`` heatmaps; returns the figures of each image."""
        import torch

        from bench.referee import heatmaps as faithfulness

        images, heatmaps, targets = images[:count], heatmaps[:count], targets[:count]
        classifier = self.subject.judged(workbench, parents)
        generator = torch.Generator().manual_seed(self.seed)
        made = faithfulness.deletion_insertion(
            classifier, images, heatmaps, targets, generator=generator
        )
        chance = faithfulness.random_order(classifier, images, targets, generator=generator)
        fresh = self.subject.randomised(workbench, parents, self.seed)
        random = self._explain(workbench, fresh, images, targets)
        alike = faithfulness.similarity(heatmaps, random).rank_correlation
        empty = faithfulness.is_empty(heatmaps)
        of_map, of_chance = (f.insertion_auc - f.deletion_auc for f in (made, chance))
        return [
            {
                "empty_heatmap": bool(empty[i]),
                "deletion_auc": float(made.deletion_auc[i]),
                "insertion_auc": float(made.insertion_auc[i]),
                "faithfulness": float(of_map[i]),
                "faithfulness_of_chance": float(of_chance[i]),
                "faithfulness_gain": float(of_map[i] - of_chance[i]),
                "randomisation_similarity": float(alike[i]) if alike[i].isfinite() else None,
            }
            for i in range(count)
        ]

    def _gallery(self, verdict: Verdict) -> NDArray[np.int64]:
        """Return the positions of the gallery's images, drawn by the suite's seed."""
        order = self.evaluated.order(self.suite_seed)
        labels = self.evaluated.labels[order]
        right = verdict.predictions.numpy()[order] == labels
        picked: list[int] = []
        for wanted, count in ((right, self.gallery.right), (~right, self.gallery.wrong)):
            for label in np.unique(labels):
                picked += order[(labels == label) & wanted][:count].tolist()
        return self.evaluated.positions[picked]

    def _explain(
        self, workbench: Workbench, classifier: Classifier, images: Images, targets: Labels
    ) -> Heatmaps:
        return explainer.explain(
            self.entry,
            classifier,
            images,
            targets,
            seed=self.seed,
            compute=self.compute,
            notify=workbench.notify,
        )
