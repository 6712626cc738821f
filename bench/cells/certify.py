"""The certify cell: how far around each image a shield proves the prediction to hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from bench import seeds
from bench.api import Certificates, Shield
from bench.cells.cell import Cell, Parent
from bench.cells.subject import Subject
from bench.cells.workbench import Compute, Workbench
from bench.data import ImageSet
from bench.errors import PluginError
from bench.records import JSON, CertifyRecord, Kind, Result
from bench.store import Stored
from bench.suite import StepEntry


def proves(entry: StepEntry) -> bool:
    """Say whether a defense proves anything."""
    plugin = type(entry.plugin)
    return issubclass(plugin, Shield) and plugin.certify is not Shield.certify


def _shield_of(entry: StepEntry) -> Shield:
    if not isinstance(entry.plugin, Shield):
        raise TypeError(f"{entry.name} is no shield")
    return entry.plugin


@dataclass(frozen=True)
class CertifyCell(Cell):
    """A model whose outermost shield proves something."""

    kind: ClassVar[Kind] = "certify"

    subject: Subject
    images: ImageSet
    suite_seed: int
    compute: Compute

    @property
    def shield(self) -> StepEntry:
        """The outermost shield."""
        return self.subject.shields[-1]

    @property
    def parents(self) -> Mapping[str, Parent]:
        """The weights."""
        return self.subject.parents

    @property
    def seed(self) -> int:
        """What the proof draws by."""
        return seeds.derive(self.suite_seed, "certify", self.shield.identity, self.images.digest)

    @property
    def inputs(self) -> dict[str, JSON]:
        """The shields, what the proof takes, the images and how numbers are computed."""
        parameters = self.shield.plugin.parameters()
        return {
            "images": self.images.named_digest,
            "seed": self.seed,
            "proof": {
                name: parameters[name] for name in sorted(_shield_of(self.shield).proof_only)
            },
            **self.compute.identity(batch_size=True),
            **self.subject.identity,
        }

    @property
    def facts(self) -> dict[str, JSON]:
        """The shields, and the parameters of the one that proves."""
        return {**self.shield.plugin.parameters(), **self.subject.facts}

    @property
    def modules(self) -> tuple[str, ...]:
        """The cell, the classifier, and the packages of the plugins."""
        return (*super().modules, "bench.classifier", *self.subject.packages)

    @property
    def work(self) -> tuple[str, float]:
        """As many passes as a shield may need."""
        samples = getattr(self.shield.plugin, "samples", 1)
        return f"model {self.coordinates.model}", float(samples * len(self.images))

    def run(self, workbench: Workbench, parents: Mapping[str, Stored]) -> Result:
        """Prove batch by batch."""
        import torch

        plugin = self.shield.plugin
        culprit = f"defense '{self.shield.name}' (plugin {self.shield.plugin_name})"
        inner = replace(self.subject, shields=self.subject.shields[:-1])
        classifier = inner.copied(workbench, parents)
        images, labels = self.images.tensors()
        generator = torch.Generator().manual_seed(self.seed)
        records: list[CertifyRecord] = []
        with seeds.forked(self.seed), classifier.guarded(culprit), torch.no_grad():
            for start in range(0, len(images), self.compute.batch_size):
                batch = images[start : start + self.compute.batch_size].to(self.compute.device)
                proof = (
                    plugin.certify(classifier, batch, generator=generator)
                    if isinstance(plugin, Shield)
                    else None
                )
                if not isinstance(proof, Certificates) or len(proof.radii) != len(batch):
                    raise PluginError.of(
                        culprit, "returned no certificate of each image", "Certificates", ""
                    )
                for place, name in enumerate(self.images.names[start : start + len(batch)]):
                    prediction = int(proof.predictions[place])
                    records.append(
                        CertifyRecord(
                            image=name,
                            label=int(labels[start + place]),
                            prediction=None if prediction < 0 else prediction,
                            radius=float(proof.radii[place]),
                        )
                    )
                workbench.notify(len(records) / len(images), "")
        return Result(records=records, summary={"images": len(records)})
