"""The train cell: a recipe, training images and a seed become weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from bench import fingerprint, machine, registry
from bench.api import Tuning
from bench.api.recipes import Recipe
from bench.cells.cell import Cell, Parent, package_of
from bench.cells.workbench import Architecture, Compute, Workbench
from bench.classifier.reductions import AppliedReductions
from bench.data import ImageSet
from bench.errors import BenchError, PluginError, explained
from bench.records import JSON, Kind, Result
from bench.store import Stored
from bench.suite import StepEntry

if TYPE_CHECKING:
    from torch import nn

    from bench.tensors import Images
    from bench.training.loop import TrainingHooks
    from bench.training.schedule import Epoch, Progress


_TRIED = 4
"""Images that a network whose training failed is asked by itself."""


@dataclass(frozen=True)
class TrainCell(Cell):
    """A model to train. ``seed`` decides fresh weights, order, augmentation and dropout.

    ``held_out`` is what a recipe with patience stops and selects on; None for any other.
    ``step`` is the step of a variant that the training is, if it is one; ``start`` brings the
    weights to begin with, where they are not fresh, and ``teacher`` those of the original, where
    the step uses a teacher. With ``holds_zeros``, weights of Conv and Linear layers that are zero
    at the start stay so.
    """

    kind: ClassVar[Kind] = "train"
    revision: ClassVar[int] = 3  # its memory is counted

    architecture: Architecture
    recipe: Recipe
    images: ImageSet
    held_out: ImageSet | None
    seed: int
    compute: Compute
    step: StepEntry | None = None
    start: Cell | None = None
    teacher: Cell | None = None
    holds_zeros: bool = False

    @property
    def label(self) -> str:
        """The coordinates and the step: a variant may be trained several times."""
        return super().label if self.step is None else f"{super().label}@{self.step.label}"

    @property
    def parents(self) -> Mapping[str, Parent]:
        """The weights that training begins with, where they are not fresh, and the teacher's."""
        roles = {"start": self.start, "teacher": self.teacher}
        return {
            role: Parent(cell, "classifier") for role, cell in roles.items() if cell is not None
        }

    @property
    def inputs(self) -> dict[str, JSON]:
        """Architecture, recipe, data and seed; thread count and device decide the last digits."""
        given = self.architecture.entry.plugin.normalization()
        inputs: dict[str, JSON] = {
            "architecture": self.architecture.identity,
            "recipe": self.recipe.identity(),
            "data": self.images.digest,
            "seed": self.seed,
            "normalisation": [list(part) for part in given] if given is not None else None,
            **self.compute.identity(threads=True),
        }
        if self.held_out is not None:
            inputs["held_out"] = self.held_out.digest
        if self.step is not None:
            inputs["step"] = self.step.identity
        if self.holds_zeros:
            inputs["holds_zeros"] = True
        return inputs

    @property
    def facts(self) -> dict[str, JSON]:
        """The recipe's name, the seed, and how many images."""
        return {
            "weights": "trained",
            "recipe": self.recipe.label,
            "training_seed": self.seed,
            "training_images": len(self.images),
            **({} if self.step is None else {"step": self.step.label}),
        }

    @property
    def modules(self) -> tuple[str, ...]:
        """The cell, the trainer, and the package of the model's plugin."""
        packages = [package_of(self.architecture.entry.plugin)]
        packages += [] if self.step is None else [package_of(self.step.plugin)]
        return (*super().modules, "bench.training", "bench.classifier", *packages)

    @property
    def work(self) -> tuple[str, float]:
        """Three passes for each image and epoch."""
        return f"model {self.coordinates.model}", 3.0 * self.recipe.epochs * len(self.images)

    def run(self, workbench: Workbench, parents: Mapping[str, Stored]) -> Result:
        """Train from fresh weights, or from the last epoch that an interrupted run finished."""
        from bench.classifier import layout
        from bench.classifier.weights import output_digests, state_arrays
        from bench.training.schedule import kept

        mean, std = self._normalisation(workbench, parents)
        self.architecture.check_normalisation(mean, std, self.architecture.culprit)
        task: Any = {"recipe": self.recipe, "mean": mean, "std": std, "seed": self.seed}
        task["images"], task["labels"] = self.images.tensors()
        with machine.busy_elsewhere() as load:
            network, history, is_resumed = self._trained(workbench, parents, task)
        arrays, used = state_arrays(network), layout.of(network)
        del network  # or it is let go of while another's memory is counted
        applied = self._applied(workbench, parents)
        return Result(
            arrays=arrays,
            header={"mean": json.dumps(mean), "std": json.dumps(std), **applied.header},
            outputs=output_digests(self.architecture.identity, arrays, mean, std, applied),
            summary={
                "training_seconds": sum(epoch.seconds for epoch in history),
                "peak_memory_bytes": self._peak_memory(workbench, parents, task),
                "busy_elsewhere": load.share,
                "resumed": is_resumed,
                "epochs": [epoch.plain() for epoch in history],
                "kept_epoch": kept(history, self.recipe),
                "memory_format": used,
            },
        )

    def _trained(
        self, workbench: Workbench, parents: Mapping[str, Stored], task: Mapping[str, Any]
    ) -> tuple[nn.Module, list[Epoch], bool]:
        """Train, keeping each epoch's state; return the network, its epochs, and if it went on."""
        from bench.training import trainer
        from bench.training.loop import StateError

        key = self.key(parents)
        # a state that other code left would make weights that neither would
        maker = fingerprint.fingerprint([registry.source_digest(name) for name in self.modules])

        def progress(reached: Progress) -> None:
            epoch, epochs = reached.epoch, self.recipe.epochs
            workbench.store.put_partial(key, maker, reached.state())
            workbench.measure(epoch.plain())
            words = f"loss {epoch.loss:.3f}, accuracy {epoch.accuracy:.1%}"
            workbench.notify(epoch.epoch / epochs, f"epoch {epoch.epoch} of {epochs}: {words}")

        def trained(state: bytes | None) -> tuple[nn.Module, list[Epoch], bool]:
            network = self._placed(workbench, parents)
            held_out = None if self.held_out is None else self.held_out.tensors()
            hooks = self._hooks(workbench, parents)
            given: Any = {**task, "held_out": held_out, "hooks": hooks, "state": state}
            with self._blaming(workbench, parents, task):
                history = trainer.train(network, **given, progress=progress)
            return network, history, state is not None

        try:
            return trained(workbench.store.partial(key, maker))
        except StateError:
            workbench.notify(0, "the kept state is of another version; from the start")
            return trained(None)

    def _blaming(
        self, workbench: Workbench, parents: Mapping[str, Stored], task: Mapping[str, Any]
    ) -> AbstractContextManager[None]:
        """Have what the model's own code raises name the model, not the training."""
        import torch

        from bench.classifier import faults

        def images() -> Images:
            mean, std = (torch.tensor(task[name]).view(1, -1, 1, 1) for name in ("mean", "std"))
            some: Images = ((task["images"][:_TRIED] - mean) / std).to(self.compute.device)
            return some

        def fresh() -> nn.Module:
            network = self._placed(workbench, parents)
            network.train()
            return network

        return faults.blaming(fresh, images, self.architecture.culprit)

    def _peak_memory(
        self, workbench: Workbench, parents: Mapping[str, Stored], task: Mapping[str, Any]
    ) -> int | None:
        """Count what the tensors of a step hold; None where that fails, which training did not."""
        from bench.training import trainer

        try:
            with (
                explained(lambda error: PluginError.of("its memory", f"was not counted: {error}")),
                machine.peak_memory(self.compute.device) as memory,
            ):
                network = self._placed(workbench, parents)
                trainer.rehearse(network, **task, hooks=self._hooks(workbench, parents))
        except BenchError as error:  # no figure of its cost is worth a training
            workbench.notify(1, f"its memory was not counted: {error.__cause__ or error}")
            return None
        return memory.bytes

    def _normalisation(
        self, workbench: Workbench, parents: Mapping[str, Stored]
    ) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and std: the start's, the suite's, or those of the training images."""
        from bench.classifier.weights import header_normalisation

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
        return workbench.network(self.architecture, parents["start"])

    def _placed(self, workbench: Workbench, parents: Mapping[str, Stored]) -> nn.Module:
        network = self._network(workbench, parents)
        return workbench.place(network, self.architecture.image_shape)

    def _applied(self, workbench: Workbench, parents: Mapping[str, Stored]) -> AppliedReductions:
        """Return the reductions that the start went through."""
        if self.start is None:
            return AppliedReductions()
        return AppliedReductions.of(
            workbench.store.header(parents["start"]), parents["start"].label
        )

    def _hooks(self, workbench: Workbench, parents: Mapping[str, Stored]) -> TrainingHooks:
        """Say what the step changes in the training."""
        from bench.training.loop import TrainingHooks

        plugin = None if self.step is None else self.step.plugin
        if not isinstance(plugin, Tuning):
            return TrainingHooks(holds_zeros=self.holds_zeros)
        teacher = None
        if self.teacher is not None:
            network = workbench.network(self.architecture, parents["teacher"])
            network.eval()
            network.requires_grad_(requires_grad=False)
            teacher = workbench.place(network, self.architecture.image_shape)
        return TrainingHooks(plugin.adversarial_batch, plugin.loss, teacher, self.holds_zeros)


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
