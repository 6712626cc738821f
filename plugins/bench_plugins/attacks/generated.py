"""Makes a plugin of each row of the table of attacks.

This room knows what a row can say, and keeps it. It does not know any attack by name, nor how
torchattacks is called.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, create_model

from bench.api import Attack, padded
from bench.records import JSON, NORMS, Norm
from bench.tensors import Images, Labels
from bench_plugins.attacks.torchattacks import Precision, Want, run

if TYPE_CHECKING:
    from torch import Generator, Tensor
    from torch.nn import Module


def installed(version: str) -> bool:
    """Say whether torchattacks is at least this version, without importing it."""
    return _numbers(_version()) >= _numbers(version)


@cache
def _version() -> str:
    """Return the version of torchattacks that is here: looking it up takes milliseconds."""
    return metadata.version("torchattacks")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


@dataclass(frozen=True)
class Need:
    """What data must be like for an attack to run: in words, and checked."""

    requirement: str
    is_met: Callable[[Any, int, tuple[int, int, int]], bool]
    """Given the attack, the number of classes and (channel, height, width)."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of an attack.

    Attributes:
        kind: its type; what pydantic takes.
        default: where none is given; None where it follows another parameter.
        description: what it is, and its unit.
        bounds: what pydantic's ``Field`` takes: ``ge``, ``gt``, ``le``, ``lt``.
        follows: the parameter that its default is a multiple of.
        ratio: that multiple.
        least: what the multiple never falls below.
        name: what torchattacks calls it; None where we do too.
        given: from our value to torchattacks'.

    """

    kind: Any
    default: Any
    description: str
    bounds: Mapping[str, Any] = field(default_factory=dict)
    follows: str | None = None
    ratio: float = 1.0
    least: float = 0.0
    name: str | None = None
    given: Callable[[Any], Any] | None = None

    @property
    def definition(self) -> tuple[Any, Any]:
        """What pydantic makes a field of."""
        return self.kind, Field(self.default, description=self.description, **self.bounds)

    def value(self, attack: Attack, name: str) -> Any:
        """Return the value that an attack uses."""
        value = getattr(attack, name)
        if value is None and self.follows is not None:
            return max(self.ratio * getattr(attack, self.follows), self.least)
        return value


PRECISION = Parameter(
    Precision,
    "fp32",
    "of the classifier's passes; bf16 may be quicker, and its gradients are coarser",
)


class Wrapped(Attack):
    """An attack of torchattacks; its class variables are the facts of its row.

    Class variables:
        class_name: of its class in torchattacks.
        since: the oldest version of torchattacks in which it works.
        table: its parameters by name.
        fixed: what torchattacks is given besides, always.
        withheld: parameters of torchattacks that it does not offer, and why.
        refusal: why targets are refused, where torchattacks would take them.
        batch: how many images torchattacks is given at a time, always; None: all that come.
        wants: what the adapter must give it, besides parameters.
        needs: what data must be like.
        faults: checks of the contract that it fails, and why; ``check:l2`` where only in that norm.
    """

    wraps: ClassVar[str | None] = "torchattacks"
    class_name: ClassVar[str]
    since: ClassVar[str] = "3.3.0"
    table: ClassVar[Mapping[str, Parameter]] = {}
    fixed: ClassVar[Mapping[str, Any]] = {}
    withheld: ClassVar[Mapping[str, str]] = {}
    caveats: ClassVar[tuple[str, ...]] = ()
    refusal: ClassVar[str | None] = None
    batch: ClassVar[int | None] = None
    wants: ClassVar[tuple[Want, ...]] = ()
    needs: ClassVar[tuple[Need, ...]] = ()
    faults: ClassVar[Mapping[str, str]] = {}

    def parameters(self) -> dict[str, JSON]:
        """Return the parameters as they are used; without a precision that changes nothing."""
        found = super().parameters()
        followers = {name: p.value(self, name) for name, p in self.table.items() if p.follows}
        if found.get("precision") == PRECISION.default:
            del found["precision"]
        return {**found, **followers}

    @property
    def gradient_samples(self) -> int:
        """Over how many gradients each step averages, as torchattacks calls it."""
        return int(getattr(self, "eot_iter", 1))

    def perturb(
        self,
        classifier: Module,
        images: Images,
        labels: Labels,
        *,
        targets: Labels | None = None,
        generator: Generator,
    ) -> Images:
        """Return what torchattacks makes of the images, in batches of the size that it is given.

        The last one is filled up with copies of its last image.
        """
        import torch

        if self.batch is None:
            return self._attacked(classifier, images, labels, targets, generator)
        done = []
        for start in range(0, len(images), self.batch):
            part = slice(start, start + self.batch)
            count = len(images[part])
            with padded(classifier, self.batch - count):
                adversarial_images = self._attacked(
                    classifier,
                    self._filled(images[part]),
                    self._filled(labels[part]),
                    None if targets is None else self._filled(targets[part]),
                    generator,
                )
            done.append(adversarial_images[:count])
        return torch.cat(done) if done else images.clone()

    def _attacked(
        self,
        classifier: Module,
        images: Images,
        labels: Labels,
        targets: Labels | None,
        generator: Generator,
    ) -> Images:
        return run(
            self.class_name,
            classifier,
            images,
            labels,
            targets=targets,
            generator=generator,
            wants=self.wants,
            **self._arguments(),
        )

    def _arguments(self) -> dict[str, Any]:
        """Return what torchattacks is given, by its own names."""
        given = {}
        for name, parameter in self.table.items():
            value = parameter.value(self, name)
            given[parameter.name or name] = (
                value if parameter.given is None else parameter.given(value)
            )
        return {**given, **self.fixed}

    def _filled(self, part: Tensor) -> Tensor:
        """Repeat the last entry until there are as many as a batch holds."""
        missing = (self.batch or 0) - len(part)
        return part if missing <= 0 else part[[*range(len(part)), *[-1] * missing]]

    def unsuited(self, *, classes: int, image_shape: tuple[int, int, int]) -> str | None:
        """Say which need the data, or the installed torchattacks, does not meet."""
        if not installed(self.since):
            return f"it needs torchattacks {self.since}, {_version()} is here"
        unmet = [
            need.requirement for need in self.needs if not need.is_met(self, classes, image_shape)
        ]
        return f"it needs {' and '.join(unmet)}" if unmet else None


def _parted(
    faults: Mapping[str, str],
) -> tuple[tuple[str, ...], dict[Norm, tuple[str, ...]]]:
    """Part the faults of every norm from those of one, each sentence once."""
    everywhere: dict[str, None] = {}
    in_norm: dict[Norm, tuple[str, ...]] = {}
    for check, sentence in faults.items():
        found = [norm for norm in NORMS if norm == check.partition(":")[2]]
        if not found:
            everywhere[sentence] = None
        for norm in found:
            in_norm[norm] = tuple(dict.fromkeys((*in_norm.get(norm, ()), sentence)))
    return tuple(everywhere), in_norm


def wrapped(
    class_name: str,
    *,
    doc: str,
    parameters: Mapping[str, Parameter],
    gradients: bool = True,
    passes: Callable[[Any], int] | None = None,
    caveats: tuple[str, ...] = (),
    caveats_in: Mapping[Norm, tuple[str, ...]] = MappingProxyType({}),
    **facts: Any,
) -> type[Wrapped]:
    """Make a plugin of a row of the table.

    Args:
        class_name: of the attack's class in torchattacks.
        doc: the plugin's docstring.
        parameters: by name, in the order in which they are listed.
        gradients: whether it follows them; then their ``precision`` is a parameter too.
        passes: from the attack to how many an image costs; ``steps`` where not given.
        caveats: known faults that concern results and fail no check of the contract.
        caveats_in: those of one norm only.
        facts: class variables of :class:`Wrapped` and of :class:`bench.api.Attack`.

    """
    table = {**parameters, "precision": PRECISION} if gradients else parameters
    definitions: dict[str, Any] = {name: p.definition for name, p in table.items()}
    plugin = create_model(
        class_name, __base__=Wrapped, __module__=_TABLE, __doc__=doc, **definitions
    )
    if passes is not None:
        facts["passes"] = property(passes)
    facts["batch_invariant"] = facts.get("batch") is not None
    everywhere, in_norm = _parted(facts.get("faults", {}))
    facts["caveats"] = (*everywhere, *caveats)
    facts["caveats_in"] = {
        norm: (*in_norm.get(norm, ()), *caveats_in.get(norm, ()))
        for norm in (*in_norm, *caveats_in)
    }
    for name, fact in {**facts, "class_name": class_name, "table": table}.items():
        if name not in Wrapped.__class_vars__ | {"passes"}:
            raise TypeError(f"{class_name}: a row has no '{name}'")
        setattr(plugin, name, fact)
    return plugin


_TABLE = "bench_plugins.attacks.table"
"""The room whose assignments name the plugins, so that they can be pickled."""
