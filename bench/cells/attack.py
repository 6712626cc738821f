"""The attack cell: a plugin looks for adversarial images, the referee judges them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, ClassVar

from bench import fingerprint, seeds
from bench.api import Attack
from bench.cells.cell import Cell, Parent, package_of
from bench.cells.subject import Subject
from bench.cells.workbench import Compute, Workbench
from bench.data import ImageSet
from bench.records import DECLARED_FACTS, JSON, AttackRecord, Kind, Result
from bench.store import Stored
from bench.suite import AttackEntry
from bench.tensors import Images, Labels

if TYPE_CHECKING:
    from bench.classifier.classifier import Classifier
    from bench.classifier.passes import Passes
    from bench.referee.attacks import Verdict


@dataclass
class Followed:
    """How an attack went about each image: its passes, and whether it ever left its place.

    ``pulled`` says whether a gradient at its pixels was ever other than zero.
    """

    forwards: list[int] = field(default_factory=list)
    backwards: list[int] = field(default_factory=list)
    moved: list[bool] = field(default_factory=list)
    pulled: list[bool] = field(default_factory=list)

    def add(self, passes: Passes, images: Images, made: Images) -> None:
        """Add the images of one batch."""
        self.forwards += passes.shared(passes.forwards)
        self.backwards += passes.shared(passes.backwards)
        away = (made - images).flatten(1).any(1)
        self.moved += (passes.moved.cpu() | away).tolist()
        self.pulled += passes.pulled.tolist()

    def account(self, records: Sequence[AttackRecord]) -> dict[str, JSON]:
        """Count over the images that remained correct: where one was fooled, an attack may stop.

        Returns:
            ``images``, and the ``fewest`` passes of one; ``by`` names the passes: gradients where
            any was taken. ``unmoved`` never left their places though a gradient pulled them.
            ``passes`` says how many images had how many, by their number.

        """
        by = "backwards" if any(self.backwards) else "forwards"
        counted: list[int] = getattr(self, by)
        kept = [place for place, record in enumerate(records) if record.success is False]
        histogram = Counter(str(counted[place]) for place in kept)
        return {
            "images": len(kept),
            "by": by,
            "fewest": min((counted[place] for place in kept), default=None),
            "passes": {**histogram},
            "unmoved": sum(self.pulled[place] and not self.moved[place] for place in kept),
        }


@dataclass(frozen=True)
class Attacked:
    """What an attack made of images, and what the referee says of each."""

    records: list[AttackRecord]
    images: Images
    before: Verdict
    after: Verdict
    seconds: float
    followed: Followed


@dataclass(frozen=True)
class AttackCell(Cell):
    """A model to attack. ``suite_seed`` and the images decide the attack's seed, not the model."""

    kind: ClassVar[Kind] = "attack"
    revision: ClassVar[int] = 2  # holds the originals and all probabilities, to look at

    subject: Subject
    entry: AttackEntry
    images: ImageSet
    suite_seed: int
    compute: Compute

    @property
    def seed(self) -> int:
        """The same for every model and variant, so that all face the same random starts."""
        plugin = self.entry.identity["plugin"]
        parameters = self.entry.plugin.parameters()
        return seeds.derive(self.suite_seed, "attack", plugin, parameters, self.images.digest)

    @property
    def parents(self) -> Mapping[str, Parent]:
        """The weights."""
        return self.subject.parents

    @property
    def inputs(self) -> dict[str, JSON]:
        """The attack, its parameters, target and seed, the images, how numbers are computed."""
        plugin = self.entry.plugin
        return {
            **self.entry.identity,
            "parameters": plugin.parameters(),
            "target": self.entry.target,
            "seed": self.seed,
            "images": self.images.named_digest,
            # what stands for a randomised shield draws anew for each batch
            **self.compute.identity(
                batch_size=not plugin.batch_invariant or self.subject.is_randomised
            ),
            **self.subject.identity,
        }

    @property
    def facts(self) -> dict[str, JSON]:
        """The attack's group, plugin, norm, budget, target, parameters and what it declares."""
        entry = self.entry
        parameters: dict[str, JSON] = {} if entry.members else {**entry.plugin.parameters()}
        if entry.members:
            parameters["cascade"] = ", ".join(member.name for member in entry.members)
        if entry.budget is not None:
            parameters |= {"budget": str(entry.budget), "eps": entry.budget.eps}
        return {
            **parameters,
            "group": entry.group,
            "plugin": entry.plugin_name,
            "norm": entry.plugin.norm if entry.budget is None else entry.budget.norm,
            "targeted": entry.target is not None,
            "target": entry.target,
            "minimum_norm": entry.plugin.minimum_norm,
            "traceable": entry.plugin.traceable,
            "caveats": list(entry.plugin.own_caveats),
            **_declared(entry.plugin),
            **self.subject.facts,
        }

    @property
    def modules(self) -> tuple[str, ...]:
        """The cell, its judges, and the packages of the attack's and the model's plugins."""
        return (
            *super().modules,
            "bench.referee",
            "bench.classifier",
            "bench.norms",
            *sorted({package_of(e.plugin) for e in self.entry.members or (self.entry,)}),
            *self.subject.packages,
        )

    @property
    def work(self) -> tuple[str, float]:
        """The passes that the attack expects, forward and backward, and two for the verdict."""
        passes = 2.0 * self.entry.plugin.passes + 2
        return f"model {self.coordinates.model}", passes * len(self.images)

    @property
    def culprit(self) -> str:
        """How errors name the attack."""
        return f"attack '{self.entry.name}' (plugin {self.entry.plugin_name})"

    def run(self, workbench: Workbench, parents: Mapping[str, Stored]) -> Result:
        """Attack a classifier of its own, then have everything judged on another."""
        from bench.referee import reach as referee

        attacked = self.subject.attacked(workbench, parents)
        found = self.judged(workbench, attacked, self.subject.judged(workbench, parents))
        records = found.records
        budget = self.entry.plugin.budget
        made = {"adversarial_images": found.images.numpy()}
        return Result(
            records=records,
            arrays={
                **made,
                "images": self.images.pixels,
                "clean_probabilities": found.before.probabilities.float().numpy(),
                "probabilities": found.after.probabilities.float().numpy(),
            },
            outputs={
                "adversarial_images": fingerprint.of_arrays(made),
                "records": fingerprint.fingerprint([_judged(record) for record in records]),
            },
            summary={
                "images": len(records),
                "budget": None if budget is None else asdict(budget),
                "forwards": attacked.forwards / len(records),
                "backwards": attacked.backwards / len(records),
                "seconds": found.seconds,
                "reach": referee.reach(self.images.tensors()[0], found.images, budget),
                "followed": found.followed.account(records),
                "stages": {name: {**account} for name, account in attacked.stages.items()},
            },
        )

    def judged(
        self, workbench: Workbench, attacked: Classifier, classifier: Classifier
    ) -> Attacked:
        """Attack one classifier, and have everything judged on another that is its equal."""
        from bench.referee import attacks as referee

        images, labels = self.images.tensors()
        started = time.perf_counter()
        with seeds.forked(self.seed), attacked.guarded(self.culprit):
            followed = Followed()
            stacked, steps = self._perturb(workbench, attacked, images, labels, followed)
        seconds = time.perf_counter() - started
        before = workbench.verdict(classifier, self.images)
        after = referee.classify(classifier, stacked)
        records = referee.judge_attack(
            before,
            after,
            images,
            stacked,
            labels,
            self.images.names,
            target=self.entry.target,
            budget=self.entry.plugin.budget,
            steps=steps,
        )
        return Attacked(records, stacked, before, after, seconds, followed)

    def _perturb(
        self,
        workbench: Workbench,
        attacked: Classifier,
        images: Images,
        labels: Labels,
        followed: Followed,
    ) -> tuple[Images, list[int | None]]:
        """Attack batch by batch; return the images, and the step at which each first fooled."""
        import torch

        from bench.referee import attacks as referee

        device, size = self.compute.device, self.compute.batch_size
        generator = torch.Generator().manual_seed(self.seed)
        adversarial: list[torch.Tensor] = []
        steps: list[int | None] = []
        for start in range(0, len(images), size):
            batch = images[start : start + size]
            truth = labels[start : start + size].to(device)
            targets = (
                None if self.entry.target is None else torch.full_like(truth, self.entry.target)
            )
            given = batch.to(device, copy=True)
            with (
                attacked.tracing(truth, targets, on=self.entry.plugin.traceable) as trace,
                attacked.counting(given.clone(), self.entry.plugin.budget) as passes,
            ):
                produced = self.entry.plugin.perturb(
                    attacked,
                    given,
                    truth.clone(),
                    targets=None if targets is None else targets.clone(),
                    generator=generator,
                )
            adversarial.append(referee.check_form(produced, batch, self.culprit))
            followed.add(passes, batch, adversarial[-1])
            steps += trace.steps
            workbench.notify(min(1.0, (start + size) / len(images)), "")
        return torch.cat(adversarial), steps


def _declared(plugin: Attack) -> dict[str, JSON]:
    """Return what an attack declares of itself, by :data:`bench.records.DECLARED_FACTS`."""
    values: tuple[JSON, ...] = (
        *(plugin.is_control, plugin.is_single_step, plugin.iterations, plugin.step_size),
        plugin.gradient_samples,
        *(plugin.radius_parameter, plugin.steps_parameter, plugin.step_size_parameter),
    )
    return dict(zip(DECLARED_FACTS, values, strict=True))


def _judged(record: AttackRecord) -> dict[str, JSON]:
    """Return what the digest of records covers: all but ``success``, which follows from the rest.

    So the digest of records is what it was before they held it.
    """
    return {name: value for name, value in asdict(record).items() if name != "success"}
