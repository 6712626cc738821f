"""What a suite states of a step: the name of its plugin, alone or with the plugin's parameters."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, PlainValidator
from pydantic.json_schema import WithJsonSchema

from bench import registry
from bench.api import Reduction
from bench.errors import nearest
from bench.suite.entries import StepEntry
from bench.suite.names import AttackName
from bench.suite.problems import Mistakes, alone, mistake
from bench.suite.sections import Section
from bench.suite.written import configured

STEPS = ("compressors", "defenses")
"""The kinds of plugin that the steps of a variant are."""


def step(given: Any, position: int = 1) -> StepEntry:
    """Read one step of a variant: a plugin's name, or a mapping from it to its parameters.

    Raises:
        ValidationError: with all that is wrong.

    """
    entry = {given: None} if isinstance(given, str) else given
    if not isinstance(entry, dict) or len(entry) != 1:
        raise alone(f"got {given!r}", "NAME or {NAME: {parameter: value}}")
    [(name, parameters)] = entry.items()
    mistakes = Mistakes()
    kinds = [kind for kind in STEPS if any(o.name == name for o in registry.offers(kind))]
    if not isinstance(parameters, dict | None):
        mistakes.note((name,), f"got {parameters!r}", "a mapping of parameters")
    elif not kinds:
        known = [offer.name for kind in STEPS for offer in registry.offers(kind)]
        mistakes.note((), f"'{name}' is no installed step", "a plugin", nearest(name, known))
    elif len(kinds) > 1:
        mistakes.note((), f"'{name}' is offered as {' and as '.join(kinds)}", "one plugin")
    mistakes.raise_any()
    with mistakes.noted(name):
        plugin = configured(kinds[0], name, parameters or {})
    mistakes.raise_any()
    return StepEntry(name, name, plugin, kinds[0], position)


def _of_one_layer(given: Any) -> StepEntry:
    """Read a step that can be kept to one layer."""
    found = step(given)
    plugin = found.plugin
    if not isinstance(plugin, Reduction) or "layers" not in type(plugin).model_fields:
        raise mistake(f"'{found.name}' has no layers:", "a compressor that can be kept to one")
    if plugin.images_wanted:
        raise mistake(f"'{found.name}' looks at images", "a compressor that needs none")
    return found


class WrittenSensitivity(Section):
    """A reduction to keep to one layer at a time, and the attack that meets each network."""

    step: Annotated[StepEntry, PlainValidator(_of_one_layer), WithJsonSchema({})] = Field(
        description="a compressor that has layers:, as {magnitude: {sparsity: 0.5}}"
    )
    attack: AttackName = Field(description="one of the suite's attacks, by its full name")
