"""The compress cell: a reduction makes other weights, or another network, of what there is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from bench import seeds
from bench.api import Reduction
from bench.cells.cell import Cell, Parent, package_of
from bench.cells.workbench import Architecture, Compute, Workbench, check_module
from bench.classifier.reductions import AppliedReduction, AppliedReductions
from bench.data import ImageSet
from bench.errors import PluginError, WeightsError
from bench.records import JSON, Kind, Result
from bench.store import Stored
from bench.suite import StepEntry

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch.nn import Module

    from bench.tensors import Images


@dataclass(frozen=True)
class CompressCell(Cell):
    """Weights, and the step that reduces them.

    ``images`` are the training images, of which the reduction is given as many as it wants;
    ``seed`` is the training's.
    """

    kind: ClassVar[Kind] = "compress"

    architecture: Architecture
    start: Cell
    step: StepEntry
    images: ImageSet
    seed: int
    compute: Compute

    @property
    def reduction(self) -> Reduction:
        """The plugin."""
        if not isinstance(self.step.plugin, Reduction):
            raise TypeError(f"{self.step.name} reduces nothing")
        return self.step.plugin

    @property
    def label(self) -> str:
        """The coordinates and the step: a variant may be reduced several times."""
        return f"{self.kind} {self.coordinates}@{self.step.label}"

    @property
    def parents(self) -> Mapping[str, Parent]:
        """The weights that are reduced."""
        return {"start": Parent(self.start, "classifier")}

    @property
    def inputs(self) -> dict[str, JSON]:
        """The reduction and, where it looks at images or draws numbers, those."""
        inputs: dict[str, JSON] = {
            "architecture": self.architecture.identity,
            "reduction": self.step.identity,
        }
        if self.reduction.randomised:
            inputs["seed"] = self.seed
        if self.reduction.images_wanted:
            inputs["images"] = self._shown.digest
            inputs["compute"] = self.compute.identity(threads=True)
        return inputs

    @property
    def facts(self) -> dict[str, JSON]:
        """The step."""
        return {"weights": "reduced", "step": self.step.label}

    @property
    def modules(self) -> tuple[str, ...]:
        """The cell, and the packages of the plugins."""
        plugins = (self.architecture.entry.plugin, self.step.plugin)
        return (*super().modules, "bench.classifier", *map(package_of, plugins))

    @property
    def work(self) -> tuple[str, float]:
        """Next to nothing."""
        return self.kind, 0.0

    @property
    def _shown(self) -> ImageSet:
        """The images that the reduction looks at: one at least, for its shape."""
        return self.images.drawn(max(1, self.reduction.images_wanted), self.seed)

    def run(self, workbench: Workbench, parents: Mapping[str, Stored]) -> Result:
        """Reduce a network of its own."""
        import torch

        from bench.classifier import faults
        from bench.classifier.counting import sparsity
        from bench.classifier.layers import in_eval_mode
        from bench.classifier.weights import header_normalisation, output_digests, state_arrays

        culprit = f"compressor '{self.step.name}' (plugin {self.step.plugin_name})"
        header = workbench.store.header(parents["start"])
        normalisation = header_normalisation(header)
        if normalisation is None:
            raise WeightsError.of(parents["start"].label, "has no mean and std", "both")
        mean, std = normalisation
        known = AppliedReductions.of(header, parents["start"].label)
        network = workbench.network(self.architecture, parents["start"])
        images, labels = self._shown.tensors()
        centre, spread = (torch.tensor(part).view(1, -1, 1, 1) for part in (mean, std))
        shown = (images - centre) / spread
        zeros, aim = sparsity(network) or 0.0, self.reduction.sparsity_target
        faults.check_layers(network, self.architecture.culprit)
        with (
            seeds.forked(self.seed),
            faults.blaming(
                lambda: in_eval_mode(workbench.network(self.architecture, parents["start"])),
                lambda: shown,
                self.architecture.culprit,
            ),
        ):
            reduced, form = self.reduction.reduce(
                network,
                shown,
                labels,
                generator=torch.Generator().manual_seed(self.seed),
            )
        check_module(reduced, culprit)
        made = known.then(AppliedReduction(self.step.plugin_name, self.reduction, form))
        arrays = {
            name: _unsigned(array) for name, array in state_arrays(in_eval_mode(reduced)).items()
        }
        self._check(made, arrays, culprit)
        changed = _changed(workbench.store.arrays(parents["start"]), arrays)
        if not changed:  # what decides the answers, or what is shipped, may lie elsewhere
            start = in_eval_mode(workbench.network(self.architecture, parents["start"]))
            changed = _differs((known, start), (made, reduced), shown)
        return Result(
            arrays=arrays,
            header={"mean": json.dumps(mean), "std": json.dumps(std), **made.header},
            outputs=output_digests(self.architecture.identity, arrays, mean, std, made),
            summary={
                "form": form,
                "changed": changed,
                "asked": len(shown),
                "is_met": aim is not None and zeros >= aim,
            },
        )

    def _check(self, made: AppliedReductions, arrays: Mapping[str, object], culprit: str) -> None:
        """Check that the network can be built again, and the weights load into it."""
        network = made.rebuild(self.architecture.build(), self.architecture.image_shape)
        wanted, got = set(network.state_dict()), set(arrays)
        if wanted != got:
            apart = ", ".join(sorted(wanted ^ got)[:5])
            raise PluginError.of(
                culprit,
                f"rebuilds a network whose weights have other names: {apart}",
                "rebuild() to build what reduce() made",
            )


def _unsigned(array: NDArray[Any]) -> NDArray[Any]:
    """Return weights whose zeros have no sign: a mask leaves it, and on disk it costs a bit."""
    if array.dtype.kind != "f":
        return array
    return np.asarray(np.add(array, 0, dtype=array.dtype))


def _changed(given: Mapping[str, NDArray[Any]], made: Mapping[str, NDArray[Any]]) -> int:
    """Count the values that differ; those of arrays that have another shape, or are new, all."""
    count = sum(array.size for name, array in given.items() if name not in made)
    for name, array in made.items():
        other = given.get(name)
        is_same = other is not None and other.shape == array.shape and other.dtype == array.dtype
        count += int((_unsigned(other) != array).sum()) if is_same else array.size  # type: ignore[arg-type]
    return count


def _differs(
    given: tuple[AppliedReductions, Module], made: tuple[AppliedReductions, Module], shown: Images
) -> int:
    """Count the images that two networks of equal weights answer otherwise; 1 for other bytes."""
    import torch

    sizes, answers = [], []
    for applied, network in (given, made):
        packed = applied.packed(network).values()
        sizes.append(sum(each.numel() * each.element_size() for each in packed))
        with torch.no_grad():
            answers.append(applied.deploy(network)(shown).flatten(1))
    apart = int((answers[0] != answers[1]).any(1).sum())
    return apart or int(sizes[0] != sizes[1])
