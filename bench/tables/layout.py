"""Which cells of a run have a metric, and which dimensions a table has by default.

Where there are none, this room states what excluded them, and no more than it knows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from bench.errors import UsageError, nearest
from bench.matrix import Entry, Matrix
from bench.metrics import METRICS, Metric
from bench.records import JSON, ORIGINAL, SHIELD_FACTS, Kind
from bench.tables.words import text_of

METRIC = "metric"
"""The dimension that several metrics are laid out by."""

_ASKED_FOR: Mapping[Kind, str] = {
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


def judged(matrix: Matrix) -> list[str]:
    """Return the dimensions of the model judged: with the variant where one is no original."""
    variants = {entry.coordinates.variant for entry in matrix.entries}
    return ["model", "variant"] if variants - {ORIGINAL} else ["model"]


def measures(metric: str | Sequence[str]) -> list[Metric]:
    """Look metrics up.

    Raises:
        UsageError: for an unknown one, with the nearest.

    """
    names = [metric] if isinstance(metric, str) else list(dict.fromkeys(metric))
    unknown = [name for name in names if name not in METRICS] or ([] if names else [""])
    if unknown:
        near = nearest(unknown[0], METRICS)
        raise UsageError.of("--metric", f"got '{unknown[0]}'", "a metric", near)
    return [METRICS[name] for name in names]


def dimensions(
    matrix: Matrix,
    wanted: Sequence[Metric],
    rows: str | Sequence[str] | None,
    columns: str | Sequence[str] | None,
    where: Mapping[str, JSON],
) -> tuple[list[str], list[str]]:
    """Check the dimensions of rows and columns, and fill in those that are not given.

    Raises:
        UsageError: for an unknown dimension, with the nearest.

    """
    given = [rows] if isinstance(rows, str) else rows
    across = [columns] if isinstance(columns, str) else columns
    for option, names in (("--rows", given), ("--columns", across)):
        for name in names or ():
            if name != METRIC:
                matrix.check_dimension(name, option)
    down = list(given if given is not None else _usual_rows(matrix, wanted, across or (), where))
    if across is None:
        of_transfer = wanted[0].kinds == ("transfer",)
        usual = [*(["source"] if of_transfer else []), *judged(matrix)]
        across = [name for name in usual if name not in down]
        if given is None and len(wanted) == 1:
            across += _apart(matrix, wanted[0], [*down, *across], where)
    several = len(wanted) > 1 and METRIC not in (*down, *across)
    return down, [*across, METRIC] if several else list(across)


def _usual_rows(
    matrix: Matrix,
    wanted: Sequence[Metric],
    columns: Sequence[str],
    where: Mapping[str, JSON],
) -> list[str]:
    """Return what the cells of all metrics differ in besides the model judged; or the model."""
    used = [name for name in columns if name != METRIC]
    shared = [kind for kind in wanted[0].kinds if all(kind in other.kinds for other in wanted)]
    found = [_choose(matrix, metric, [*used, *where], where, shared) for metric in wanted]
    if not all(found):
        found = [_choose(matrix, metric, [*used, *where], where) for metric in wanted]
    found = [entries for entries in found if entries]
    if found and all(metric.worst_case for metric in wanted):
        return [] if "budget" in used else ["budget"]
    apart = [
        name
        for name in ("attack", "explainer")
        if found and all(any(e.value(name) is not None for e in entries) for entries in found)
    ]
    return [name for name in apart or judged(matrix) if name not in used]


def _apart(
    matrix: Matrix, metric: Metric, used: Sequence[str], where: Mapping[str, JSON]
) -> list[str]:
    """Return one more dimension where cells of one training would share one place."""
    groups: dict[tuple[JSON, ...], list[Entry]] = {}
    for entry in () if metric.worst_case else cells(matrix, metric, used, where):
        place = (entry.coordinates.replica, *(entry.value(name) for name in used))
        groups.setdefault(place, []).append(entry)
    full = [group for group in groups.values() if len(group) > 1]
    if not full:
        return []
    for name in matrix.dimensions:
        values = [[str(entry.value(name)) for entry in group] for group in full]
        if name not in SHIELD_FACTS and all(len(set(found)) == len(found) for found in values):
            return [name]
    return []


def cells(
    matrix: Matrix, metric: Metric, used: Sequence[str], where: Mapping[str, JSON]
) -> list[Entry]:
    """Pick the entries that a metric is laid out of, by dimensions in use and a condition.

    Raises:
        UsageError: where it is the condition that leaves none.

    """
    names = [name for name in used if name != METRIC]
    chosen = _choose(matrix, metric, [*names, *where], where)
    if where and not chosen and _choose(matrix, metric, names, {}):
        _refuse_condition(matrix, metric, where)
    return chosen


def _choose(
    matrix: Matrix,
    metric: Metric,
    used: Sequence[str],
    where: Mapping[str, JSON],
    kinds: Sequence[Kind] | None = None,
) -> list[Entry]:
    """Pick the entries of the first kind that has the metric and all dimensions in use."""
    for kind in metric.kinds if kinds is None else kinds:
        entries = [
            entry
            for entry in _candidates(matrix, metric, kind)
            if all(_is_value(entry.value(name), value) for name, value in where.items())
        ]
        if entries and all(_has(entries, name) for name in used):
            return entries
    return []


def _candidates(matrix: Matrix, metric: Metric, kind: Kind) -> list[Entry]:
    return [
        entry
        for entry in matrix.entries
        if entry.kind == kind and not (metric.worst_case and entry.budget is None)
    ]


def _has(entries: Sequence[Entry], dimension: str) -> bool:
    """Whether any entry has a value; of attacks none need have a target."""
    return dimension == "target" or any(entry.value(dimension) is not None for entry in entries)


def _refuse_condition(matrix: Matrix, metric: Metric, where: Mapping[str, JSON]) -> None:
    entries = [entry for kind in metric.kinds for entry in _candidates(matrix, metric, kind)]
    for name, value in where.items():
        found = [entry.value(name) for entry in entries if entry.value(name) is not None]
        if not any(_is_value(one, value) for one in found):
            known = sorted(dict.fromkeys(map(text_of, found)))
            raise UsageError.of(
                "--where",
                f"no cell with {metric.name} has {name}={text_of(value)}",
                f"{name} to be one of {', '.join(known)}"
                if known
                else f"what such cells have: {', '.join(_values(matrix, entries))}",
            )
    words = " and ".join(f"{name}={text_of(value)}" for name, value in where.items())
    raise UsageError.of("--where", f"no cell with {metric.name} has {words}", "less at once")


def _values(matrix: Matrix, entries: Sequence[Entry]) -> list[str]:
    """Return the dimensions on which entries have values."""
    return [
        name
        for name in matrix.dimensions
        if any(entry.value(name) is not None for entry in entries)
    ]


def _is_value(value: JSON, wanted: JSON) -> bool:
    """Whether a value is the one that a condition names, however it is written."""
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted or str(value).lower() == str(wanted).lower()
    if isinstance(value, int | float) and isinstance(wanted, int | float):
        return math.isclose(value, wanted, rel_tol=_SIX_DIGITS, abs_tol=1e-9)
    return str(value) == str(wanted) or (value is not None and text_of(value) == text_of(wanted))


_SIX_DIGITS = 5e-6
"""As many as the names of a grid's points hold."""


def absence(matrix: Matrix, metric: Metric, used: Sequence[str]) -> str:
    """Return a sentence on why no cell has a metric."""
    entries = [entry for kind in metric.kinds for entry in _candidates(matrix, metric, kind)]
    if entries:
        names = [name for name in used if name != METRIC]
        lacking = [name for name in names if not _has(entries, name)] or names
        return (
            f"No cell with {metric.name} has the dimension {' or '.join(lacking)}: "
            f"lay it out by some of {', '.join(_values(matrix, entries))}."
        )
    if any(entry.kind in metric.kinds for entry in matrix.entries):
        return f"No cell with {metric.name} has a budget."
    keys = next((keys for kind, keys in _ASKED_FOR.items() if kind in metric.kinds), None)
    asked = f": a suite asks for it by {keys}" if keys else ""
    return f"No cell of this run has {metric.name}{asked}."
