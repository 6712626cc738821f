"""An explainer at work: by what it draws, and batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from bench import registry, seeds
from bench.cells.workbench import Compute
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
