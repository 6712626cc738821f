"""The explain cell: an explainer makes heatmaps, and the core measures what they are worth."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from bench.cells.explainer import ExplainerCell
from bench.cells.workbench import Workbench
from bench.records import ExplainRecord, Kind, Result
from bench.store import Stored
from bench.tensors import Heatmaps, Images, Labels


@dataclass(frozen=True)
class ExplainCell(ExplainerCell):
    """A model to explain: its predictions on a sample of images, measured.

    What is shown of a model is a cell of its own: another gallery leaves figures as they are.
    """

    kind: ClassVar[Kind] = "explain"
    revision: ClassVar[int] = 3  # records are of measured images alone

    @property
    def work(self) -> tuple[str, float]:
        """Two maps an image, and the passes that measure them."""
        return f"model {self.coordinates.model}", 100.0 * len(self.images)

    def run(self, workbench: Workbench, parents: Mapping[str, Stored]) -> Result:
        """Explain the predicted classes, then measure the heatmaps on a classifier of its own."""
        from bench.referee import attacks as referee

        classifier = self.subject.judged(workbench, parents)
        images, labels = self.images.tensors()
        verdict = referee.classify(classifier, images)
        referee.check_finite(verdict)
        started = time.perf_counter()
        explained = self.subject.attacked(workbench, parents)
        heatmaps = self.explain(workbench, explained, images, verdict.predictions)
        seconds = time.perf_counter() - started
        figures = self._measured(workbench, parents, images, heatmaps, verdict.predictions)
        confidence = verdict.confidence()
        records = [
            ExplainRecord(
                image=name,
                label=int(labels[i]),
                prediction=int(verdict.predictions[i]),
                confidence=float(confidence[i]),
                **figures[i],
            )
            for i, name in enumerate(self.images.names)
        ]
        return Result(
            records=records,
            arrays={"heatmaps": heatmaps.numpy(), "images": self.images.pixels},
            summary={"images": len(records), "seconds": seconds},
        )

    def _measured(
        self,
        workbench: Workbench,
        parents: Mapping[str, Stored],
        images: Images,
        heatmaps: Heatmaps,
        targets: Labels,
    ) -> list[dict[str, Any]]:
        """Measure heatmaps; returns the figures of each image."""
        import torch

        from bench.referee import heatmaps as faithfulness

        classifier = self.subject.judged(workbench, parents)
        generator = torch.Generator().manual_seed(self.seed)
        made = faithfulness.deletion_insertion(
            classifier, images, heatmaps, targets, generator=generator
        )
        chance = faithfulness.random_order(classifier, images, targets, generator=generator)
        fresh = self.subject.randomised(workbench, parents, self.seed)
        random = self.explain(workbench, fresh, images, targets)
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
            for i in range(len(images))
        ]
