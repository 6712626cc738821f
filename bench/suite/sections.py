"""The sections of a suite file that name no plugin: their keys, types, ranges and defaults."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from bench.suite import choices, document
from bench.suite.names import (
    AttackGroup,
    Axis,
    Dimension,
    MetricName,
    ModelName,
    PlaceName,
    VariantName,
    names_of,
)
from bench.suite.problems import Mistakes, check_numbers, mistake

_DEVICE = r"^(auto|cpu|cuda(:\d+)?)$"


class Section(BaseModel):
    """A part of a suite: frozen, and without keys that nobody has."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _numbers_are_numbers(cls, given: Any) -> Any:
        mistakes = Mistakes()
        check_numbers(cls, given, mistakes)
        mistakes.raise_any()
        return given


class Images(Section):
    """Which images attacks work on; fewer than ``count`` if there are fewer."""

    splits: tuple[str, ...] = Field(
        ("test",), alias="from", min_length=1, description="splits of the dataset"
    )
    count: int | None = Field(100, ge=1, description="drawn by the suite's seed; null: all")

    @field_validator("splits")
    @classmethod
    def _each_once(cls, splits: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(splits)) < len(splits):
            raise ValueError("names a split twice: its images would count twice")
        return splits


class Settings(Section):
    """How a suite is run; what changes results is part of identities."""

    models: Annotated[tuple[ModelName, ...], Field(min_length=1)] | Literal["all"] = Field(
        "all", description="run by default"
    )
    variants: Annotated[tuple[VariantName, ...], Field(min_length=1)] | Literal["all"] = Field(
        "all", description="run by default"
    )
    device: str = Field(
        "auto", description="auto, cpu, cuda or cuda:N", json_schema_extra={"pattern": _DEVICE}
    )
    batch_size: int = Field(50, ge=1, description="images that attacks and verdicts take at a time")
    memory_format: Literal["channels_last", "contiguous"] = Field(
        "channels_last", description="layout of images in memory; results differ in last digits"
    )
    threads: int | None = Field(None, ge=1, description="of torch; null: the machine's cores")
    from_scratch: bool = Field(
        default=False, description="train all that has a recipe, whatever checkpoints are shipped"
    )

    @field_validator("device")
    @classmethod
    def _is_a_device(cls, device: str) -> str:
        if not re.fullmatch(_DEVICE, device):
            raise mistake(f"got '{device}'", "auto, cpu, cuda or cuda:N")
        return device


class Replication(Section):
    """How often a model is trained: once for each seed and each fold held out."""

    seeds: tuple[Annotated[int, Field(ge=0, lt=2**63)], ...] | None = Field(
        None, description="one training each; unset: the recipe's or the suite's seed"
    )
    folds: int | None = Field(
        None,
        ge=2,
        le=1000,
        description="cross-validation: 'train' is cut into so many parts, and each is judged by "
        "a training on the others",
    )

    @field_validator("seeds")
    @classmethod
    def _each_once(cls, seeds: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if seeds is not None and len(set(seeds)) < len(seeds):
            raise ValueError("names a seed twice: two equal trainings are one")
        if seeds is not None and not seeds:
            raise ValueError("names no seed: give one or more, or leave it out")
        return seeds


class Profile(Section):
    """How models are measured: size, work, time."""

    batches: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (1, 16), description="batch sizes whose latency is measured"
    )
    warmup: int = Field(10, ge=1, description="runs before the clock starts")
    runs: int = Field(100, ge=100, description="runs on the clock")


class Gallery(Section):
    """The images whose explanations are shown: of each class some correct, some misclassified."""

    right: int = Field(1, ge=0, description="of each class, classified correctly")
    wrong: int = Field(1, ge=0, description="of each class, misclassified, if there are any")


class Choice(Section):
    """A recommendation: which model is best on one figure among those that keep the constraints."""

    best: str = Field(
        "clean_accuracy", description="the metric to choose by, as 'robust_accuracy@attack=pgd'"
    )
    where: tuple[str, ...] = Field((), description="constraints, as 'latency_ms <= 20'")

    @field_validator("best")
    @classmethod
    def _ranks(cls, text: str, info: ValidationInfo) -> str:
        names = names_of(info)
        if names is not None:
            choices.check_best(text, names)
        return text

    @field_validator("where")
    @classmethod
    def _bounds(cls, texts: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        names = names_of(info)
        mistakes = Mistakes()
        for place, text in enumerate(texts):
            with mistakes.noted(place):
                if names is not None:
                    choices.check_bound(text, names)
        mistakes.raise_any()
        return texts


class Transfer(Section):
    """Sources and targets of transfer: by model, variant, or both (model/variant)."""

    source: tuple[PlaceName, ...] | Literal["all"] = Field(
        "all", alias="from", description="the models that the images are made on"
    )
    to: tuple[PlaceName, ...] | Literal["all"] = Field(
        "all", description="the models that they are judged on"
    )
    attacks: tuple[AttackGroup, ...] | Literal["all"] = Field(
        "all", description="whose images: by name, or by key of a grid"
    )


Extent: TypeAlias = Literal["cheap", "full", "off"]
"""How many images the audit's probes take: at most 32, all, none."""


class Auditing(Section):
    """How much the audit runs of its own: probes, and a reference that is a strong attack."""

    extent: Extent = Field(
        "cheap", description="images that probes take: cheap, at most 32; full, all; off, none"
    )
    reference_images: int = Field(
        200,
        ge=1,
        description="images that the reference attacks at each budget, at most, of those that the "
        "run's own attacks leave correct; full: all",
    )


def as_number(value: Any) -> Any:
    """Return the value of the text of a fraction; any other value unchanged."""
    number = document.fraction(value)
    return value if number is None else number


class TableSpec(Section):
    """One table: a metric, or several, over rows and columns."""

    metric: MetricName | Annotated[tuple[MetricName, ...], Field(min_length=1)] = Field(
        description="of several, the dimension 'metric' is the last of the columns, unless named"
    )
    rows: tuple[Axis, ...] | None = Field(
        None, description="by default what the metric's cells have: attack, explainer, model"
    )
    columns: tuple[Axis, ...] | None = Field(
        None, description="by default the models that are judged"
    )
    where: dict[Dimension, Annotated[str | int | float | bool, AfterValidator(as_number)]] = Field(
        default_factory=dict, description="which cells count: the value of each dimension"
    )
    intervals: bool = Field(default=False, description="write the 95 % intervals out")
    title: str = Field("", description="left out: its key")
