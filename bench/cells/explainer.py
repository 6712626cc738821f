"""An explainer at work: by what it draws, batch by batch, and what its cells have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import registry, seeds
from bench.cells.cell import Cell, Parent, package_of
from bench.cells.subject import Subject
from bench.cells.workbench import Compute, Workbench
from bench.data import ImageSet
from bench.records import JSON
from bench.suite import ExplainerEntry
from bench.tensors import Heatmaps, Images, Labels

if TYPE_CHECKING:
    from bench.classifier.classifier import Classifier


def seed_of(entry: ExplainerEntry, images: ImageSet, suite_seed: int) -> int:
    """Return the same for every model, so that all face the same random draws."""
    plugin = registry.identity("explainers", entry.plugin_name, entry.plugin)["plugin"]
    parameters = entry.plugin.parameters()
    return seeds.derive(suite_seed, "explain", plugin, parameters, images.digest)


def identity_of(entry: ExplainerEntry) -> dict[str, JSON]:
    """Return the part of an identity that names an explainer."""
    identity = registry.identity("explainers", entry.plugin_name, entry.plugin)
    return {**identity, "parameters": entry.plugin.parameters()}


def culprit(entry: ExplainerEntry) -> str:
    """Return how errors name an explainer."""
    return f"explainer '{entry.name}' (plugin {entry.plugin_name})"


def explain(
    entry: ExplainerEntry,
    classifier: Classifier,
    images: Images,
    targets: Labels,
    *,
    seed: int,
    compute: Compute,
    notify: Callable[[float, str], None],
) -> Heatmaps:
    """Explain batch by batch; check what comes back."""
    import torch

    from bench.referee import heatmaps as faithfulness

    device, size = compute.device, compute.batch_size
    generator = torch.Generator().manual_seed(seed)
    heatmaps: list[torch.Tensor] = []
    with seeds.forked(seed), classifier.guarded(culprit(entry)):
        for start in range(0, len(images), size):
            batch = images[start : start + size]
            made = entry.plugin.explain(
                classifier,
                batch.to(device, copy=True),
                targets[start : start + size].to(device, copy=True),
                generator=generator,
            )
            heatmaps.append(faithfulness.check_form(made, batch, culprit(entry)))
            notify(min(1.0, (start + size) / len(images)), "")
    return torch.cat(heatmaps)


@dataclass(frozen=True)
class ExplainerCell(Cell):
    """An explainer on images, and the model that it explains."""

    subject: Subject
    entry: ExplainerEntry
    images: ImageSet
    suite_seed: int
    compute: Compute

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """All that are explained."""
        return (self.subject,)

    @property
    def seed(self) -> int:
        """The same for every model, so that all face the same random draws."""
        return seed_of(self.entry, self.images, self.suite_seed)

    @property
    def parents(self) -> Mapping[str, Parent]:
        """The weights."""
        return self.subject.parents

    @property
    def inputs(self) -> dict[str, JSON]:
        """The explainer, its parameters and seed, the images, how numbers are computed."""
        # what stands for a randomised shield draws anew for each batch
        randomised = any(subject.is_randomised for subject in self.subjects)
        return {
            **identity_of(self.entry),
            "seed": self.seed,
            "images": self.images.named_digest,
            **self.compute.identity(batch_size=not self.entry.plugin.batch_invariant or randomised),
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

    def explain(
        self, workbench: Workbench, classifier: Classifier, images: Images, targets: Labels
    ) -> Heatmaps:
        """Explain classes of images."""
        return explain(
            self.entry,
            classifier,
            images,
            targets,
            seed=self.seed,
            compute=self.compute,
            notify=workbench.notify,
        )
