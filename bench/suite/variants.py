"""The variants of a suite: lists of steps, what they undo, and whom they ask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bench import registry
from bench.api import Detector, Reduction, Shield, Tuning, VariantStep
from bench.errors import nearest
from bench.records import ORIGINAL
from bench.suite import document
from bench.suite.entries import AttackEntry, Sensitivity, StepEntry, VariantEntry
from bench.suite.section import Section

STEPS = ("compressors", "defenses")
"""The kinds of plugin that the steps of a variant are."""


class Variants(Section):
    """Reads the variants, and what is done to each layer alone."""

    def read(self, raw: Any) -> Iterator[VariantEntry]:
        """Read the variants, each a list of steps; a suite that names none has the original."""
        if not raw:
            yield VariantEntry(ORIGINAL)
        for name, steps in raw.items() if isinstance(raw, dict) else ():
            if not isinstance(steps, list):
                continue  # reported with the layout
            read = [self.step(step, ("variants", name, place)) for place, step in enumerate(steps)]
            if name == ORIGINAL and steps:
                self.report(("variants", name), "has steps", f"none: '{ORIGINAL}' is the model")
            if sum(step is not None and isinstance(step.plugin, Detector) for step in read) > 1:
                self.report(("variants", name), "has two detectors", "one in each variant")
            self.check_fresh(name, read)
            self.check_effect(name, read)
            if name != ORIGINAL and not steps:
                self.report(("variants", name), "has no step", f"one, or the name '{ORIGINAL}'")
            yield VariantEntry(name, tuple(step for step in read if step is not None))

    def check_fresh(self, name: str, steps: Sequence[StepEntry | None]) -> None:
        """Check that no step throws away the weights that others made."""
        made: StepEntry | None = None
        for place, step in enumerate(steps):
            plugin = None if step is None else step.plugin
            if made and step and isinstance(plugin, Tuning) and plugin.is_from_scratch:
                self.report(
                    ("variants", name, place),
                    f"'{step.name}' begins with fresh weights, and undoes '{made.name}'",
                    f"it before '{made.name}', or training that goes on",
                )
            if isinstance(plugin, Reduction | Tuning):
                made = step

    def check_effect(self, name: str, steps: Sequence[StepEntry | None]) -> None:
        """Check that every step has an effect beside a shield that asks its members only."""
        alone = [
            (place, step.name)
            for place, step in enumerate(steps)
            if step is not None
            and isinstance(step.plugin, Shield)
            and step.plugin.ignores_base_model
        ]
        if not alone:
            return
        last, asking = alone[-1]
        for place, step in enumerate(steps):
            if step is None or isinstance(step.plugin, Detector):
                continue
            if place < last or not isinstance(step.plugin, Shield):
                self.report(
                    ("variants", name, place),
                    f"'{step.name}' has no effect: '{asking}' asks its members only",
                    f"beside '{asking}' a detector, and shields after it",
                    "put it into a variant that is asked",
                )

    def check_members(self, variants: Sequence[VariantEntry], models: Any) -> None:
        """Check that the variants that shields ask exist, and ask no others in turn."""
        known = {variant.name: variant for variant in variants}
        names = models if isinstance(models, dict) else {}
        for variant in variants:
            for place, step in enumerate(variant.steps):
                for asked in step.plugin.members if isinstance(step.plugin, Shield) else ():
                    model, slash, wanted = asked.rpartition("/")
                    path = ("variants", variant.name, place)
                    if slash and model not in names:
                        self.check_name(path, model, names, "is no model of this suite")
                    self.check_name(path, wanted, known, "is no variant of this suite")
                    inner = known[wanted].steps if wanted in known else ()
                    if any(isinstance(s.plugin, Shield) and s.plugin.members for s in inner):
                        self.report(path, f"'{wanted}' asks others in turn", "one that does not")

    def sensitivity(self, raw: Any, attacks: Sequence[AttackEntry]) -> Sensitivity | None:
        """Read what is done to one layer at a time, and by which attack it is met."""
        if not isinstance(raw, dict):
            return None
        path: document.Path = ("sensitivity", "step")
        step = self.step(raw["step"], path) if "step" in raw else None
        plugin = None if step is None else step.plugin
        if step is not None and not (
            isinstance(plugin, Reduction) and "layers" in type(plugin).model_fields
        ):
            self.report(
                path, f"'{step.name}' has no layers:", "a compressor that can be kept to one"
            )
            return None
        if step is not None and isinstance(plugin, Reduction) and plugin.images_wanted:
            self.report(path, f"'{step.name}' looks at images", "a compressor that needs none")
            return None
        known = {attack.name: attack for attack in attacks}
        attack = raw.get("attack")
        self.check_name(("sensitivity", "attack"), attack, known, "is no attack of this suite")
        if attack in known and known[attack].plugin.minimum_norm:
            self.report(
                ("sensitivity", "attack"),
                f"'{attack}' looks for the nearest image, however far: it fells all of any layer",
                "an attack within a ball",
            )
        return Sensitivity(step, known[attack]) if step and attack in known else None

    def step(self, raw: Any, path: document.Path) -> StepEntry | None:
        """Read one step: a plugin's name, or a mapping of it to its parameters."""
        given = {raw: None} if isinstance(raw, str) else raw
        if not isinstance(given, dict) or len(given) != 1:
            self.report(path, f"got {raw!r}", "NAME or {NAME: {parameter: value}}")
            return None
        [(name, parameters)] = given.items()
        if not isinstance(parameters, dict | None):
            self.report((*path, name), f"got {parameters!r}", "a mapping of parameters")
            return None
        kinds = [k for k in STEPS if any(offer.name == name for offer in registry.offers(k))]
        if len(kinds) != 1:
            self.report_step(name, kinds, path)
            return None
        plugin = self.plugin(kinds[0], name, parameters or {}, (*path, name))
        position = path[-1] + 1 if isinstance(path[-1], int) else 1
        if not isinstance(plugin, VariantStep):
            return None
        return StepEntry(name, name, plugin, kinds[0], position)

    def report_step(self, name: str, kinds: Sequence[str], path: document.Path) -> None:
        """Note that no plugin has a step's name, or that plugins of two kinds have it."""
        if kinds:
            self.report(path, f"'{name}' is offered as {' and as '.join(kinds)}", "one plugin")
            return
        known = [offer.name for kind in STEPS for offer in registry.offers(kind)]
        self.report(path, f"'{name}' is no installed step", "a plugin", nearest(name, known))
