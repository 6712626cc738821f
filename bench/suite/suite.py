"""A whole suite: its sections and entries, validated together.

The result is frozen and holds configured plugins. This room does not know where a suite was
written, nor what will be done with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Annotated, Any, TypeVar

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    PlainValidator,
    PrivateAttr,
    ValidationInfo,
    field_validator,
)
from pydantic.json_schema import SkipJsonSchema, WithJsonSchema

from bench.records import Budget
from bench.suite import attacks, variants
from bench.suite.document import Document
from bench.suite.entries import (
    AttackEntry,
    DatasetEntry,
    ExplainerEntry,
    ModelEntry,
    Sensitivity,
    VariantEntry,
)
from bench.suite.names import AttackGroup, Names, Word, is_a_word
from bench.suite.problems import Mistakes, mistake, validate
from bench.suite.sections import (
    Auditing,
    Choice,
    Extent,
    Gallery,
    Images,
    Profile,
    Section,
    Settings,
    TableSpec,
    Transfer,
)
from bench.suite.steps import WrittenSensitivity
from bench.suite.written import WrittenDataset, WrittenExplainer, WrittenModel

_NAME = "^[A-Za-z0-9][A-Za-z0-9_.-]*$"
_NAME_OR_ENTRY = WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object"}]})
_ENTRIES = WithJsonSchema({"type": "object"})

_Entry = TypeVar("_Entry")


def _entries(
    given: Any, read: Callable[[dict[str, Any]], tuple[_Entry, ...]]
) -> tuple[_Entry, ...]:
    """Read a section of entries by their names; names that are no words are noted too."""
    if not isinstance(given, dict):
        raise mistake(f"got {given!r}", "a mapping from names to entries")
    mistakes = Mistakes()
    for name in given:
        with mistakes.noted(name):
            is_a_word(name)
    found: tuple[_Entry, ...] = ()
    with mistakes.noted():
        found = read(given)
    mistakes.raise_any()
    return found


def _each(given: Mapping[str, Any], read: Callable[[str, Any], _Entry]) -> tuple[_Entry, ...]:
    """Read entries that need nothing of each other."""
    mistakes = Mistakes()
    found = []
    for name, entry in given.items():
        with mistakes.noted(name):
            found.append(read(name, entry))
    mistakes.raise_any()
    return tuple(found)


def _names(info: ValidationInfo) -> Names:
    if not isinstance(info.context, Names):
        raise TypeError("a suite is validated with the names that it gives")
    return info.context


def _dataset(given: Any) -> DatasetEntry:
    entry = {"plugin": given} if isinstance(given, str) else given
    if not isinstance(entry, dict):
        raise mistake(f"got {given!r}", "NAME or {plugin: NAME}")
    if "plugin" not in entry:
        raise mistake("names no plugin", "dataset: NAME or dataset: {plugin: NAME}")
    found = WrittenDataset.read("", entry, None)
    return DatasetEntry(found.plugin, found.plugin, found.configured)


def _models(given: Any, info: ValidationInfo) -> tuple[ModelEntry, ...]:
    if given == {}:
        raise mistake("got {}", "one model at least")

    def model(name: str, entry: Any) -> ModelEntry:
        return WrittenModel.read(name, entry, info.context).entry

    return _entries(given, partial(_each, read=model))


def _variants(given: Any, info: ValidationInfo) -> tuple[VariantEntry, ...]:
    return _entries(given, partial(variants.read, names=_names(info)))


def _attacks(given: Any, info: ValidationInfo) -> tuple[AttackEntry, ...]:
    budgets = info.data.get("budget", ())
    return _entries(given, partial(attacks.read, names=_names(info), budgets=budgets))


def _explainers(given: Any, info: ValidationInfo) -> tuple[ExplainerEntry, ...]:
    def explainer(name: str, entry: Any) -> ExplainerEntry:
        found = WrittenExplainer.read(name, entry, info.context)
        return ExplainerEntry(name, found.plugin, found.configured)

    found = _entries(given, partial(_each, read=explainer))
    names = _names(info)
    names.cells["explain"] = [{"explainer": each.name} for each in found]
    names.parameters |= {name for each in found for name in each.plugin.parameters()}
    return found


def _sensitivity(given: Any, info: ValidationInfo) -> Sensitivity | None:
    if given is None:
        return None
    found = validate(WrittenSensitivity, given, info.context)
    known = {entry.name: entry for entry in info.data.get("attacks", ())}
    if found.attack not in known:
        return None  # an attack that could not be read is reported at its own entry
    mistakes = Mistakes()
    if known[found.attack].plugin.minimum_norm:
        mistakes.note(
            ("attack",),
            f"'{found.attack}' looks for the nearest image, however far: it fools any network",
            "an attack within a ball",
        )
    mistakes.raise_any()
    _names(info).parameters |= {*found.step.plugin.parameters()}
    return Sensitivity(found.step, known[found.attack])


def _budgets(given: Any) -> Any:
    if not isinstance(given, dict | list):
        raise mistake(f"got {given!r}", "{norm: l2, eps: 0.5}, or a list of such")
    return [given] if isinstance(given, dict) else given


class Suite(Section):
    """A suite: what is measured, on what, and how it is shown."""

    model_config = ConfigDict(populate_by_name=False, arbitrary_types_allowed=True)

    name: str = Field(
        alias="suite",
        description="its name: letters, digits, '_', '-' and '.'",
        json_schema_extra={"pattern": _NAME},
    )
    description: str = Field("", description="what it is for")
    seed: int = Field(0, ge=0, lt=2**63, description="of all that draws random numbers")
    dataset: Annotated[DatasetEntry, PlainValidator(_dataset), _NAME_OR_ENTRY] = Field(
        description="labelled images: a plugin's name, or a mapping with plugin: and its parameters"
    )
    images: Images = Field(Images(), description="what attacks and explainers work on")
    models: Annotated[tuple[ModelEntry, ...], PlainValidator(_models), _ENTRIES] = Field(
        description="by their names; without plugin: that is the plugin's too"
    )
    variants: Annotated[tuple[VariantEntry, ...], PlainValidator(_variants), _ENTRIES] = Field(
        default_factory=dict,
        validate_default=True,
        description="each a list of steps, as [{jpeg: {quality: 75}}]; 'original' has none",
    )
    budget: Annotated[tuple[Budget, ...], BeforeValidator(_budgets)] = Field(
        (), description="for attacks that promise none, as those of minimum norm: one for each norm"
    )
    attacks: Annotated[tuple[AttackEntry, ...], PlainValidator(_attacks), _ENTRIES] = Field(
        default_factory=dict, validate_default=True, description="by their names, like models"
    )
    transfer: Transfer | None = Field(
        None, description="adversarial images of one model, judged on others"
    )
    explainers: Annotated[tuple[ExplainerEntry, ...], PlainValidator(_explainers), _ENTRIES] = (
        Field(
            default_factory=dict, validate_default=True, description="by their names, like models"
        )
    )
    examples: int = Field(
        0, ge=0, le=1000, description="images of each attack that are written out, to look at"
    )
    explain_attacks: tuple[AttackGroup, ...] = Field(
        (), description="attacks whose images are explained too: by name, or by key of a grid"
    )
    explain_variants: bool = Field(
        default=False, description="compare each variant's explanations with the original's"
    )
    gallery: Gallery = Field(Gallery(), description="images that explanations are shown of")
    profile: Profile | None = Field(None, description="measure size, work and time")
    sensitivity: Annotated[Sensitivity | None, PlainValidator(_sensitivity), _ENTRIES] = Field(
        None, description="reduce one layer at a time"
    )
    recommend: dict[Word, Choice] = Field(
        default_factory=dict, description="recommendations by their names"
    )
    tables: dict[Word, TableSpec] = Field(default_factory=dict, description="by their names")
    audit: Extent | Auditing = Field(
        "cheap",
        description="cheap, full, off, or a mapping: how many images its probes and its reference "
        "take",
    )
    run: Settings = Field(Settings(), description="how it is run")
    document: SkipJsonSchema[InstanceOf[Document]] = Field(alias="(document)", repr=False)
    _unselected: tuple[AttackEntry, ...] = PrivateAttr(())

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, name: str) -> str:
        if not re.fullmatch(_NAME, name):
            raise mistake(f"got '{name}'", "letters, digits, '_', '-' and '.'")
        return name

    @field_validator("budget")
    @classmethod
    def _one_for_each_norm(cls, budgets: tuple[Budget, ...]) -> tuple[Budget, ...]:
        mistakes = Mistakes()
        for place, budget in enumerate(budgets):
            if budget.norm in [earlier.norm for earlier in budgets[:place]]:
                mistakes.note((place,), f"'{budget.norm}' has two budgets", "one for each norm")
        mistakes.raise_any()
        return budgets

    @property
    def auditing(self) -> Auditing:
        """How much the audit runs of its own."""
        return self.audit if isinstance(self.audit, Auditing) else Auditing(extent=self.audit)

    def selected_variants(self, model: ModelEntry) -> tuple[VariantEntry, ...]:
        """Return the variants of a model that this run is for."""
        return tuple(
            variant
            for variant in self.variants
            if (self.run.variants == "all" or variant.name in self.run.variants)
            and (model.variants is None or variant.name in model.variants)
        )

    def with_attacks(self, names: Collection[str]) -> Suite:
        """Return the same suite with some of its attacks, by their names or their grids'."""
        chosen = tuple(each for each in self.attacks if {each.name, each.group} & {*names})
        made = self.model_copy(update={"attacks": chosen})
        left = tuple(each for each in self.attacks if each not in chosen)
        made._unselected = left  # noqa: SLF001 (of its own class)
        return made

    @property
    def unselected(self) -> tuple[AttackEntry, ...]:
        """The attacks that the suite has and this run leaves out."""
        return self._unselected

    @property
    def selected(self) -> tuple[ModelEntry, ...]:
        """The models that this run is for."""
        if self.run.models == "all":
            return self.models
        return tuple(model for model in self.models if model.name in self.run.models)


def validated(document: Document, names: Names) -> Suite:
    """Validate a document as a suite.

    Raises:
        ValidationError: with all that is wrong.

    """
    return validate(Suite, {**document.data, "(document)": document}, names)
