"""The contract cell: what a model must be for its numbers to mean anything, checked once.

No other cell depends on it, and no table shows it: rules of the audit make findings of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from bench import registry
from bench.cells.cell import Cell, Parent
from bench.cells.subject import Subject
from bench.cells.workbench import Compute, Workbench
from bench.data import ImageSet
from bench.records import JSON, Kind, Result
from bench.store import Stored

if TYPE_CHECKING:
    from bench.classifier.classifier import Classifier

IMAGES = 32
"""How many images are shown, at most."""

_SEED = 1
"""From which the network is built again: every other build is from 0."""


@dataclass(frozen=True)
class ContractCell(Cell):
    """A model variant, shields included, that is shown a few images in several ways."""

    kind: ClassVar[Kind] = "contract"

    subject: Subject
    images: ImageSet
    compute: Compute

    @property
    def parents(self) -> Mapping[str, Parent]:
        """The weights, and those of members."""
        return self.subject.parents

    @property
    def inputs(self) -> dict[str, JSON]:
        """The images, how numbers are computed, and the source that makes a function of weights.

        Of other cells sources are no part: what an edit changes in a result is for a revision to
        say. Here an edited network is looked at again.
        """
        return {
            "images": self.images.digest,
            "sources": {**self._sources},
            **self.compute.identity(),
            **self.subject.identity,
        }

    @cached_property
    def _sources(self) -> Mapping[str, JSON]:
        return {name: registry.source_digest(name) for name in sorted({*_packages(self.subject)})}

    @property
    def facts(self) -> dict[str, JSON]:
        """What it is for, and the shields."""
        return {"probe": "contract", "of": None, **self.subject.facts}

    @property
    def modules(self) -> tuple[str, ...]:
        """The cell, what examines, the classifier, and the packages of the model's plugins."""
        return (
            *super().modules,
            "bench.referee.contract",
            "bench.classifier",
            *self.subject.packages,
        )

    @property
    def work(self) -> tuple[str, float]:
        """Passes of single images, some in float64: as much as so many of an attack."""
        return f"model {self.coordinates.model}", 1000.0

    def run(self, workbench: Workbench, parents: Mapping[str, Stored]) -> Result:
        """Carry out every check; one that fails says so in the place of its result."""
        from bench.referee.contract.examination import Model, examine

        subject = self.subject
        has_own = "classifier" in subject.answering
        model = Model(
            judged=lambda: subject.copied(workbench, parents),
            attacked=lambda: subject.attacked(workbench, parents),
            plain=(lambda: self._plain(workbench, parents)) if has_own else None,
            rebuilt=lambda: self._rebuilt(workbench, parents),
            classes=subject.architecture.classes,
            held=frozenset(workbench.store.arrays(parents["classifier"])),
            is_randomised=subject.is_randomised,
            is_straight_through="straight_through" in str(subject.facts.get("gradients", "")),
            agrees=subject.answers_otherwise is None,
        )
        images, _ = self.images.tensors()
        checks = examine(model, images)
        return Result(summary={"images": len(images), "checks": [check.plain for check in checks]})

    def _plain(self, workbench: Workbench, parents: Mapping[str, Stored]) -> Classifier:
        """Return the network that has gradients, without shields."""
        architecture, weights = self.subject.architecture, parents["classifier"]
        return workbench.classifier(architecture, weights, twin=True, fresh=True)

    def _rebuilt(self, workbench: Workbench, parents: Mapping[str, Stored]) -> Classifier:
        """Return the same, built from another seed and given the same weights."""
        from bench.classifier.classifier import Classifier
        from bench.classifier.layers import in_eval_mode
        from bench.classifier.weights import normalisation_arrays

        architecture, weights = self.subject.architecture, parents["classifier"]
        network = in_eval_mode(workbench.network(architecture, weights, seed=_SEED))
        mean, std = normalisation_arrays(workbench.classifier(architecture, weights, twin=True))
        normalisation = tuple(mean.tolist()), tuple(std.tolist())
        made = Classifier(network, *normalisation, model=architecture.model)
        workbench.place(made, architecture.image_shape)
        return made


def _packages(subject: Subject) -> Iterator[str]:
    """Yield the packages whose source makes functions of weights, those of members included."""
    yield from subject.packages
    yield from subject.architecture.entry.plugin.sources()
    for _, member in subject.members:
        yield from _packages(member)
