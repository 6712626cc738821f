"""The entries of a suite: frozen values that hold configured plugins.

This room does not know how they are read.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bench import registry
from bench.api import Attack, Dataset, Explainer, Model, Shield, VariantStep
from bench.api.recipes import Recipe
from bench.records import JSON, Budget
from bench.suite.cascade import Listed
from bench.suite.sections import Replication


@dataclass(frozen=True)
class Named:
    """A plugin under the name that the suite gives it.

    ``plugin_name`` is the entry point's name, ``plugin`` the configured instance.
    """

    name: str
    plugin_name: str


@dataclass(frozen=True)
class DatasetEntry(Named):
    """The suite's dataset."""

    plugin: Dataset


@dataclass(frozen=True)
class ModelEntry(Named):
    """A model, the recipe that trains it (None: it brings its weights), and how often.

    ``variants`` are those of the suite that it is run in; None: all.
    """

    plugin: Model
    recipe: Recipe | None
    replication: Replication = field(default_factory=Replication)
    variants: tuple[str, ...] | None = None


@dataclass(frozen=True)
class AttackEntry(Named):
    """An attack.

    ``group`` is the key in the suite file that a grid was expanded from; ``budget`` the ball in
    which an image counts as a success: the attack's own or, where it promises none, the suite's.
    """

    plugin: Attack
    group: str
    target: int | None
    budget: Budget | None = None
    members: tuple[AttackEntry, ...] = ()

    @property
    def identity(self) -> dict[str, JSON]:
        """What decides the result, besides the parameters; of a cascade, that of its members."""
        if not self.members:
            return registry.identity("attacks", self.plugin_name, self.plugin)
        parts: list[JSON] = [member.identity for member in self.members]
        return {"plugin": "bench:cascade", "revision": Listed.revision, "members": parts}


@dataclass(frozen=True)
class ExplainerEntry(Named):
    """An explainer."""

    plugin: Explainer


@dataclass(frozen=True)
class StepEntry(Named):
    """One step of a variant: a compressor or a defense. ``position`` counts from 1."""

    plugin: VariantStep
    kind: str = "defenses"
    position: int = 1

    @property
    def identity(self) -> dict[str, JSON]:
        """What decides its answers; its members have identities of their own, not their names."""
        plugin = registry.identity(self.kind, self.plugin_name, self.plugin)
        shield = self.plugin if isinstance(self.plugin, Shield) else None
        names: JSON = [] if shield is None else [*shield.members]
        proof: frozenset[str] = frozenset() if shield is None else shield.proof_only
        own = {
            key: value
            for key, value in self.plugin.parameters().items()
            if key not in proof and (not names or value != names)
        }
        return {**plugin, "parameters": own}

    @property
    def account(self) -> dict[str, JSON]:
        """What the run's account holds of it: its name, and the parameters that the suite gives."""
        given = self.plugin.model_dump(mode="json", include=self.plugin.model_fields_set)
        return {"step": self.name, "parameters": given}

    @property
    def label(self) -> str:
        """Which step of its variant it is."""
        return f"{self.position}-{self.name}"


@dataclass(frozen=True)
class VariantEntry:
    """A model after some steps; ``original`` has none."""

    name: str
    steps: tuple[StepEntry, ...] = ()


@dataclass(frozen=True)
class Sensitivity:
    """What is done to each layer alone, and the attack on what comes out."""

    step: StepEntry
    attack: AttackEntry
