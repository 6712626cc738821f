"""The attacks of a cascade: how many images each ran on, and how many it fooled. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench import metrics
from bench.matrix import Entry, Matrix


@dataclass(frozen=True)
class Stage:
    """One attack of a cascade, on the images that no attack before it fooled.

    Attributes:
        attack: its name.
        images: how many it ran on.
        fooled: how many of them it fooled.
        forwards, backwards: passes for each of its images.
        seconds: for all of them.

    """

    attack: str
    images: int
    fooled: int
    forwards: float
    backwards: float
    seconds: float


def stages(matrix: Matrix, entry: Entry) -> list[Stage]:
    """Return the attacks of a done cascade, in order; none for a cell with one attack."""
    found: Any = matrix.stored(entry).summary.get("stages") or {}
    if not found:
        return []
    tried = [int(stage["images"]) for stage in found.values()]
    left = [*tried[1:], _correct(matrix, entry)]
    return [
        Stage(
            name,
            images,
            images - after,
            stage["forwards"] / images,
            stage["backwards"] / images,
            stage["seconds"],
        )
        for (name, stage), images, after in zip(found.items(), tried, left, strict=True)
    ]


def _correct(matrix: Matrix, entry: Entry) -> int:
    """Count the eligible images that no attack of a cascade fooled."""
    records: Any = matrix.records(entry)
    targeted = entry.facts["targeted"]
    counted = metrics.eligible(records) if targeted else metrics.right_before(records)
    return int((counted & ~metrics.fooled(records)).sum())
