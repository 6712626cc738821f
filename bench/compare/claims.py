"""Common claims about attacks, transfer and pruning: what each compares, and what it counts.

A claim pairs cells that differ in one property. Whether it holds is not decided here. No torch.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from bench.audit.evidence import Evidence
from bench.compare.pairs import Property, difference, lost
from bench.matrix import Entry
from bench.metrics import METRICS, Withheld
from bench.records import ORIGINAL

if TYPE_CHECKING:
    from pandas import Series

_SPARSE = 0.05
"""A variant with a larger share of zeros is pruned."""

Pair: TypeAlias = tuple[Entry, Entry]
Pairing: TypeAlias = "Callable[[Evidence], Iterator[Pair]]"
Outcome: TypeAlias = "Callable[[Evidence, Entry], Series[bool]]"


@dataclass(frozen=True)
class Claim:
    """That one side's share of images is larger than the other's.

    Attributes:
        name: what is claimed, in a few words.
        sides: what the two sides are called, first the one that is claimed to be ahead.
        compared: a sentence: which cells are paired.
        counted: a sentence: of which images which share.
        pairs: the cells that are compared, the first side's first; those without a result too.
        outcome: of a cell, for each image that counts, whether it is one of the share.

    """

    name: str
    sides: tuple[str, str]
    compared: str
    counted: str
    pairs: Pairing
    outcome: Outcome


# What is paired


def _ordered(
    evidence: Evidence, kind: str, prop: Property, *, targeted: bool | None = False
) -> Iterator[Pair]:
    """Pair the cells of a kind that differ in one property, each pair in both orders."""
    cells = [
        entry
        for entry in evidence.matrix.entries
        if entry.kind == kind and (targeted is None or entry.value("targeted") is targeted)
    ]
    for one, other in itertools.combinations(cells, 2):
        if difference(one, other) == prop:
            yield one, other
            yield other, one


def _iterative_first(evidence: Evidence) -> Iterator[Pair]:
    """Pair what takes several steps of a declared size with what takes a single one.

    Both spend the same budget along the gradient: no control is among them, and no attack that
    queries or searches.
    """
    for one, other in _ordered(evidence, "attack", "plugin"):
        if _is_iterative(one) and other.value("single_step"):
            yield one, other


def _is_iterative(entry: Entry) -> bool:
    steps = entry.value("iterations")
    takes_several = isinstance(steps, int) and steps > 1 and entry.value("step_size") is not None
    return takes_several and not entry.value("control")


def _untargeted_first(kind: str) -> Pairing:
    def pairs(evidence: Evidence) -> Iterator[Pair]:
        for one, other in _ordered(evidence, kind, "targeted", targeted=None):
            if one.value("targeted") is False:
                yield one, other

    return pairs


def _smaller_first(evidence: Evidence) -> Iterator[Pair]:
    sizes = _sizes(evidence)
    for one, other in _ordered(evidence, "attack", "model"):
        if _is_larger(sizes, other.coordinates.model, one.coordinates.model):
            yield one, other


def _from_larger_first(evidence: Evidence) -> Iterator[Pair]:
    sizes = _sizes(evidence)
    for one, other in _ordered(evidence, "transfer", "direction"):
        if _is_larger(sizes, other.coordinates.model, one.coordinates.model):
            yield one, other  # whose target is the smaller has the larger as its source


def _larger_eps_first(evidence: Evidence) -> Iterator[Pair]:
    """Pair each eps with the next smaller one of the same grid."""
    found = list(_ordered(evidence, "transfer", "eps"))
    for one, other in found:
        low, high = _eps(other), _eps(one)
        between = any(first is one and low < _eps(second) < high for first, second in found)
        if low < high and not between:
            yield one, other


def _half_first(evidence: Evidence) -> Iterator[Pair]:
    """Pair the variants of one training whose sparsity is 50 and 20 %."""
    sparsity = _profiled(evidence, "sparsity")
    cells = [entry for entry in evidence.matrix.entries if entry.kind == "evaluate"]
    for one, other in itertools.permutations(cells, 2):
        here, there = one.coordinates, other.coordinates
        shares = [round(sparsity.get(place.model_variant, 0.0), 2) for place in (here, there)]
        is_pair = replace(here, variant=there.variant) == there and shares == [0.5, 0.2]
        if is_pair and len({_steps(evidence, e.coordinates.variant) for e in (one, other)}) == 1:
            yield one, other


def _steps(evidence: Evidence, variant: str) -> tuple[str, ...]:
    """Return the names of a variant's steps, as the suite has them."""
    steps = evidence.matrix.run["variants"].get(variant, [])
    return tuple(str(step["step"]) for step in steps)


def _pruned_first(evidence: Evidence) -> Iterator[Pair]:
    """Pair the same attack on a sparse variant and on the original that it was made of."""
    sparsity = _profiled(evidence, "sparsity")
    cells = [e for e in evidence.matrix.entries if e.kind == "attack" and not e.value("targeted")]
    originals = {e.coordinates: e for e in cells if e.coordinates.variant == ORIGINAL}
    for entry in cells:
        other = originals.get(replace(entry.coordinates, variant=ORIGINAL))
        if other is not None and sparsity.get(entry.coordinates.model_variant, 0.0) > _SPARSE:
            yield entry, other


def _to_pruned_first(evidence: Evidence) -> Iterator[Pair]:
    """Pair the same images on a sparse variant of their source, and on another model."""
    sparsity = _profiled(evidence, "sparsity")
    cells = [e for e in evidence.matrix.entries if e.kind == "transfer" and not e.value("targeted")]
    for one, other in itertools.permutations(cells, 2):
        here, there = one.coordinates, other.coordinates
        if (
            (here.source, here.attack, here.replica) == (there.source, there.attack, there.replica)
            and here.source == f"{here.model}/{ORIGINAL}"
            and sparsity.get(here.model_variant, 0.0) > _SPARSE
            and there.model != here.model
            and there.variant == ORIGINAL
        ):
            yield one, other


def _sizes(evidence: Evidence) -> dict[str, float]:
    """Return how many parameters models have, as far as the run has measured it."""
    return _profiled(evidence, "parameters")


def _profiled(evidence: Evidence, name: str) -> dict[str, float]:
    """Return a counted figure of each model variant, as far as the run has it."""
    known = {}
    for entry in evidence.done("profile"):
        found = evidence.matrix.estimate([entry], METRICS[name])
        if not isinstance(found, Withheld) and found.value is not None:
            known[entry.coordinates.model_variant] = found.value
    return known


def _is_larger(sizes: Mapping[str, float], model: str, other: str) -> bool:
    return model in sizes and other in sizes and sizes[model] > sizes[other]


def _eps(entry: Entry) -> float:
    return float(str(entry.value("eps")))


# What is counted


def _fooled(evidence: Evidence, entry: Entry) -> Series[bool]:
    return evidence.fooled(entry)


def _lost(evidence: Evidence, entry: Entry) -> Series[bool]:
    return lost(evidence.records(entry))


def _right(evidence: Evidence, entry: Entry) -> Series[bool]:
    records = evidence.records(entry)
    return records["prediction"] == records["label"]


_SUCCESS = "Of the images that count for both sides' success rates, those that the attack fools."
_LOST = (
    "Of the images that the target has right without an attack (for both sides), those that it "
    "misclassifies under it, as any class, whether or not the source was fooled."
)

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "Several steps beat a single one",
        ("several steps", "a single step"),
        "Untargeted, on the same training of a model, at the same eps in the same norm: an attack "
        "that takes several steps of a declared size, and one that takes a single step along the "
        "gradient.",
        _SUCCESS,
        _iterative_first,
        _fooled,
    ),
    Claim(
        "Targeted attacks are harder than untargeted ones",
        ("untargeted", "targeted"),
        "The same attack on the same training of a model, at the same eps; targets are pooled.",
        _SUCCESS,
        _untargeted_first("attack"),
        _fooled,
    ),
    Claim(
        "The larger model is more robust",
        ("attacks on the smaller", "on the larger"),
        "The same untargeted attack at the same eps, on either model trained from the same seed.",
        _SUCCESS,
        _smaller_first,
        _fooled,
    ),
    Claim(
        "Untargeted attacks transfer better than targeted ones",
        ("untargeted", "targeted"),
        "The same attack from the same source to the same target, at the same eps; targets are "
        "pooled.",
        _LOST,
        _untargeted_first("transfer"),
        _lost,
    ),
    Claim(
        "The larger model's examples transfer better",
        ("from the larger", "from the smaller"),
        "The same untargeted attack at the same eps, from the larger model to the smaller, and "
        "from the smaller to the larger. The two differ in their targets, too: a target "
        "that is easy to fool makes the other model's examples look good.",
        _LOST,
        _from_larger_first,
        _lost,
    ),
    Claim(
        "A larger eps transfers better",
        ("larger eps", "next smaller eps"),
        "The same untargeted attack from the same source to the same target, at an eps and at the "
        "next smaller one.",
        _LOST,
        _larger_eps_first,
        _lost,
    ),
)
"""Of attacks and transfer."""

PRUNING: tuple[Claim, ...] = (
    Claim(
        "50 % sparsity beats 20 %",
        ("50 %", "20 %"),
        "Two variants of the same training of a model, pruned and fine-tuned alike.",
        "Of all images, those that are right before any attack.",
        _half_first,
        _right,
    ),
    Claim(
        "Pruning makes attacks easier",
        ("on the pruned variant", "on the original"),
        "The same untargeted attack at the same eps, on a pruned variant and on the original that "
        "it was made of.",
        _SUCCESS,
        _pruned_first,
        _fooled,
    ),
    Claim(
        "Examples transfer to pruned variants better than to another network",
        ("to pruned variants", "to the other network"),
        "The same images of the same untargeted attack on the original, judged on its pruned "
        "variants, and on the original of the other network.",
        _LOST,
        _to_pruned_first,
        _lost,
    ),
)
"""Of pruned variants."""
