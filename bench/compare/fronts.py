"""Pareto fronts: the models that no other dominates. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.audit import Basis
from bench.compare.models import Comparison
from bench.compare.selection import Selection, select
from bench.metrics.constraints import Figure


@dataclass(frozen=True)
class Front:
    """Models by several figures.

    Attributes:
        figures: one for each that was asked for, in that order.
        is_on_front: of each model that has all figures, whether no other is at least as good in
            every one and better in one, by the measured values, whatever their intervals.
        left_out: of each other model, which figure it lacks, and why.

    """

    figures: Sequence[Selection]
    is_on_front: Mapping[str, bool]
    left_out: Mapping[str, str]

    def basis(self, model: str) -> tuple[Basis, ...]:
        """Return what the place of a model rests on."""
        return tuple(selection.basis(model) for selection in self.figures)


def front(comparison: Comparison, *asked: Figure, models: Sequence[str] | None = None) -> Front:
    """Find the models that no other dominates.

    Args:
        comparison: of the models.
        asked: figures of which less, or more, is better.
        models: among whom; all, if None.

    """
    figures = [select(comparison, figure) for figure in asked]
    among = comparison.models if models is None else models
    left_out: dict[str, str] = {}
    for selection in figures:
        for model in among:
            if model in selection.missing:
                left_out.setdefault(model, selection.missing[model])
    values = {
        model: [s.values[model] * (-1 if s.metric.better == "higher" else 1) for s in figures]
        for model in among
        if model not in left_out
    }
    return Front(figures, undominated(values), left_out)


def undominated(figures: Mapping[str, Sequence[float]]) -> dict[str, bool]:
    """Return of each whether no other is at least as good in every figure and better in one.

    Args:
        figures: as many for each; of all, less is better.

    """
    return {
        name: not any(
            all(a <= b for a, b in zip(other, mine, strict=True)) and list(other) != list(mine)
            for other in figures.values()
        )
        for name, mine in figures.items()
    }
