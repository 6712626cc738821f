"""A figure that a suite asks for by name: its cells and its estimate, for every model.

A figure that could mean one of several cells is refused, and so is one that would rest on other
attacks for other models, or on a control; one that is withheld or missing has a reason instead of
an estimate. No torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bench.audit import Basis
from bench.compare.models import Comparison
from bench.errors import UsageError, nearest
from bench.matrix import Entry
from bench.metrics import METRICS, Metric, Withheld, constraints
from bench.metrics.constraints import Figure
from bench.metrics.deciding import called
from bench.records import write_name
from bench.statistics import Estimate
from bench.suite.choices import is_control, meant

DISTURBED = "timings disturbed"
"""What is said of timings during which other processes used the machine."""

_COMMON = ("attack", "explainer")
"""The dimensions in which the cells of all models must agree, or else others are compared."""


@dataclass(frozen=True)
class Selection:
    """One figure of each model.

    Attributes:
        figure: with the batch or budget that was taken, where the suite names none.
        metric: what it is.
        cells: of each model, one for each replica; without models that have none.
        estimates: of each model that has it.
        missing: of each other model, why it has none.
        notes: of a model, what must be said of its figure: the attack that decides a worst case,
            or that timings were disturbed.

    """

    figure: Figure
    metric: Metric
    cells: Mapping[str, Sequence[Entry]]
    estimates: Mapping[str, Estimate]
    missing: Mapping[str, str]
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, float]:
        """The figure itself, of each model that has it."""
        return {m: e.value for m, e in self.estimates.items() if e.value is not None}

    def basis(self, model: str) -> Basis:
        """Return what the figure of a model rests on."""
        return Basis(tuple(self.cells.get(model, ())), self.metric)

    @property
    def attack(self) -> str | None:
        """The attack that models are judged by; None for a worst case, and without one."""
        if self.metric.worst_case:
            return None
        found = [str(e.value("attack")) for cells in self.cells.values() for e in cells]
        return write_name(found[0]) if found and found[0] != "None" else None

    @property
    def budget(self) -> str | None:
        """The budget of the attacks that models are judged by, as it was written."""
        found = [e.budget for cells in self.cells.values() for e in cells if e.budget is not None]
        return _budget(str(found[0])) if found else None


def select(comparison: Comparison, asked: Figure) -> Selection:
    """Find the cells of a figure, and compute it for each model.

    Raises:
        UsageError: for an unknown metric.

    """
    if asked.metric not in METRICS:
        known = nearest(asked.metric, METRICS)
        raise UsageError.of("recommend", f"'{asked.metric}' is no metric", "", known)
    found = _cells(comparison, asked, METRICS[asked.metric])
    asked = _with_batch(meant(asked, [e.value for cells in found.values() for e in cells]), found)
    metric = METRICS[asked.metric]
    asked = _with_budget(asked, found) if metric.worst_case else asked
    cells = {
        model: _of_one_figure(metric, [e for e in entries if asked.picks(e.value)])
        for model, entries in found.items()
    }
    missing = _refused(comparison, asked, metric, cells)
    estimates: dict[str, Estimate] = {}
    for model in (model for model in cells if model not in missing):
        found_one = _estimate(comparison, asked, metric, cells[model])
        if isinstance(found_one, Estimate):
            estimates[model] = found_one
        else:
            missing[model] = found_one
    missing = {model: missing[model] for model in cells if model in missing}
    kept = {m: tuple(e for e in found if not is_control(e.value)) for m, found in cells.items()}
    notes = {model: _note(comparison, metric, kept[model]) for model in estimates}
    return Selection(
        asked,
        metric,
        {model: found for model, found in kept.items() if found},
        estimates,
        missing,
        {model: words for model, words in notes.items() if words},
    )


def _cells(comparison: Comparison, asked: Figure, metric: Metric) -> dict[str, list[Entry]]:
    """Return the cells of each model, of the first kind of which a figure picks any."""
    for kind in metric.kinds:
        found = {
            model: [e for e in comparison.entries(kind, model) if asked.picks(e.value)]
            for model in comparison.models
        }
        if any(found.values()):
            return found
    return {model: [] for model in comparison.models}


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


def _with_budget(asked: Figure, found: Mapping[str, Sequence[Entry]]) -> Figure:
    """Add the budget, where there is one only, to a worst case that names none."""
    every = [e for cells in found.values() for e in cells if not is_control(e.value)]
    budgets = {str(e.budget) for e in every if e.budget is not None}
    if len(budgets) != 1 or any(name == "budget" for name, _ in asked.where):
        return asked
    return replace(asked, where=(*asked.where, ("budget", _budget(budgets.pop()))))


def _budget(text: str) -> str:
    """Write a budget as it was written."""
    return write_name(f"budget={text}").removeprefix("budget=")


def _of_one_figure(metric: Metric, entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Leave out what has the same worst case: all attacks of one budget do."""
    known: dict[object, Entry] = {}
    for entry in entries:
        place = (entry.coordinates.replica, entry.budget) if metric.worst_case else entry.label
        if place not in known or is_control(known[place].value):
            known[place] = entry
    return tuple(known.values())


def _refused(
    comparison: Comparison, asked: Figure, metric: Metric, cells: Mapping[str, Sequence[Entry]]
) -> dict[str, str]:
    """Say why models have no figure: it means several cells, other attacks, or a control."""
    reasons: dict[str, str] = {}
    every = [e for found in cells.values() for e in found if not is_control(e.value)]
    common = "" if metric.worst_case else constraints.missing(asked, _common(every))
    attacks = _attacks(comparison, cells) if metric.worst_case else {}
    for model, entries in cells.items():
        kept = [entry for entry in entries if not is_control(entry.value)]
        if not kept:
            name = called(entries[0]) if entries else ""
            reasons[model] = f"{asked} rests on {name}, a control" if entries else f"has no {asked}"
            continue
        for replica in dict.fromkeys(entry.coordinates.replica for entry in kept):
            values = [e.value for e in kept if e.coordinates.replica == replica]
            words = constraints.missing(asked, values, worst_case=metric.worst_case) or common
            if words:
                reasons[model] = f"{asked} may mean several cells: add {words}"
        lacking = sorted(set().union(*attacks.values()) - attacks[model]) if attacks else []
        if model not in reasons and lacking:
            names = ", ".join(map(write_name, lacking))
            reasons[model] = f"{asked} lacks {names}, which other models were attacked with"
    return reasons


def _common(entries: Sequence[Entry]) -> Iterator[constraints.Cell]:
    """Return cells as what all models must have in common."""
    for entry in entries:
        yield {name: entry.value(name) for name in _COMMON}.get


def _attacks(
    comparison: Comparison, cells: Mapping[str, Sequence[Entry]]
) -> dict[str, frozenset[str]]:
    """Return the attacks that each model's worst case does not lack, whatever became of them."""
    return {
        model: frozenset(
            str(entry.coordinates.attack)
            for entry in comparison.entries("attack", model)
            if entry.state != "skipped" and entry.budget in {each.budget for each in found}
        )
        for model, found in cells.items()
        if found
    }


def _estimate(
    comparison: Comparison, asked: Figure, metric: Metric, cells: Sequence[Entry]
) -> Estimate | str:
    """Compute the figure of one model, or return the reason that it has none."""
    entries = [entry for entry in cells if not is_control(entry.value)]
    timed = _undisturbed(comparison, entries) if metric.kinds == ("latency",) else entries
    found = comparison.estimate(timed, _median(metric))
    if isinstance(found, Withheld):
        is_done = all(entry.state == "done" for entry in entries)
        return (
            f"{asked} is withheld: {found.reason}" if is_done else f"has no {asked}: {found.reason}"
        )
    decided = [comparison.matrix.worst(e).decides for e in entries] if metric.worst_case else []
    controls = [each for each in decided if each is not None and is_control(each.value)]
    if controls:
        return f"{asked} rests on {called(controls[0])}, a control"
    return found if found.value is not None else f"{asked} is undefined: no image counts"


def _median(metric: Metric) -> Metric:
    """Return the median of a timing: a mean moves with whatever disturbs a single run."""
    is_timing = metric.kinds == ("latency",) and metric.better == "lower"
    return METRICS.get(f"{metric.name}_median", metric) if is_timing else metric


def _undisturbed(comparison: Comparison, entries: Sequence[Entry]) -> Sequence[Entry]:
    """Return the timings that no other process disturbed; all, where there is none."""
    done = [entry for entry in entries if entry.state == "done"]
    calm = [entry for entry in done if not comparison.is_disturbed([entry])]
    return calm if calm and len(done) == len(entries) else entries


def _note(comparison: Comparison, metric: Metric, entries: Sequence[Entry]) -> str:
    """Say what belongs beside the figure of a model."""
    if metric.worst_case:
        words = (comparison.matrix.worst(entry).words for entry in entries)
        return "; ".join(dict.fromkeys(words))
    if metric.kinds == ("latency",):
        is_disturbed = comparison.is_disturbed(_undisturbed(comparison, entries))
        return DISTURBED if is_disturbed else ""
    return ""
