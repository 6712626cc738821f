"""The sections of a suite file: their keys, types, ranges and defaults.

Entries of ``models`` and ``attacks`` are left open here: their keys are the plugins' parameters.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator

from bench.records import Norm

DIMENSIONS = (
    "kind",
    "model",
    "variant",
    "attack",
    "source",
    "group",
    "plugin",
    "norm",
    "targeted",
    "target",
    "split",
    "weights",
    "replica",
    "explainer",
    "recipe",
    "batch",
    "threads",
    "budget",
)
"""What tables can be laid out by, besides the parameters of attacks."""

_ENTRY = r"[A-Za-z0-9][A-Za-z0-9_.,=@%+-]*"
"""A name of a model, attack or table: no slash and no blank, which part labels and paths."""

_DEVICE = r"^(auto|cpu|cuda(:\d+)?)$"

_NAME = "^[A-Za-z0-9][A-Za-z0-9_.-]*$"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Images(_Section):
    """Which images attacks work on; fewer than ``count`` if there are fewer."""

    splits: tuple[str, ...] = Field(("test",), alias="from", min_length=1)
    count: int | None = Field(100, ge=1, description="drawn by the suite's seed; null: all")

    @field_validator("splits")
    @classmethod
    def _each_once(cls, splits: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(splits)) < len(splits):
            raise ValueError("names a split twice: its images would count twice")
        return splits


class Ball(_Section):
    """The ball in which images of attacks that promise none count as successes."""

    norm: Norm
    eps: float = Field(gt=0, description="radius; pixels of [0, 1], for l0 a number of pixels")


class Settings(_Section):
    """How a suite is run; what changes results is part of identities."""

    models: Annotated[tuple[str, ...], Field(min_length=1)] | Literal["all"] = Field(
        "all", description="run by default"
    )
    variants: Annotated[tuple[str, ...], Field(min_length=1)] | Literal["all"] = Field(
        "all", description="run by default"
    )
    device: str = Field(
        "auto", description="auto, cpu, cuda or cuda:N", json_schema_extra={"pattern": _DEVICE}
    )
    batch_size: int = Field(50, ge=1, description="images that attacks and verdicts take at a time")
    memory_format: Literal["channels_last", "contiguous"] = "channels_last"
    threads: int | None = Field(None, ge=1, description="of torch; null: the machine's cores")
    from_scratch: bool = Field(
        default=False, description="train all that has a recipe, whatever checkpoints are shipped"
    )

    @field_validator("device")
    @classmethod
    def _is_a_device(cls, device: str) -> str:
        if not re.fullmatch(_DEVICE, device):
            raise ValueError(f"got '{device}', expected auto, cpu, cuda or cuda:N")
        return device


class Replication(_Section):
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


class VariantSelection(_Section):
    """How much of the suite a model is run in."""

    variants: Annotated[tuple[str, ...], Field(min_length=1)] | None = Field(
        None, description="of the suite's; unset: all of them"
    )


class Profile(_Section):
    """How models are measured: size, work, time."""

    batches: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (1, 16), description="batch sizes whose latency is measured"
    )
    warmup: int = Field(10, ge=1, description="runs before the clock starts")
    runs: int = Field(100, ge=100, description="runs on the clock")


class Sensitivity(_Section):
    """A reduction to keep to one layer at a time, and the attack that meets each network."""

    step: str | dict[str, dict[str, Any] | None] = Field(
        description="a compressor that has layers:, as {magnitude: {sparsity: 0.5}}"
    )
    attack: str = Field(description="one of the suite's attacks, by its full name")


class Gallery(_Section):
    """Which images explanations are shown of: of each class some right and some wrong."""

    right: int = Field(1, ge=0, description="of each class, predicted right")
    wrong: int = Field(1, ge=0, description="of each class, predicted wrong, if there are any")


class Choice(_Section):
    """A recommendation: which model is best on one figure among those that keep the constraints."""

    best: str = Field(
        "clean_accuracy", description="the metric to choose by, as 'robust_accuracy@attack=pgd'"
    )
    where: tuple[str, ...] = Field((), description="constraints, as 'latency_ms <= 20'")


class Transfer(_Section):
    """Whose adversarial images are judged on whom: by model, variant, or both (model/variant)."""

    source: tuple[str, ...] | Literal["all"] = Field("all", alias="from")
    to: tuple[str, ...] | Literal["all"] = "all"
    attacks: tuple[str, ...] | Literal["all"] = Field(
        "all", description="whose images: by name, or by key of a grid"
    )


Extent: TypeAlias = Literal["cheap", "full", "off"]
"""How many images the audit's probes take: at most 32, all, none."""


class TableSpec(_Section):
    """One table: a metric, or several, over rows and columns."""

    metric: str | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description="of several, the dimension 'metric' is the last of the columns, unless named"
    )
    rows: tuple[str, ...] | None = Field(
        None, description="by default what the metric's cells have: attack, explainer, model"
    )
    columns: tuple[str, ...] | None = Field(None, description="by default who is judged")
    where: dict[str, str | int | float | bool] = Field(default_factory=dict)
    intervals: bool = False
    title: str = ""


class Layout(_Section):
    """The top level of a suite file."""

    suite: str = Field(
        description="its name: letters, digits, '_', '-' and '.'",
        json_schema_extra={"pattern": _NAME},
    )
    description: str = ""
    seed: int = Field(0, ge=0, lt=2**63)
    dataset: str | dict[str, Any]
    images: Images = Images()
    models: dict[str, dict[str, Any] | None] = Field(min_length=1)
    variants: dict[str, list[str | dict[str, dict[str, Any] | None]]] = Field(
        default_factory=dict,
        description="each a list of steps, as [{jpeg: {quality: 75}}]; 'original' has none",
    )
    attacks: dict[str, dict[str, Any] | None] = Field(default_factory=dict)
    budget: Ball | tuple[Ball, ...] = Field(
        (), description="for attacks that promise none, as those of minimum norm: one for each norm"
    )
    transfer: Transfer | None = None
    explainers: dict[str, dict[str, Any] | None] = Field(default_factory=dict)
    examples: int = Field(
        0, ge=0, le=1000, description="images of each attack that are written out, to look at"
    )
    explain_attacks: tuple[str, ...] = Field(
        (), description="attacks whose images are explained too: by name, or by key of a grid"
    )
    explain_variants: bool = Field(
        default=False, description="compare each variant's explanations with the original's"
    )
    gallery: Gallery = Gallery()
    profile: Profile | None = None
    sensitivity: Sensitivity | None = None
    recommend: dict[str, Choice] = Field(default_factory=dict)
    tables: dict[str, TableSpec] = Field(default_factory=dict)
    audit: Extent = Field(
        "cheap", description="images that probes take: cheap, at most 32; full, all; off, none"
    )
    run: Settings = Settings()

    @field_validator("models", "variants", "attacks", "explainers", "recommend", "tables")
    @classmethod
    def _names_are_words(cls, entries: dict[str, Any]) -> dict[str, Any]:
        strange = [name for name in entries if not re.fullmatch(_ENTRY, name)]
        if strange:
            told = ", ".join(repr(name) for name in strange)
            raise ValueError(
                f"has the name {told}, expected letters, digits and any of _ . , = @ % + -"
            )
        return entries

    @field_validator("suite")
    @classmethod
    def _names_a_folder(cls, name: str) -> str:
        if not re.fullmatch(_NAME, name):
            raise ValueError(f"got '{name}', expected letters, digits, '_', '-' and '.'")
        return name
