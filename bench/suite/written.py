"""What a suite states of each plugin that it names: the suite's own keys, in one place.

An entry's other keys are the plugin's parameters, which the plugin's class validates within the
entry's validation. The JSON Schema and the reference of suites are made from these classes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Self, TypeAlias

from pydantic import (
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic.json_schema import SkipJsonSchema

from bench import registry
from bench.api import Attack, Plugin
from bench.api.recipes import PRESETS, Recipe
from bench.errors import BenchError
from bench.records import JSON, Budget, Norm
from bench.suite.entries import AttackEntry, ModelEntry
from bench.suite.names import AttackName, VariantName
from bench.suite.problems import Mistakes, alone, mistake, validate
from bench.suite.sections import Replication, Section, as_number

_PARAMETERS = "(parameters)"
"""The keys that are not the suite's own; no key of a document is called so."""


def configured(
    kind: str, name: str, parameters: Mapping[str, Any], also: Iterable[str] = ()
) -> Any:
    """Load and configure a plugin; ``also`` are keys that are allowed beside its parameters.

    Raises:
        ValidationError: where there is none, it is broken, or its parameters are wrong.

    """
    mistakes = Mistakes()
    try:
        plugin_class = registry.load(kind, name)
    except BenchError as error:
        for each in error.problems:
            mistakes.note((), f"{each.where} {each.what}", each.expected, each.action)
        mistakes.raise_any()
        raise
    return validate(plugin_class, dict(parameters), also=also)


def _hidden(alias: str) -> Any:
    """Return a field that no document has: it is filled in from the entry as a whole."""
    return Field(alias=alias)


class Written(Section):
    """One entry: the plugin that it names, and whatever the suite itself states of it.

    A subclass ends with ``configured``: what becomes of the keys that are not its own.
    """

    kind: ClassVar[str]

    name: SkipJsonSchema[str] = _hidden("(name)")
    plugin: str = Field(description="the plugin, where the entry's key is not its name")

    @classmethod
    def own(cls) -> dict[str, FieldInfo]:
        """Return the keys that are the suite's, not the plugin's."""
        return {k: field for k, field in cls.model_fields.items() if field.alias is None}

    @classmethod
    def read(cls, name: str, given: Any, context: object) -> Self:
        """Read the entry of a name; without ``plugin`` that is the plugin's, too.

        Raises:
            ValidationError: with all that is wrong.

        """
        if not isinstance(given, dict | None):
            raise alone(f"got {given!r}", "a mapping of parameters")
        entry = {"plugin": name, **(given or {})}
        parameters = {key: entry.pop(key) for key in [*entry] if key not in cls.own()}
        return validate(cls, {**entry, "(name)": name, _PARAMETERS: parameters}, context)

    @field_validator("plugin", mode="before")
    @classmethod
    def _names_a_plugin(cls, given: Any) -> Any:
        if not isinstance(given, str):
            raise mistake(f"got {given!r}", "the name of a plugin")
        return given

    @field_validator("configured", mode="plain", check_fields=False)
    @classmethod
    def _configure(cls, given: dict[str, Any], info: ValidationInfo) -> Any:
        if "plugin" not in info.data:
            return None
        return configured(cls.kind, info.data["plugin"], given, also=cls.own())


class WrittenDataset(Written):
    """The dataset: its plugin's name, or a mapping with ``plugin:`` and its parameters."""

    kind: ClassVar[str] = "datasets"

    plugin: str = Field(description="the dataset's name")
    configured: SkipJsonSchema[Any] = _hidden(_PARAMETERS)


class WrittenExplainer(Written):
    """An explainer."""

    kind: ClassVar[str] = "explainers"

    configured: SkipJsonSchema[Any] = _hidden(_PARAMETERS)


class WrittenModel(Written, Replication):
    """A model: where its weights come from, how often it is trained, in which variants it is run.

    Its weights come from one of ``train:``, ``weights:`` (a file) and a pretrained plugin.
    """

    kind: ClassVar[str] = "models"

    train: Recipe | None = Field(
        None, description="the recipe that trains it: a preset's name, or a mapping"
    )
    variants: Annotated[tuple[VariantName, ...], Field(min_length=1)] | None = Field(
        None, description="those of the suite that it is run in; unset: all of them"
    )
    configured: SkipJsonSchema[Any] = _hidden(_PARAMETERS)

    @model_validator(mode="after")
    def _is_trained_as_often_as_it_can_be(self) -> Self:
        mistakes = Mistakes()
        if self.train is None:
            for key in self.model_fields_set & {*Replication.model_fields}:
                mistakes.note((key,), "has nothing to repeat", "a model with train:")
        elif self.seeds is not None and _states_seed(self.train):
            mistakes.note(("seeds",), "is given beside train.seed", "one of the two")
        plugin = self.configured
        sources = [self.train is not None, plugin.weights is not None, plugin.has_pretrained]
        if sum(sources) != 1:
            mistakes.note(
                (),
                "has no weights" if not any(sources) else "has weights from two places",
                "one of train: (a recipe), weights: (a file) or a pretrained plugin",
            )
        mistakes.raise_any()
        return self

    @property
    def entry(self) -> ModelEntry:
        """The model."""
        replication = Replication(seeds=self.seeds, folds=self.folds)
        return ModelEntry(
            self.name, self.plugin, self.configured, self.train, replication, self.variants
        )


def _states_seed(recipe: Recipe) -> bool:
    """Return whether a recipe has a seed of its own, besides its preset's."""
    usual = PRESETS[recipe.preset].get("seed") if recipe.preset is not None else None
    return recipe.seed not in (None, usual)


def _is_an_index(given: Any) -> Any:
    if given is not None and (not isinstance(given, int) or isinstance(given, bool)):
        raise mistake(f"got {given!r}", "the index of a class")
    return given


_Target: TypeAlias = Annotated[int | None, BeforeValidator(_is_an_index), Field(ge=0)]
_TARGET = "the index of the class that the attack aims at; unset: untargeted"


class WrittenAttack(Written):
    """An attack; with a grid, one for each of its points, named as ``fgsm@eps=0.1``."""

    kind: ClassVar[str] = "attacks"

    target: _Target = Field(None, description=_TARGET)
    grid: dict[str, list[Any]] | None = Field(
        None, description="parameters, each with a list of values: every combination is an attack"
    )
    budget: Budget | None = Field(
        None,
        description="in which an image counts, of an attack that promises no budget of its own",
    )
    configured: SkipJsonSchema[Any] = _hidden(_PARAMETERS)

    @field_validator("grid", mode="before")
    @classmethod
    def _has_values(cls, given: Any) -> Any:
        if given is None:
            return None
        if (
            not isinstance(given, dict)
            or not given
            or not all(isinstance(values, list) and values for values in given.values())
        ):
            raise mistake(f"got {given!r}", "a mapping from parameters to lists that are not empty")
        return {key: [as_number(value) for value in given[key]] for key in given}

    @field_validator("configured", mode="plain", check_fields=False)
    @classmethod
    def _configure(cls, given: dict[str, Any], info: ValidationInfo) -> Any:
        """Configure each point of the grid, by its name."""
        grid: dict[str, list[Any]] = info.data.get("grid") or {}
        if "plugin" not in info.data:
            return {}
        mistakes = Mistakes()
        for key in grid.keys() & given.keys():
            mistakes.note((key,), "is fixed here and varied by the grid", "one of the two")
        points: dict[str, Plugin | None] = {}
        for values in itertools.product(*grid.values()):
            point = dict(zip(grid, values, strict=True))
            name = _named(info.data["name"], point)
            if name in points:
                mistakes.note(("grid",), f"gives '{name}' twice", "values that differ")
            points[name] = None
            with mistakes.noted(moved=dict.fromkeys(point, "grid")):
                parameters = {**given, **point}
                points[name] = configured(cls.kind, info.data["plugin"], parameters, also=cls.own())
        mistakes.raise_any()
        return points

    @model_validator(mode="after")
    def _asks_what_the_plugin_can(self) -> Self:
        mistakes = Mistakes()
        for plugin in self.configured.values():
            with mistakes.noted("target"):
                check_targetable(plugin, self.plugin, self.target)
            if self.budget is not None and plugin.budget is not None:
                mistakes.note(
                    ("budget",),
                    f"the attack promises its own: {plugin.budget}",
                    "a budget only for attacks that promise none",
                    "take it out",
                )
        mistakes.raise_any()
        return self

    def entries(self, budgets: Mapping[Norm, Budget]) -> Iterator[AttackEntry]:
        """Yield the attacks; one that promises no budget has the entry's, or its norm's of some."""
        for name, plugin in self.configured.items():
            budget = plugin.budget or self.budget or budgets.get(plugin.norm)
            yield AttackEntry(name, self.plugin, plugin, self.name, self.target, budget)


class WrittenCascade(Section):
    """Attacks in a row, cheapest first, each on the images that remain correct."""

    cascade: Annotated[list[AttackName], Field(min_length=2)] = Field(
        description="attacks of this suite by their full names"
    )
    target: _Target = Field(None, description=_TARGET)


def check_targetable(plugin: Attack, name: str, target: int | None) -> None:
    """Refuse a target that an attack does not honour."""
    if target is not None and not plugin.targetable:
        raise mistake(
            f"'{name}' does not honour targets",
            "an attack that is targetable",
            f"see 'bench describe {name}'",
        )


def _named(group: str, point: Mapping[str, JSON]) -> str:
    words = ",".join(
        f"{key}={f'{value:.6g}' if isinstance(value, float) else value}"
        for key, value in point.items()
    )
    return f"{group}@{words}" if point else group
