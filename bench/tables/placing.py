"""From the matrix to a table: which cells, in which places, with what is said under them.

Nothing is pooled: where several cells fall into one place, that is an error that says what to add.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from bench.audit import Audit, Finding, known
from bench.errors import UsageError, nearest
from bench.matrix import Entry, Matrix
from bench.metrics import METRICS, Metric, Withheld
from bench.records import AXES, JSON, ORIGINAL, SHIELD_FACTS
from bench.tables.table import Place, Table
from bench.tables.words import text_of


def judged(matrix: Matrix) -> list[str]:
    """Return the dimensions that name who is judged: the variant where one is no original."""
    variants = {entry.coordinates.variant for entry in matrix.entries}
    return ["model", "variant"] if variants - {ORIGINAL} else ["model"]


def build(
    matrix: Matrix,
    metric: str | Sequence[str] = "success_rate",
    *,
    rows: Sequence[str] = ("attack",),
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
        rows, columns: dimensions; see ``matrix.dimensions``. Without columns: who is judged, and
            of a transfer the source before. Of several metrics one is ``metric``; where neither
            names it, it is the last of the columns.
        where: only cells with these values.
        intervals: print the 95 % intervals.
        title: over the table.
        audited: the run's audit, so that it is not looked up for each table.

    Raises:
        UsageError: for an unknown metric or dimension, or where several cells fall in one place.

    """
    measures = _measures(metric)
    rows = [rows] if isinstance(rows, str) else rows
    columns = [columns] if isinstance(columns, str) else columns
    if columns is None:
        of_transfer = measures[0].kinds == ("transfer",)
        usual = [*(["source"] if of_transfer else []), *judged(matrix)]
        columns = [name for name in usual if name not in rows]
    if len(measures) > 1 and METRIC not in (*rows, *columns):
        columns = [*columns, METRIC]
    where = dict(where or {})
    for option, names in (("--rows", rows), ("--columns", columns), ("--where", where)):
        for name in names:
            if name != METRIC or option == "--where":
                matrix.check_dimension(name, option)
    chosen = {measure: _chosen(matrix, measure, [*rows, *columns], where) for measure in measures}
    row_keys: dict[tuple[JSON, ...], int] = {}
    column_keys: dict[tuple[JSON, ...], int] = {}
    found: dict[tuple[int, int], tuple[Metric, list[Entry]]] = {}
    for measure, entry in ((m, e) for m, entries in chosen.items() for e in entries):
        row, column = (
            tuple(measure.name if name == METRIC else entry.value(name) for name in names)
            for names in (rows, columns)
        )
        place = (
            row_keys.setdefault(row, len(row_keys)),
            column_keys.setdefault(column, len(column_keys)),
        )
        _, others = found.setdefault(place, (measure, []))
        if others and not _is_same(measure, entry, others[0]):
            _refuse_pooling(matrix, entry, others[0], [*rows, *columns])
        if not (measure.worst_case and any(_is_one_training(entry, other) for other in others)):
            others.append(entry)
    findings = (known(matrix) if audited is None else audited).findings
    places = {
        place: _place(matrix, tuple(entries), measure, findings)
        for place, (measure, entries) in found.items()
    }
    everything = {entry.label: entry for entries in chosen.values() for entry in entries}
    return Table(
        title=title,
        metrics=tuple(measures),
        row_names=tuple(rows),
        column_names=tuple(columns),
        rows=tuple(row_keys),
        columns=tuple(column_keys),
        places=places,
        remarks=tuple(_remarks(matrix, measures, list(everything.values()))),
        intervals=intervals,
    )


METRIC = "metric"
"""The dimension that several metrics are laid out by."""


def _measures(metric: str | Sequence[str]) -> list[Metric]:
    """Look metrics up."""
    names = [metric] if isinstance(metric, str) else list(dict.fromkeys(metric))
    unknown = [name for name in names if name not in METRICS] or ([] if names else [""])
    if unknown:
        near = nearest(unknown[0], METRICS)
        raise UsageError.of("--metric", f"got '{unknown[0]}'", "a metric", near)
    return [METRICS[name] for name in names]


def _chosen(
    matrix: Matrix, metric: Metric, dimensions: Sequence[str], where: Mapping[str, JSON]
) -> list[Entry]:
    """Pick the entries that a metric is laid out of.

    Raises:
        UsageError: where it is the condition that leaves none.

    """
    used = [name for name in dimensions if name != METRIC]
    chosen = _choose(matrix, metric, [*used, *where], where)
    if where and not chosen and _choose(matrix, metric, used, {}):
        _refuse_condition(matrix, where)
    return chosen


def _choose(
    matrix: Matrix, metric: Metric, dimensions: Sequence[str], where: Mapping[str, JSON]
) -> list[Entry]:
    """Pick the entries of the first kind that has the metric and all dimensions in use."""
    for kind in metric.kinds:
        entries = [
            entry
            for entry in matrix.entries
            if entry.kind == kind
            and not (metric.worst_case and (entry.state != "done" or entry.budget is None))
            and all(_same(entry.value(name), value) for name, value in where.items())
        ]
        if entries and all(
            any(entry.value(name) is not None for entry in entries)
            for name in dimensions
            if name != "target"
        ):
            return entries
    return []


def _refuse_condition(matrix: Matrix, where: Mapping[str, JSON]) -> None:
    told = ", ".join(f"{name}={value}" for name, value in where.items())
    name = next(iter(where))
    known = {
        text_of(entry.value(name)) for entry in matrix.entries if entry.value(name) is not None
    }
    raise UsageError.of(
        "--where", f"no cell has {told}", f"{name} to be one of " + ", ".join(sorted(known))
    )


def _same(value: JSON, wanted: JSON) -> bool:
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted or str(value).lower() == str(wanted).lower()
    if isinstance(value, int | float) and isinstance(wanted, int | float):
        return abs(value - wanted) <= 1e-9 * max(1.0, abs(value))
    return str(value) == str(wanted)


def _is_same(metric: Metric, entry: Entry, other: Entry) -> bool:
    """Say whether two cells belong in one place: replicas, or attacks that a figure combines."""
    if not metric.worst_case:
        return _is_replica(entry, other)
    one, two = entry.coordinates, other.coordinates
    return (one.model_variant, entry.budget) == (two.model_variant, other.budget)


def _is_one_training(entry: Entry, other: Entry) -> bool:
    """Say whether two attacks are on one training of one model."""
    return replace(entry.coordinates, attack=None) == replace(other.coordinates, attack=None)


def _is_replica(entry: Entry, other: Entry) -> bool:
    """Say whether two cells are of trainings of one recipe, and differ in nothing else."""
    if replace(entry.coordinates, replica=None) != replace(other.coordinates, replica=None):
        return False
    own = {"training_seed", "training_images", "weights"}
    return {k: v for k, v in entry.facts.items() if k not in own} == {
        k: v for k, v in other.facts.items() if k not in own
    }


def _place(
    matrix: Matrix, entries: tuple[Entry, ...], metric: Metric, findings: Sequence[Finding]
) -> Place:
    concerned = tuple(finding for finding in findings if finding.concerns(entries, metric))
    missing = [entry for entry in entries if entry.state != "done"]
    if missing:
        reason = f": {missing[0].reason}" if missing[0].reason else ""
        among = f"{len(missing)} of {len(entries)} replicas " if len(entries) > 1 else ""
        return Place(metric, None, f"{among}{missing[0].state}{reason}", entries, concerned)
    found = matrix.estimate(entries, metric)
    if isinstance(found, Withheld):
        return Place(metric, None, found.reason, entries, concerned)
    return Place(metric, found, "", entries, concerned)


def _refuse_pooling(matrix: Matrix, entry: Entry, other: Entry, used: Sequence[str]) -> None:
    apart = [
        name
        for name in matrix.dimensions
        if name not in used and entry.value(name) != other.value(name)
    ]
    if "variant" in apart:
        apart = [name for name in apart if name not in SHIELD_FACTS]
    apart.sort(key=lambda name: name not in AXES)
    raise UsageError.of(
        "table",
        f"{entry.label} and {other.label} fall into one place",
        "one cell in each place: a rate belongs to one attack and budget",
        "lay it out by, or pick with --where, one of: " + ", ".join(apart),
    )


_ASKED_FOR = {
    "profile": "profile: {}",
    "latency": "profile: {}",
    "attack": "attacks:",
    "transfer": "transfer: {}",
    "explain": "explainers:",
    "drift": "explain_attacks: or explain_variants: true",
    "interim": "variants: that reduce, then train",
    "certify": "variants: with a shield that proves",
    "detect": "variants: with a detector",
}


def _remarks(matrix: Matrix, measures: Sequence[Metric], entries: Sequence[Entry]) -> Iterable[str]:
    missing = [entry for entry in entries if entry.state != "done"]
    if missing:
        counts: dict[str, int] = {}
        for entry in missing:
            counts[entry.state] = counts.get(entry.state, 0) + 1
        told = ", ".join(f"{count} {state}" for state, count in counts.items())
        yield f"Missing: {len(missing)} of {len(entries)} cells ({told})."
    yield from dict.fromkeys(
        f"{entry.coordinates.attack}: {caveat}" for entry in entries for caveat in entry.caveats
    )
    if any(entry.coordinates.is_fold for entry in entries):
        yield (
            "Cross-validated: each image is judged by a training that did not see it. Its "
            "interval is the wider of that over images and the corrected t's over folds "
            "(Nadeau and Bengio 2003)."
        )
    if not entries:
        kinds = {kind for metric in measures for kind in metric.kinds}
        asked = next((words for kind, words in _ASKED_FOR.items() if kind in kinds), None)
        told = f": a suite asks for it by {asked}" if asked else ""
        yield f"No cell of this run has this metric{told}."
    yield from matrix.run["notes"]
