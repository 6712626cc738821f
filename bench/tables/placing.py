"""From the matrix to a table: cells in their places, and the remarks under them.

Nothing is pooled: several cells in one place are an error, which names the dimensions to add.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bench.audit import Audit, Basis, known, travelling
from bench.errors import UsageError
from bench.matrix import Entry, Matrix
from bench.metrics import Metric, Withheld
from bench.records import AXES, DECLARED_FACTS, JSON, SHIELD_FACTS
from bench.tables import layout
from bench.tables.layout import METRIC
from bench.tables.table import Place, Table


def build(
    matrix: Matrix,
    metric: str | Sequence[str] = "success_rate",
    *,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    where: Mapping[str, JSON] | None = None,
    intervals: bool = False,
    title: str = "",
    audited: Audit | None = None,
) -> Table:
    """Lay a metric, or several, out over rows and columns.

    Args:
        matrix: of one run.
        metric: a name in :data:`bench.metrics.METRICS`, or several.
        rows, columns: dimensions; see ``matrix.dimensions``. Where they are not given they follow
            the cells that have the metric: by attack or explainer over who is judged, or by who
            is judged alone. Of several metrics one is ``metric``; where neither names it, it is
            the last of the columns.
        where: only cells with these values.
        intervals: print the 95 % intervals.
        title: over the table.
        audited: the run's audit, so that it is not looked up for each table.

    Raises:
        UsageError: for an unknown metric or dimension, or where several cells share one place.

    """
    measures = layout.measures(metric)
    where = dict(where or {})
    for name in where:
        matrix.check_dimension(name, "--where")
    rows, columns = layout.dimensions(matrix, measures, rows, columns, where)
    used = [*rows, *columns]
    chosen = {measure: layout.cells(matrix, measure, used, where) for measure in measures}
    grid = _Grid(matrix, rows, columns)
    for measure, entry in ((m, e) for m, entries in chosen.items() for e in entries):
        grid.add(measure, entry)
    audited = known(matrix) if audited is None else audited
    return Table(
        title=title,
        metrics=tuple(measures),
        row_names=tuple(rows),
        column_names=tuple(columns),
        rows=tuple(grid.row_keys),
        columns=tuple(grid.column_keys),
        places={
            place: _place(matrix, tuple(entries), measure, audited)
            for place, (measure, entries) in grid.cells.items()
        },
        remarks=tuple(_remarks(matrix, chosen, used)),
        intervals=intervals,
    )


@dataclass(frozen=True)
class _Grid:
    """A table as it grows: the cells in each place, and what its rows and columns are for."""

    matrix: Matrix
    row_names: Sequence[str]
    column_names: Sequence[str]
    row_keys: dict[tuple[JSON, ...], int] = field(default_factory=dict)
    column_keys: dict[tuple[JSON, ...], int] = field(default_factory=dict)
    cells: dict[tuple[int, int], tuple[Metric, list[Entry]]] = field(default_factory=dict)

    def add(self, metric: Metric, entry: Entry) -> None:
        """Put a cell into its place; of attacks that one worst case combines, the first.

        Raises:
            UsageError: where another cell that it cannot be combined with is there.

        """
        place = (
            _index(self.row_keys, metric, entry, self.row_names),
            _index(self.column_keys, metric, entry, self.column_names),
        )
        _, others = self.cells.setdefault(place, (metric, []))
        if others and not _is_same(metric, entry, others[0]):
            used = [*self.row_names, *self.column_names]
            _refuse_pooling(self.matrix, entry, others[0], used)
        if not (metric.worst_case and any(_is_one_training(entry, other) for other in others)):
            others.append(entry)


def _index(
    keys: dict[tuple[JSON, ...], int], metric: Metric, entry: Entry, names: Sequence[str]
) -> int:
    """Return the number of a cell's row or column; a new one comes last."""
    key = tuple(metric.name if name == METRIC else entry.value(name) for name in names)
    return keys.setdefault(key, len(keys))


def _is_same(metric: Metric, entry: Entry, other: Entry) -> bool:
    """Return whether two cells belong in one place: replicas, or attacks that a figure combines."""
    if not metric.worst_case:
        return _is_replica(entry, other)
    one, two = entry.coordinates, other.coordinates
    return (one.model_variant, entry.facts["budget"]) == (two.model_variant, other.facts["budget"])


def _is_one_training(entry: Entry, other: Entry) -> bool:
    """Return whether two attacks are on one training of one model."""
    return replace(entry.coordinates, attack=None) == replace(other.coordinates, attack=None)


def _is_replica(entry: Entry, other: Entry) -> bool:
    """Return whether two cells are of trainings of one recipe, and differ in nothing else."""
    if replace(entry.coordinates, replica=None) != replace(other.coordinates, replica=None):
        return False
    own = {"training_seed", "training_images", "weights"}
    return {k: v for k, v in entry.facts.items() if k not in own} == {
        k: v for k, v in other.facts.items() if k not in own
    }


def _place(matrix: Matrix, entries: tuple[Entry, ...], metric: Metric, audited: Audit) -> Place:
    concerned = travelling(audited, matrix, [Basis(entries, metric)])
    missing = [entry for entry in entries if entry.state != "done"]
    if missing and not metric.worst_case:  # which names the attack that it lacks
        reason = f": {missing[0].reason}" if missing[0].reason else ""
        among = f"{len(missing)} of {len(entries)} replicas " if len(entries) > 1 else ""
        return Place(metric, None, f"{among}{missing[0].state}{reason}", entries, concerned)
    found = matrix.estimate(entries, metric)
    if isinstance(found, Withheld):
        return Place(metric, None, found.reason, entries, concerned)
    words = [matrix.worst(entry).words for entry in entries] if metric.worst_case else []
    return Place(metric, found, "; ".join(dict.fromkeys(words)), entries, concerned)


def _refuse_pooling(matrix: Matrix, entry: Entry, other: Entry, used: Sequence[str]) -> None:
    apart = [
        name
        for name in matrix.dimensions
        if name not in (*used, *DECLARED_FACTS) and entry.value(name) != other.value(name)
    ]
    if "variant" in apart:
        apart = [name for name in apart if name not in SHIELD_FACTS]
    apart.sort(key=lambda name: name not in AXES)
    raise UsageError.of(
        "table",
        f"{entry.label} and {other.label} share one place",
        "one cell in each place: a rate belongs to one attack and budget",
        "lay it out by, or pick with --where, one of: " + ", ".join(apart),
    )


def on_targets(measures: Sequence[Metric], entries: Sequence[Entry]) -> Iterable[str]:
    """State how figures of targeted attacks count the images of the target class."""
    targeted = any(entry.facts.get("targeted") for entry in entries)
    names = [metric.name for metric in measures if metric.of_every_image]
    if targeted and names:
        yield (
            f"Targeted attacks: {' and '.join(names)} also of images of the target's own class, "
            "which count as robust where they are right before and after."
        )


def _remarks(
    matrix: Matrix, chosen: Mapping[Metric, Sequence[Entry]], used: Sequence[str]
) -> Iterable[str]:
    """Yield the remarks under a table: what is missing, and how to read its figures."""
    by_label = {entry.label: entry for entries in chosen.values() for entry in entries}
    entries = list(by_label.values())
    undone = [entry for entry in entries if entry.state != "done"]
    if undone:
        counts: dict[str, int] = {}
        for entry in undone:
            counts[entry.state] = counts.get(entry.state, 0) + 1
        states = ", ".join(f"{count} {state}" for state, count in counts.items())
        yield f"Missing: {len(undone)} of {len(entries)} cells ({states})."
    yield from dict.fromkeys(
        f"{entry.coordinates.attack}: {caveat}" for entry in entries for caveat in entry.caveats
    )
    yield from on_targets([*chosen], entries)
    if any(entry.coordinates.is_fold for entry in entries):
        yield (
            "Cross-validated: each image is judged by a training that did not see it. Its "
            "interval is the wider of that over images and the corrected t's over folds "
            "(Nadeau and Bengio 2003)."
        )
    yield from (layout.absence(matrix, m, used) for m, found in chosen.items() if not found)
    yield from matrix.run["notes"]
