"""What is judged: a network with its weights, and what defends it."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import fingerprint, seeds
from bench.api import Reduction, Shield
from bench.cells.cell import Cell, Parent, package_of
from bench.cells.workbench import Architecture, Workbench, check_module
from bench.records import JSON
from bench.store import Stored
from bench.suite import StepEntry

if TYPE_CHECKING:
    from torch.nn import Module

    from bench.classifier.classifier import Classifier


@dataclass(frozen=True)
class Subject:
    """An architecture, the cell that brings its weights, and its shields, the innermost first.

    ``reductions`` are those that the weights went through, and decide how attacks see through them.
    ``members`` are what the shields ask for besides, by name. ``seed`` is the suite's: a shield
    that draws random numbers draws the same for every image and model.
    """

    architecture: Architecture
    weights: Cell
    shields: tuple[StepEntry, ...] = ()
    members: tuple[tuple[str, Subject], ...] = ()
    seed: int = 0
    reductions: tuple[Reduction, ...] = ()

    @property
    def parents(self) -> Mapping[str, Parent]:
        """The weights, and those of the members, by their places."""
        own = {"classifier": Parent(self.weights, "classifier")}
        return own | {
            f"member {place}": Parent(member.weights, "classifier")
            for place, (_, member) in enumerate(self.members, 1)
        }

    @property
    def answering(self) -> Mapping[str, Architecture]:
        """The architectures of the networks that answer, by the roles of their weights.

        Not that before which a shield stands that asks its members only.
        """
        own = {"classifier": self.architecture}
        if any(_shield(entry).ignores_base_model for entry in self.shields):
            own = {}
        return own | {
            f"member {place}": member.architecture
            for place, (_, member) in enumerate(self.members, 1)
        }

    @property
    def identity(self) -> dict[str, JSON]:
        """What decides the answers besides the parents' weights; nothing where all is plain.

        What runs in bytes has kernels of the processor's own, which round otherwise.
        """
        kernels: dict[str, JSON] = {"kernels": platform.machine()} if self.has_twin else {}
        if not self.shields:
            return kernels
        shields: list[JSON] = [
            {**shield.identity, "seed": self.seed_of(shield)} for shield in self.shields
        ]
        members: list[JSON] = [member.identity for _, member in self.members]
        return {"shields": shields, "members": members, **kernels}

    def seed_of(self, shield: StepEntry) -> int | None:
        """Return what a shield draws by; None for one that draws nothing."""
        if not _shield(shield).randomised:
            return None
        return seeds.derive(self.seed, "defense", shield.identity)

    @property
    def facts(self) -> dict[str, JSON]:
        """What the verdict and the attacks go through; nothing where all is plain."""
        ways = [each.gradients for each in self.reductions] + [each.gradients for each in self._met]
        facts: dict[str, JSON] = {}
        if self.shields or self.has_twin:
            others = dict.fromkeys(way for way in ways if way != "exact")
            facts["gradients"] = ", ".join(others) or "exact"
        if not self.shields:
            return facts
        return facts | {
            "defense": ", ".join(shield.plugin_name for shield in self.shields),
            "randomised": self.is_randomised,
            "averaged": all(shield.draws > 1 for shield in self._met if shield.randomised),
        }

    @property
    def has_twin(self) -> bool:
        """Whether attacks are given another network than the one that is judged."""
        return any(reduction.gradients != "exact" for reduction in self.reductions)

    @property
    def is_randomised(self) -> bool:
        """Whether a shield, or one of a member, draws random numbers."""
        return any(defense.randomised for defense in self._met)

    @property
    def answers_otherwise(self) -> str | None:
        """Name what answers otherwise than what attacks are given; None where nothing does."""
        apart = [f"'{entry.name}'" for entry in self.shields if not _shield(entry).surrogate_agrees]
        within = [member.answers_otherwise for _, member in self.members]
        twins = ["a network with a twin"] if self.has_twin else []
        return next(iter([*apart, *filter(None, within), *twins]), None)

    @property
    def _met(self) -> tuple[Shield, ...]:
        """The shields that an image meets, those of members included."""
        within = (shield for _, member in self.members for shield in member.shields)
        return tuple(_shield(shield) for shield in (*self.shields, *within))

    @property
    def packages(self) -> tuple[str, ...]:
        """The packages of the plugins, whose source is noted as provenance."""
        plugins = [
            self.architecture.entry.plugin,
            *self.reductions,
            *(shield.plugin for shield in self.shields),
        ]
        return tuple(dict.fromkeys(package_of(plugin) for plugin in plugins))

    def judged(self, workbench: Workbench, parents: Mapping[str, Stored]) -> Classifier:
        """Return the classifier that verdicts are given on; no plugin ever has it."""
        return self._classifier(workbench, parents, surrogate=False, twin=False)

    def copied(self, workbench: Workbench, parents: Mapping[str, Stored]) -> Classifier:
        """Return a copy of what is judged, to be moved and timed."""
        return self._own(workbench, parents, surrogate=False, twin=False)

    def counted(self, workbench: Workbench, parents: Mapping[str, Stored]) -> Classifier:
        """Return a copy of what is judged, float where that computes in bytes: to be counted."""
        return self._own(workbench, parents, surrogate=False, twin=True)

    def attacked(self, workbench: Workbench, parents: Mapping[str, Stored]) -> Classifier:
        """Return a classifier that a plugin may ruin, with gradients that are of use."""
        own = self._own(workbench, parents, surrogate=True, twin=True)
        own.reset()
        return own

    def _own(
        self, workbench: Workbench, parents: Mapping[str, Stored], *, surrogate: bool, twin: bool
    ) -> Classifier:
        """Return a copy of a classifier; one that Python cannot copy is built again."""
        from bench.classifier import faults

        def make(*, fresh: bool) -> Classifier:
            return self._classifier(workbench, parents, surrogate=surrogate, twin=twin, fresh=fresh)

        def again() -> Classifier:
            return workbench.classifier(
                self.architecture, parents["classifier"], twin=True, fresh=True
            )

        kept = make(fresh=False)
        own = faults.copied(kept, lambda: make(fresh=True))
        if not own.answers_as(kept):  # what its hooks hold may still be the original's
            own = make(fresh=True)
        own.again = again
        return own

    def randomised(
        self, workbench: Workbench, parents: Mapping[str, Stored], seed: int
    ) -> Classifier:
        """Return the network with fresh weights, behind the same normalisation, unshielded."""
        from bench.classifier.classifier import Classifier
        from bench.classifier.weights import normalisation_arrays

        mean, std = normalisation_arrays(self.judged(workbench, parents))
        network = self.architecture.build(seed)
        fresh = Classifier(
            network, tuple(mean.tolist()), tuple(std.tolist()), model=self.architecture.model
        )
        workbench.place(fresh, self.architecture.image_shape)
        return fresh

    def _classifier(
        self,
        workbench: Workbench,
        parents: Mapping[str, Stored],
        *,
        surrogate: bool,
        twin: bool,
        fresh: bool = False,
    ) -> Classifier:
        weights = parents["classifier"]
        plain = workbench.classifier(self.architecture, weights, twin=twin, fresh=fresh)
        if not self.shields:
            return plain
        members = [
            member._classifier(  # noqa: SLF001 (its own kind)
                workbench,
                {"classifier": parents[f"member {place}"]},
                surrogate=surrogate,
                twin=twin,
                fresh=fresh,
            )
            for place, (_, member) in enumerate(self.members, 1)
        ]
        digests: list[JSON] = [parents[role].outputs["classifier"] for role in self.parents]
        key = fingerprint.fingerprint([digests, self.identity, surrogate, twin])
        return workbench.kept(
            key,
            lambda: self._shielded(plain, members, surrogate=surrogate),
            self.architecture.image_shape,
            fresh=fresh,
        )

    def _shielded(
        self, plain: Classifier, members: Sequence[Classifier], *, surrogate: bool
    ) -> Classifier:
        """Put the shields before a classifier, or what attacks are given instead of them."""
        from bench.classifier.classifier import Classifier
        from bench.classifier.weights import normalisation_arrays

        left = list(members)

        def shielded(inner: Module) -> Module:
            for entry in self.shields:
                plugin = _shield(entry)
                make = plugin.surrogate if surrogate else plugin.defend
                asked = [left.pop(0) for _ in plugin.members]
                # attacks do not know what the verdict will draw
                inner = make(inner, asked, seed=(self.seed_of(entry) or 0) + surrogate)
                check_module(inner, f"defense '{entry.name}' (plugin {entry.plugin_name})")
            return inner

        mean, std = normalisation_arrays(plain)
        normalisation = tuple(mean.tolist()), tuple(std.tolist())
        return Classifier(plain.network, *normalisation, shielded, self.architecture.model)


def _shield(entry: StepEntry) -> Shield:
    if not isinstance(entry.plugin, Shield):
        raise TypeError(f"{entry.name} is no shield")
    return entry.plugin
