"""A figure that a suite asks for by name: its cells and its estimate, for every model.

A figure that could mean one of several cells is refused; one that is withheld or missing has a
reason instead of an estimate. No torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bench.compare.models import Comparison
from bench.errors import UsageError, nearest
from bench.matrix import Entry
from bench.metrics import METRICS, Metric, Withheld, constraints
from bench.metrics.constraints import Figure
from bench.statistics import Estimate


@dataclass(frozen=True)
class Selection:
    """One figure of each model.

    Attributes:
        figure: with the batch that was taken, where the suite names none.
        metric: what it is.
        cells: of each model, one for each replica; without models that have none.
        estimates: of each model that has it.
        missing: of each other model, why it has none.

    """

    figure: Figure
    metric: Metric
    cells: Mapping[str, Sequence[Entry]]
    estimates: Mapping[str, Estimate]
    missing: Mapping[str, str]

    @property
    def values(self) -> dict[str, float]:
        """The figure itself, of each model that has it."""
        return {m: e.value for m, e in self.estimates.items() if e.value is not None}


def select(comparison: Comparison, asked: Figure) -> Selection:
    """Find the cells of a figure, and compute it for each model.

    Raises:
        UsageError: for an unknown metric.

    """
    if asked.metric not in METRICS:
        known = nearest(asked.metric, METRICS)
        raise UsageError.of("recommend", f"'{asked.metric}' is no metric", "", known)
    metric = METRICS[asked.metric]
    found = {model: _cells(comparison, asked, metric, model) for model in comparison.models}
    asked = _with_batch(asked, found)
    cells = {
        model: tuple(_of_one_budget(metric, [e for e in entries if asked.picks(e.value)]))
        for model, entries in found.items()
    }
    estimates: dict[str, Estimate] = {}
    missing: dict[str, str] = {}
    for model, entries in cells.items():
        found_one = _estimate(comparison, asked, metric, entries)
        if isinstance(found_one, Estimate):
            estimates[model] = found_one
        else:
            missing[model] = found_one
    return Selection(asked, metric, {m: e for m, e in cells.items() if e}, estimates, missing)


def _cells(comparison: Comparison, asked: Figure, metric: Metric, model: str) -> list[Entry]:
    """Return the cells that a figure picks, of the first kind that has any."""
    for kind in metric.kinds:
        found = [e for e in comparison.entries(kind, model) if asked.picks(e.value)]
        if found:
            return found
    return []


def _with_batch(asked: Figure, found: Mapping[str, Sequence[Entry]]) -> Figure:
    """Add the smallest batch, in whatever order they were timed, to a figure that names none."""
    batches = [
        int(str(entry.facts["batch"]))
        for entries in found.values()
        for entry in entries
        if entry.kind == "latency"
    ]
    if not batches or any(name == "batch" for name, _ in asked.where):
        return asked
    return replace(asked, where=(*asked.where, ("batch", str(min(batches)))))


def _of_one_budget(metric: Metric, entries: Sequence[Entry]) -> Iterator[Entry]:
    """Leave out what has the same worst case: all attacks of one budget do."""
    known = set()
    for entry in entries:
        place = (entry.coordinates.replica, entry.budget) if metric.worst_case else entry.label
        if place not in known:
            known.add(place)
            yield entry


def _estimate(
    comparison: Comparison, asked: Figure, metric: Metric, entries: Sequence[Entry]
) -> Estimate | str:
    """Compute the figure of one model, or return the reason that it has none."""
    if not entries:
        return f"has no {asked}"
    for replica in dict.fromkeys(entry.coordinates.replica for entry in entries):
        cells = [e.value for e in entries if e.coordinates.replica == replica]
        words = constraints.missing(asked, cells, worst_case=metric.worst_case)
        if words:
            return f"{asked} may mean several cells: add {words}"
    found = comparison.estimate(entries, metric)
    if isinstance(found, Withheld):
        is_done = all(entry.state == "done" for entry in entries)
        return (
            f"{asked} is withheld: {found.reason}" if is_done else f"has no {asked}: {found.reason}"
        )
    return found if found.value is not None else f"{asked} is undefined: no image counts"
