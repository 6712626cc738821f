"""The gallery cell: heatmaps to look at. It measures nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from bench.cells.explainer import ExplainerCell
from bench.cells.workbench import Workbench
from bench.data import ImageSet
from bench.records import JSON, Kind, Result
from bench.store import Stored
from bench.suite.sections import Gallery

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.tensors import Labels


@dataclass(frozen=True)
class GalleryCell(ExplainerCell):
    """Images to show, with the heatmaps of the classes that the model predicts.

    They are picked from ``images``, all that the model is evaluated on: some of each class that it
    has right and some that it has wrong.
    """

    kind: ClassVar[Kind] = "gallery"

    gallery: Gallery

    @property
    def inputs(self) -> dict[str, JSON]:
        """Those of the explainer, and how many images of each class are shown."""
        return {**super().inputs, "gallery": self.gallery.model_dump(mode="json")}

    @property
    def work(self) -> tuple[str, float]:
        """One pass an image."""
        return f"model {self.coordinates.model}", float(len(self.images))

    def run(self, workbench: Workbench, parents: Mapping[str, Stored]) -> Result:
        """Pick by the model's predictions, and explain these; a gallery may be empty."""
        from bench.referee import attacks as referee

        verdict = workbench.verdict(self.subject.judged(workbench, parents), self.images)
        picked = self._picked(verdict.predictions)
        if not len(picked):
            return Result(summary={"images": 0, "seconds": 0.0})
        shown = ImageSet(self.images.data, self.images.positions[picked])
        seen = referee.Verdict(verdict.predictions[picked], verdict.probabilities[picked])
        images, labels = shown.tensors()
        records = referee.evaluate(seen, labels, shown.names)
        started = time.perf_counter()
        explained = self.subject.attacked(workbench, parents)
        heatmaps = self.explain(workbench, explained, images, seen.predictions)
        return Result(
            records=records,
            arrays={"heatmaps": heatmaps.numpy(), "images": shown.pixels},
            summary={"images": len(records), "seconds": time.perf_counter() - started},
        )

    def _picked(self, predictions: Labels) -> NDArray[np.int64]:
        """Return the places of the gallery's images, drawn by the suite's seed."""
        order = self.images.order(self.suite_seed)
        labels = self.images.labels[order]
        right = predictions.numpy()[order] == labels
        picked: list[int] = []
        for wanted, count in ((right, self.gallery.right), (~right, self.gallery.wrong)):
            for label in np.unique(labels):
                picked += order[(labels == label) & wanted][:count].tolist()
        return np.array(picked, dtype=np.int64)
