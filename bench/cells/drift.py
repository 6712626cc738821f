"""The drift cells: how far an attack, or compression, moves explanations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from bench import metrics
from bench.cells.cell import Cell, Parent
from bench.cells.explainer import ExplainerCell
from bench.cells.subject import Subject
from bench.cells.workbench import Workbench
from bench.records import JSON, DriftRecord, Kind, Result
from bench.store import Stored
from bench.tensors import Heatmaps, Images, Labels

if TYPE_CHECKING:
    from bench.referee.heatmaps import Similarity

SHOWN = 6
"""How many images are kept to look at: those that the attack fooled, first."""


@dataclass(frozen=True)
class _Shown:
    """Images, and the classifier that they are shown to."""

    subject: Subject
    parents: Mapping[str, Stored]
    images: Images


@dataclass(frozen=True)
class _Drift(ExplainerCell):
    """Explanations of the same images, twice."""

    kind: ClassVar[Kind] = "drift"

    @property
    def work(self) -> tuple[str, float]:
        """Two maps an image."""
        return f"model {self.coordinates.model}", 6.0 * len(self.images)

    def _heatmaps(self, workbench: Workbench, shown: _Shown, targets: Labels) -> Heatmaps:
        """Explain classes of images on the classifier that they are shown to."""
        classifier = shown.subject.attacked(workbench, shown.parents)
        return self.explain(workbench, classifier, shown.images, targets)

    def _records(
        self,
        labels: Labels,
        before: Labels,
        after: Labels,
        alike: Similarity,
        broken: Sequence[str | None] | None = None,
    ) -> list[DriftRecord]:
        """Say of each image what was predicted, and how far its map has moved."""
        return [
            DriftRecord(
                image=name,
                label=int(labels[i]),
                clean_prediction=int(before[i]),
                prediction=int(after[i]) if why is None else None,
                heatmap_similarity=_kept(float(alike.rank_correlation[i])) if why is None else None,
                heatmap_overlap=_kept(float(alike.overlap[i])) if why is None else None,
                violation=why,
            )
            for i, (name, why) in enumerate(
                zip(self.images.names, broken or [None] * len(labels), strict=True)
            )
        ]


@dataclass(frozen=True)
class DriftCell(_Drift):
    """Images before and after an attack; of each, the predicted class is explained.

    What has no verdict has no figures: an image out of its budget is not what the attack is named.
    """

    revision: ClassVar[int] = 2  # images without a verdict have no figures, and say why

    attack: Cell

    @property
    def parents(self) -> Mapping[str, Parent]:
        """The weights, the adversarial images and the verdict on them."""
        return {
            **self.subject.parents,
            "adversarial_images": Parent(self.attack, "adversarial_images"),
            "records": Parent(self.attack, "records"),
        }

    @property
    def facts(self) -> dict[str, JSON]:
        """Those of the attack."""
        return self.attack.facts

    def run(self, workbench: Workbench, parents: Mapping[str, Stored]) -> Result:
        """Explain both, and compare."""
        import torch

        from bench.referee import attacks as referee
        from bench.referee import heatmaps as faithfulness

        classifier = self.subject.judged(workbench, parents)
        images, labels = self.images.tensors()
        arrays = workbench.store.arrays(parents["adversarial_images"])
        known = workbench.store.records(parents["records"])
        broken = [row["violation"] for row in metrics.plain(known)]
        valid = torch.tensor([violation is None for violation in broken])
        # what has no verdict is explained as it was: an explainer is given no images out of range
        attacked = torch.where(
            valid[:, None, None, None], torch.from_numpy(arrays["adversarial_images"]), images
        )
        before = workbench.verdict(classifier, self.images).predictions
        after = referee.classify(classifier, attacked).predictions
        clean = self._heatmaps(workbench, _Shown(self.subject, parents, images), before)
        moved = self._heatmaps(workbench, _Shown(self.subject, parents, attacked), after)
        alike = faithfulness.similarity(clean, moved)
        records = self._records(labels, before, after, alike, broken)
        fooled = [i for i in range(len(images)) if before[i] == labels[i] != after[i]]
        rest = [i for i in range(len(images)) if i not in fooled]
        shown = (fooled + rest)[:SHOWN]
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


@dataclass(frozen=True)
class VariantDriftCell(_Drift):
    """Images, a variant, and its model's original, whose predicted class is explained on both.

    ``subject`` is the variant.
    """

    original: Subject

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """Both."""
        return self.original, self.subject

    @property
    def parents(self) -> Mapping[str, Parent]:
        """The weights of both."""
        first = {f"original {role}": parent for role, parent in self.original.parents.items()}
        return {**self.subject.parents, **first}

    @property
    def facts(self) -> dict[str, JSON]:
        """Nothing besides the coordinates."""
        return {}

    def run(self, workbench: Workbench, parents: Mapping[str, Stored]) -> Result:
        """Explain the same class on both, and compare."""
        from bench.referee import heatmaps as faithfulness

        first = {role: parents[f"original {role}"] for role in self.original.parents}
        images, labels = self.images.tensors()
        both = _Shown(self.original, first, images), _Shown(self.subject, parents, images)
        before, after = (
            workbench.verdict(
                shown.subject.judged(workbench, shown.parents), self.images
            ).predictions
            for shown in both
        )
        alike = faithfulness.similarity(
            *(self._heatmaps(workbench, shown, before) for shown in both)
        )
        records = self._records(labels, before, after, alike)
        return Result(records=records, summary={"images": len(records)})


def _kept(value: float) -> float | None:
    """Return a figure; None where one of the maps is the same everywhere."""
    return None if math.isnan(value) else value
