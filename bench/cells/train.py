"""The train cell: a recipe, training images and a seed become weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from bench import fingerprint, machine, registry
from bench.api import Hardening
from bench.cells.cell import Cell, Parent, package_of
from bench.cells.workbench import Architecture, Compute, Workbench
from bench.data import ImageSet
from bench.recipes import Recipe
from bench.records import JSON, Kind, Result
from bench.store import Stored
from bench.suite import DefenseEntry

if TYPE_CHECKING:
    from torch import nn

    from bench.training import Harden


@dataclass(frozen=True)
class TrainCell(Cell):
    """A model to train. ``seed`` decides fresh weights, order, augmentation and dropout.

    ``held_out`` is what a recipe with patience stops and selects on; None for any other.
    ``hardening`` attacks the batches as they come; ``start`` brings the weights to begin with,
    where they are not fresh.
    """

    kind: ClassVar[Kind] = "train"

    architecture: Architecture
    recipe: Recipe
    images: ImageSet
    held_out: ImageSet | None
    seed: int
    compute: Compute
    hardening: DefenseEntry | None = None
    start: Cell | None = None

    @property
    def parents(self) -> Mapping[str, Parent]:
        """The weights that training begins with, where they are not fresh."""
        return {} if self.start is None else {"start": Parent(self.start, "classifier")}

    @property
    def inputs(self) -> dict[str, JSON]:
        """Architecture, recipe, data and seed; thread count and device decide the last digits."""
        given = self.architecture.entry.plugin.normalization()
        told: dict[str, JSON] = {
            "architecture": self.architecture.identity,
            "recipe": self.recipe.identity(),
            "data": self.images.digest,
            "seed": self.seed,
            "normalisation": [list(part) for part in given] if given is not None else None,
            **self.compute.identity(threads=True),
        }
        if self.held_out is not None:
            told["held_out"] = self.held_out.digest
        if self.hardening is not None:
            told["hardening"] = self.hardening.identity
        return told

    @property
    def facts(self) -> dict[str, JSON]:
        """The recipe's name, the seed, and how many images."""
        return {
            "weights": "trained",
            "recipe": self.recipe.label,
            "training_seed": self.seed,
            "training_images": len(self.images),
            **({} if self.hardening is None else {"hardening": self.hardening.plugin_name}),
        }

    @property
    def modules(self) -> tuple[str, ...]:
        """The cell, the trainer, and the package of the model's plugin."""
        packages = [package_of(self.architecture.entry.plugin)]
        packages += [] if self.hardening is None else [package_of(self.hardening.plugin)]
        return (*super().modules, "bench.training", "bench.augmentation", *packages)

    @property
    def work(self) -> tuple[str, float]:
        """Three passes for each image and epoch."""
        return f"model {self.coordinates.model}", 3.0 * self.recipe.epochs * len(self.images)

    def run(self, workbench: Workbench, parents: Mapping[str, Stored]) -> Result:
        """Train from fresh weights, or from the last epoch that an interrupted run finished."""
        from bench import training
        from bench.classifier import output_digests, state_arrays

        mean, std = self._normalisation(workbench, parents)
        self.architecture.check_channels(mean, self.architecture.culprit)
        key = self.key(parents)
        # a state that other code left would make weights that neither would
        trainer = fingerprint.fingerprint([registry.source_digest(name) for name in self.modules])

        def progress(told: training.Progress) -> None:
            epoch = told.epoch
            workbench.store.put_partial(key, trainer, told.state())
            workbench.measure(epoch.plain())
            workbench.notify(
                epoch.epoch / self.recipe.epochs,
                f"epoch {epoch.epoch} of {self.recipe.epochs}: loss {epoch.loss:.3f}, "
                f"accuracy {epoch.accuracy:.1%}",
            )

        def trained(state: bytes | None) -> tuple[nn.Module, list[training.Epoch]]:
            network = workbench.place(self._network(workbench, parents))
            history = training.train(
                network,
                *self.images.tensors(),
                self.recipe,
                mean=mean,
                std=std,
                seed=self.seed,
                held_out=None if self.held_out is None else self.held_out.tensors(),
                harden=self._harden,
                state=state,
                progress=progress,
            )
            return network, history

        known = workbench.store.partial(key, trainer)
        with machine.peak_memory(self.compute.device) as memory, machine.busy_elsewhere() as load:
            try:
                network, history = trained(known)
            except training.StateError:
                workbench.notify(0, "the kept state is of another version; from the start")
                known = None
                network, history = trained(None)
        arrays = state_arrays(network)
        return Result(
            arrays=arrays,
            header={"mean": json.dumps(mean), "std": json.dumps(std)},
            outputs=output_digests(self.architecture.identity, arrays, mean, std),
            summary={
                "training_seconds": sum(epoch.seconds for epoch in history),
                "peak_memory_bytes": memory.rise_bytes,
                "busy_elsewhere": load.share,
                "resumed": known is not None,
                "epochs": [epoch.plain() for epoch in history],
                "kept_epoch": training.kept(history, self.recipe),
            },
        )

    def _normalisation(
        self, workbench: Workbench, parents: Mapping[str, Stored]
    ) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and std: the start's, the suite's, or those of the training images."""
        from bench.classifier import header_normalisation

        if self.start is not None:
            known = header_normalisation(workbench.store.header(parents["start"]))
            if known is not None:
                return known
        given = self.architecture.entry.plugin.normalization()
        return channel_statistics(self.images) if given is None else given

    def _network(self, workbench: Workbench, parents: Mapping[str, Stored]) -> nn.Module:
        """Build the network, with fresh weights or those of the start."""
        if self.start is None:
            return self.architecture.build(self.seed)
        arrays = workbench.store.arrays(parents["start"])
        return self.architecture.load(arrays, parents["start"].label)

    @property
    def _harden(self) -> Harden | None:
        plugin = None if self.hardening is None else self.hardening.plugin
        return plugin.harden if isinstance(plugin, Hardening) else None


def channel_statistics(images: ImageSet) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and std of each channel over all pixels, in [0, 1]; a constant channel has 1.

    Exact: from a histogram of the 256 values, in float64.
    """
    values = np.arange(256) / 255
    means, stds = [], []
    for channel in range(images.pixels.shape[3]):
        histogram = np.bincount(images.pixels[..., channel].ravel(), minlength=256)
        share = histogram / histogram.sum()
        mean = float((share * values).sum())
        variance = float((share * (values - mean) ** 2).sum())
        means.append(mean)
        stds.append(variance**0.5 or 1.0)
    return tuple(means), tuple(stds)
