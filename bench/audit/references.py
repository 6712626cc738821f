"""What the reference made of each budget: counts, for pages. No torch, and no finding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.matrix import Matrix
from bench.records import Budget


@dataclass(frozen=True)
class Reference:
    """What is known of a model variant within one budget.

    Attributes:
        place: the model variant.
        budget: the ball.
        n: images that were right before.
        left: those that the run's own attacks left correct.
        tried: those that the reference attacked.
        fooled: those that it fooled.
        methods: how many each of its attacks fooled, in the order in which they came.
        forwards, backwards: passes of each image that it tried at any budget of the norm.

    """

    place: str
    budget: Budget
    n: int
    left: int
    tried: int
    fooled: int
    methods: Mapping[str, int]
    forwards: float
    backwards: float


def references(matrix: Matrix) -> list[Reference]:
    """Return what the finished references of a run counted, by model variant and budget."""
    found = []
    for entry in matrix.probes:
        records = matrix.records(entry) if _is_finished(entry) else None
        if records is None:
            continue
        summary, norm = matrix.stored(entry).summary, entry.facts["norm"]
        right = records[records["clean_prediction"] == records["label"]]
        ran = [str(each["method"]) for each in _listed(summary["attempts"])]
        for eps, rows in right.groupby("eps"):
            counts = rows["method"].value_counts()
            found.append(
                Reference(
                    entry.coordinates.model_variant,
                    Budget(_norm(norm), float(str(eps))),
                    len(rows),
                    int(rows["left"].sum()),
                    int(rows["tried"].sum()),
                    int(rows["method"].notna().sum()),
                    {name: int(counts[name]) for name in dict.fromkeys(ran) if name in counts},
                    float(str(summary["forwards"])),
                    float(str(summary["backwards"])),
                )
            )
    return found


def _is_finished(entry: Any) -> bool:
    return bool(entry.state == "done" and entry.facts.get("probe") == "reference")


def _norm(value: Any) -> Any:
    return value


def _listed(value: Any) -> list[Mapping[str, Any]]:
    return list(value)
