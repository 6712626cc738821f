"""The sensitivity cell: each layer of a model reduced alone, and what that costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from bench import seeds
from bench.api import Reduction
from bench.cells.attack import AttackCell
from bench.cells.cell import Cell, Parent, package_of
from bench.cells.workbench import Workbench
from bench.records import JSON, Kind, Result, SensitivityRecord
from bench.store import Stored
from bench.suite import StepEntry

if TYPE_CHECKING:
    from torch import nn

    from bench.classifier.classifier import Classifier


@dataclass(frozen=True)
class SensitivityCell(Cell):
    """A model, a reduction that can be kept to one layer, and an attack on each that it makes.

    ``attack`` is the attack on the model as it is: its images, seed and computing are used.
    """

    kind: ClassVar[Kind] = "sensitivity"

    attack: AttackCell
    step: StepEntry

    @property
    def parents(self) -> Mapping[str, Parent]:
        """The weights."""
        return self.attack.parents

    @property
    def inputs(self) -> dict[str, JSON]:
        """The reduction, and the attack with all that decides it."""
        return {"reduction": self.step.identity, "attack": self.attack.inputs}

    @property
    def facts(self) -> dict[str, JSON]:
        """Those of the attack, and the reduction."""
        own = {"step": self.step.name, "met_by": self.attack.entry.name}
        return {**self.attack.facts, **own, **self.step.plugin.parameters()}

    @property
    def modules(self) -> tuple[str, ...]:
        """Those of an attack, this one, and the package of the reduction."""
        return (*super().modules, *self.attack.modules, package_of(self.step.plugin))

    @property
    def work(self) -> tuple[str, float]:
        """An attack for each layer: some tens."""
        name, amount = self.attack.work
        return name, 20 * amount

    def run(self, workbench: Workbench, parents: Mapping[str, Stored]) -> Result:
        """Reduce each layer alone, on a network of its own; judge and attack what comes out."""
        from bench.classifier import faults
        from bench.classifier.layers import in_eval_mode, layer_weights

        weights = parents["classifier"]
        architecture = self.attack.subject.architecture
        whole = workbench.network(architecture, weights)
        faults.check_layers(whole, architecture.culprit)
        sizes = {k.rpartition(".")[0]: each.numel() for k, each in layer_weights(whole).items()}
        names = [*sizes]
        records: list[SensitivityRecord] = []
        zeros: dict[str, JSON] = {}
        for place, name in enumerate(("", *names)):

            def made(name: str = name) -> nn.Module:
                network = in_eval_mode(workbench.network(architecture, weights))
                return self._reduced(network, name) if name else network

            network = made()
            if name:
                left = int(layer_weights(network)[f"{name}.weight"].count_nonzero())
                zeros[name] = 1 - left / sizes[name]
            records += self._judged(workbench, network, parents, name, made)
            workbench.notify((place + 1) / (len(names) + 1), name)
        return Result(
            records=records,
            summary={"images": len(self.attack.images), "layers": len(names), "sparsity": zeros},
        )

    def _reduced(self, network: nn.Module, layer: str) -> nn.Module:
        """Reduce one layer; a black image gives the shape: those that are judged decide nothing."""
        import torch

        from bench.classifier.layers import in_eval_mode

        plugin = self.step.plugin.model_copy(update={"layers": (layer,)})
        if not isinstance(plugin, Reduction):
            raise TypeError(f"{self.step.name} reduces nothing")
        images = torch.zeros(1, *self.attack.subject.architecture.image_shape)
        labels = torch.zeros(1, dtype=torch.int64)
        with seeds.forked(self.attack.seed):
            generator = torch.Generator().manual_seed(self.attack.seed)
            reduced, _ = plugin.reduce(network, images, labels, generator=generator)
        return in_eval_mode(reduced)

    def _judged(
        self,
        workbench: Workbench,
        network: nn.Module,
        parents: Mapping[str, Stored],
        layer: str,
        again: Callable[[], nn.Module],
    ) -> Iterator[SensitivityRecord]:
        from bench.classifier import faults
        from bench.classifier.classifier import Classifier
        from bench.classifier.weights import normalisation_arrays

        usual = self.attack.subject.judged(workbench, parents)
        mean, std = (tuple(part.tolist()) for part in normalisation_arrays(usual))
        architecture = self.attack.subject.architecture

        def placed(network: nn.Module) -> Classifier:
            classifier = Classifier(network, mean, std, model=architecture.model)
            workbench.place(classifier, architecture.image_shape)
            return classifier

        classifier = placed(network)
        attacked = faults.copied(classifier, lambda: placed(again()))
        for record in self.attack.judged(workbench, attacked, classifier).records:
            yield SensitivityRecord(
                record.image, record.label, layer, record.clean_prediction, record.prediction
            )
