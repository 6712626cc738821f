"""The names that sections of a suite mention, and whether they exist.

A name is a type: a field that mentions a model has it, and is checked against the suite that it
belongs to. Read alone, as from the account of a run, it is any text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, ValidationInfo

from bench.errors import nearest
from bench.metrics import METRICS
from bench.records import AXES, JSON, ORIGINAL
from bench.suite.problems import mistake

_WORD = r"[A-Za-z0-9][A-Za-z0-9_.,=@%+-]*"
"""A name of a model, attack or table: no slash and no blank, which part labels and paths."""

FACTS = (
    "averaged",
    "batch",
    "budget",
    "cascade",
    "caveats",
    "control",
    "defense",
    "detector",
    "eps",
    "gradient_samples",
    "gradients",
    "group",
    "iterations",
    "met_by",
    "minimum_norm",
    "norm",
    "plugin",
    "radius_parameter",
    "randomised",
    "recipe",
    "single_step",
    "sparsity_at_least",
    "sparsity_target",
    "split",
    "step",
    "step_size",
    "step_size_parameter",
    "steps_parameter",
    "target",
    "targeted",
    "threads",
    "traceable",
    "training_images",
    "training_seed",
    "weights",
)
"""The facts that cells declare, besides the parameters of plugins."""

DIMENSIONS = ("kind", *AXES, *FACTS)
"""What tables can be laid out by, besides the parameters of plugins."""


@dataclass
class Names:
    """What the sections of one suite may mention, as far as they have been read.

    ``attacks`` maps each attack that could be read to its group; ``written`` are the keys of all,
    so that a mistake in one is not reported again where it is mentioned. ``parameters`` are those
    of plugins that cells declare; ``cells`` holds, by their kind, the facts in which they differ on
    one model.
    """

    models: frozenset[str]
    variants: frozenset[str]
    has_variants: bool
    written: frozenset[str]
    attacks: dict[str, str] = field(default_factory=dict)
    parameters: set[str] = field(default_factory=set)
    cells: dict[str, list[dict[str, JSON]]] = field(default_factory=dict)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Names:
        """Collect the names that plain values give."""
        models, variants, attacks = (
            frozenset(data[section]) if isinstance(data.get(section), dict) else frozenset[str]()
            for section in ("models", "variants", "attacks")
        )
        kinds = variants or frozenset({ORIGINAL})
        return cls(models, kinds, bool(variants), attacks)

    @property
    def places(self) -> set[str]:
        """Names of models, of variants, and of both as ``model/variant``."""
        if not self.has_variants:
            return {*self.models}
        both = {f"{model}/{variant}" for model in self.models for variant in self.variants}
        return {*self.models, *self.variants, *both}

    @property
    def groups(self) -> set[str]:
        """The names of attacks, and of the grids that they were expanded from."""
        return {*self.attacks, *self.attacks.values(), *self.written}

    @property
    def points(self) -> set[str]:
        """The names of attacks; of a grid, those of its points."""
        grids = {group for group in self.attacks.values() if group not in self.attacks}
        return {*self.attacks} | (self.written - grids)

    @property
    def dimensions(self) -> set[str]:
        """What tables can be laid out by."""
        return {*DIMENSIONS, *self.parameters}


def names_of(info: ValidationInfo) -> Names | None:
    """Return the names of the suite that a value is validated with; None where there is none."""
    return info.context if isinstance(info.context, Names) else None


def check(name: str, known: Iterable[str], complaint: str, expected: str = "") -> None:
    """Refuse a name that is not known.

    Raises:
        PydanticCustomError: with the nearest ones.

    """
    if name not in {*known}:
        raise mistake(f"'{name}' {complaint}", expected, nearest(name, known))


def _mentions(
    known: Callable[[Names], Iterable[str]], complaint: str, expected: str = ""
) -> AfterValidator:
    def checked(name: str, info: ValidationInfo) -> str:
        names = names_of(info)
        if names is not None:
            check(name, known(names), complaint, expected)
        return name

    return AfterValidator(checked)


def is_a_word(name: str) -> str:
    """Refuse a name that would part labels and paths.

    Raises:
        PydanticCustomError: with what names may hold.

    """
    if not re.fullmatch(_WORD, name):
        raise mistake(
            f"has the name {name!r}", "letters, digits and any of _ . , = @ % + -", "rename it"
        )
    return name


Word: TypeAlias = Annotated[str, AfterValidator(is_a_word)]
ModelName: TypeAlias = Annotated[str, _mentions(lambda n: n.models, "is no model of this suite")]
VariantName: TypeAlias = Annotated[
    str, _mentions(lambda n: n.variants, "is no variant of this suite")
]
PlaceName: TypeAlias = Annotated[str, _mentions(lambda n: n.places, "is no model of this suite")]
AttackName: TypeAlias = Annotated[
    str,
    _mentions(
        lambda n: n.points,
        "is no attack of this suite",
        "an attack's full name: of a grid, one of its points",
    ),
]
AttackGroup: TypeAlias = Annotated[str, _mentions(lambda n: n.groups, "is no attack of this suite")]
MetricName: TypeAlias = Annotated[str, _mentions(lambda _: METRICS, "is no metric")]
Dimension: TypeAlias = Annotated[str, _mentions(lambda n: n.dimensions, "is no dimension")]
Axis: TypeAlias = Annotated[str, _mentions(lambda n: {*n.dimensions, "metric"}, "is no dimension")]
