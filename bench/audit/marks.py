"""Findings and marks travel: what is derived from figures carries what those carry.

Whatever is derived says which figures it rests on; one function collects their findings and marks.
It knows no derived figure in particular.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bench.audit.findings import Audit, Finding
from bench.matrix import Entry, Matrix
from bench.metrics import METRICS, Metric


@dataclass(frozen=True)
class Basis:
    """A figure that something rests on: its cells, one for each training, and its metric."""

    entries: tuple[Entry, ...]
    metric: Metric


def travelling(audited: Audit, matrix: Matrix, basis: Iterable[Basis]) -> tuple[Finding, ...]:
    """Return the findings and marks of all figures that something rests on, each once."""
    found = [
        each
        for figure in basis
        for part in _parts(matrix, figure)
        for each in audited.on(part.entries, part.metric)
    ]
    return tuple(each for each in audited.carried if each in found)


def _parts(matrix: Matrix, figure: Basis) -> Iterator[Basis]:
    """Return a figure, and those that it is computed from.

    One weak attack leaves a worst case as it is; what is in doubt with the attack that decides is
    in doubt with the worst case, as is what names the worst case of its own budget. That of a
    smaller budget is another figure, though its images count. What is compared with an original
    rests on the original's.
    """
    yield figure
    if figure.metric.worst_case:
        worst = [(entry, matrix.worst(entry)) for entry in figure.entries]
        at_budget = tuple(
            other
            for entry, each in worst
            for other in each.counted
            if other.facts.get("budget") == entry.facts.get("budget")
        )
        yield Basis(at_budget, figure.metric)
        deciding = tuple(each.decides for _, each in worst if each.decides is not None)
        for metric in METRICS.values():
            if metric.is_robustness and not metric.worst_case:
                yield Basis(deciding, metric)
    if figure.metric.beside_original:
        originals = (matrix.original(entry) for entry in figure.entries)
        yield Basis(tuple(entry for entry in originals if entry is not None), figure.metric)
