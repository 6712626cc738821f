"""The probe cells: what the audit must see and no table shows.

An attack with other parameters, judged like any attack; and the gradients that attacks follow. They
do not know what is made of them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from importlib.util import module_from_spec
from typing import TYPE_CHECKING, ClassVar, Self

from bench import seeds
from bench.api import Attack
from bench.cells.attack import AttackCell
from bench.cells.cell import Cell, Parent
from bench.cells.subject import Subject
from bench.cells.workbench import Compute, Workbench
from bench.data import ImageSet
from bench.records import JSON, TOLERANCE, GradientRecord, Kind, Result
from bench.store import Stored
from bench.suite import AttackEntry

if TYPE_CHECKING:
    from bench.classifier.classifier import Classifier
    from bench.tensors import Images, Labels, PerImage

_BATCH = 32
"""Images at a time, always: the batch size of the run then changes no gradient."""


@dataclass(frozen=True)
class ProbeCell(AttackCell):
    """An attack that is run to be compared with others.

    ``probe`` says what for; ``of`` is the attack that it is a variation of, None for one that
    serves all attacks of its budget.
    """

    kind: ClassVar[Kind] = "probe"

    probe: str
    of: str | None

    @classmethod
    def like(
        cls, cell: AttackCell, entry: AttackEntry, images: ImageSet, probe: str, of: str | None
    ) -> Self:
        """Return a probe of the model that an attack cell attacks."""
        known = {each.name: getattr(cell, each.name) for each in fields(AttackCell)}
        place = replace(cell.coordinates, attack=entry.name)
        changed = {"coordinates": place, "entry": entry, "images": images}
        return cls(**{**known, **changed}, probe=probe, of=of)

    @property
    def facts(self) -> dict[str, JSON]:
        """Those of the attack, what it is for, and which attack it is a variation of."""
        return {**super().facts, "probe": self.probe, "of": self.of}

    @property
    def modules(self) -> tuple[str, ...]:
        """Those of an attack, and of this one."""
        return (*super().modules, AttackCell.__module__)

    def run(self, workbench: Workbench, parents: Mapping[str, Stored]) -> Result:
        """Attack and judge; the images are not kept."""
        return replace(super().run(workbench, parents), arrays={})


@dataclass(frozen=True)
class RepeatCell(ProbeCell):
    """An attack that is run twice, from one seed, on equal classifiers: nothing may differ."""

    @property
    def inputs(self) -> dict[str, JSON]:
        """Those of the attack, and that it is run twice."""
        return {**super().inputs, "probe": self.probe}

    @property
    def work(self) -> tuple[str, float]:
        """Twice that of the attack."""
        rate, amount = super().work
        return rate, 2 * amount

    def run(self, workbench: Workbench, parents: Mapping[str, Stored]) -> Result:
        """Attack and judge twice; keep the first verdicts, and on how many images they differ."""
        anew = replace(self, entry=replace(self.entry, plugin=_anew(self.entry.plugin)))
        first, second = (
            cell.judged(
                workbench,
                cell.subject.attacked(workbench, parents),
                cell.subject.judged(workbench, parents),
            )
            for cell in (self, anew)
        )
        apart = (first.images - second.images).abs().flatten(1).amax(1)
        # what is not finite differs from nothing, and has no verdict anyway
        differs = (apart > TOLERANCE) | (first.after.predictions != second.after.predictions)
        return Result(
            records=first.records,
            summary={
                "images": len(first.records),
                "differing": int(differs.sum()),
                "largest": float(apart.nan_to_num().max()),
                "seconds": first.seconds + second.seconds,
            },
        )


def _anew(plugin: Attack) -> Attack:
    """Return an attack as a new process would have it: of a module that is executed once more.

    So it remembers nothing of earlier cells. Itself, where its class does not stand in its module.
    """
    known = sys.modules.get(type(plugin).__module__)
    spec = getattr(known, "__spec__", None)
    is_found = getattr(known, type(plugin).__qualname__, None) is type(plugin)
    if known is None or spec is None or spec.loader is None or not is_found:
        return plugin
    module = module_from_spec(spec)
    try:
        sys.modules[known.__name__] = module  # by which classes look for their annotations
        spec.loader.exec_module(module)
    finally:
        sys.modules[known.__name__] = known
    kind: type[Attack] = getattr(module, type(plugin).__qualname__)
    return kind.model_validate({name: getattr(plugin, name) for name in plugin.model_fields_set})


@dataclass(frozen=True)
class GradientsCell(Cell):
    """A model whose loss is differentiated at unattacked images, as attacks do it."""

    kind: ClassVar[Kind] = "probe"

    subject: Subject
    images: ImageSet
    suite_seed: int
    compute: Compute

    @property
    def seed(self) -> int:
        """The same for every model."""
        return seeds.derive(self.suite_seed, "gradients", self.images.digest)

    @property
    def parents(self) -> Mapping[str, Parent]:
        """The weights."""
        return self.subject.parents

    @property
    def inputs(self) -> dict[str, JSON]:
        """The images, the seed, and how numbers are computed."""
        return {
            "probe": "gradients",
            "images": self.images.named_digest,
            "seed": self.seed,
            **self.compute.identity(),
            **self.subject.identity,
        }

    @property
    def facts(self) -> dict[str, JSON]:
        """What it is for."""
        return {"probe": "gradients", "of": None, **self.subject.facts}

    @property
    def modules(self) -> tuple[str, ...]:
        """The cell, the classifier, and the packages of the model's plugins."""
        return (*super().modules, "bench.classifier", *self.subject.packages)

    @property
    def work(self) -> tuple[str, float]:
        """A pass forward and one backward for each image."""
        return f"model {self.coordinates.model}", 2.0 * len(self.images)

    def run(self, workbench: Workbench, parents: Mapping[str, Stored]) -> Result:
        """Measure the gradient of the cross-entropy of each image's own class."""
        import torch

        classifier = self.subject.attacked(workbench, parents)
        images, labels = (part.to(self.compute.device) for part in self.images.tensors())
        with seeds.forked(self.seed), classifier.guarded("the probe of gradients"):
            starts = range(0, len(images), _BATCH)
            batches = (slice(start, start + _BATCH) for start in starts)
            parts = [_lengths(classifier, images[part], labels[part]) for part in batches]
        lengths = torch.cat(parts)
        records = [
            GradientRecord(name, int(labels[i]), float(lengths[i]) if finite else None)
            for i, (name, finite) in enumerate(
                zip(self.images.names, lengths.isfinite().tolist(), strict=True)
            )
        ]
        return Result(records=records, summary={"images": len(records)})


def _lengths(classifier: Classifier, images: Images, labels: Labels) -> PerImage:
    """Return the Euclidean length of each image's gradient; 0 where logits have none at all."""
    import torch

    images = images.clone().requires_grad_()
    with torch.enable_grad():
        loss = torch.nn.functional.cross_entropy(classifier(images), labels, reduction="sum")
        if not loss.requires_grad:
            return torch.zeros(len(images), dtype=torch.float64)
        [gradient] = torch.autograd.grad(loss, images, allow_unused=True)
    if gradient is None:
        return torch.zeros(len(images), dtype=torch.float64)
    length: PerImage = gradient.double().flatten(1).square().sum(1).sqrt().cpu()
    return length
