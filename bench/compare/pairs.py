"""Pairs of cells that differ in one property alone, which explains a difference between them.

This room reads nothing, and tests nothing. No torch.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from bench import metrics
from bench.matrix import Entry

if TYPE_CHECKING:
    from pandas import DataFrame, Series

Property: TypeAlias = Literal["targeted", "eps", "plugin", "direction", "model"]
"""Target or none, radius, attack; which model made the images and which judges them; the model."""

_KEPT = {"targeted": ("alpha", "steps"), "eps": ("group",), "plugin": ("norm", "target")}
"""Facts of attacks that must be the same, so that the property is all that two differ in."""


def difference(one: Entry, other: Entry) -> Property | None:
    """Name the one property in which two cells differ; None where it is none or several.

    Those of a model have one replica. An attack of several steps is another plugin than one of a
    single step, so their steps may differ.
    """
    here, there = one.coordinates, other.coordinates
    if here.replica != there.replica:
        return None
    if here.attack == there.attack:
        swapped = f"{there.model}/{there.variant}" == here.source
        back = f"{here.model}/{here.variant}" == there.source
        if swapped and back:
            return "direction"
        return "model" if here != there and replace(here, model=there.model) == there else None
    if replace(here, attack=None) != replace(there, attack=None):
        return None
    found: list[Property] = ["targeted", "eps", "plugin"]
    apart = [name for name in found if one.value(name) != other.value(name)]
    if len(apart) != 1 or any(one.value(n) != other.value(n) for n in _KEPT[apart[0]]):
        return None
    return apart[0]


def lost(records: DataFrame) -> Series[bool]:
    """Return for each eligible image whether it is misclassified after the attack, as any class.

    Args:
        records: of an attack or a transfer; images without a verdict are left out.

    """
    counted = records[metrics.eligible(records) & records["violation"].isna()]
    return (~metrics.right_after(counted)).set_axis(counted["image"])
