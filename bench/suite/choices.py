"""The recommendations of a suite: whether each names figures that a run has, and bounds in units.

A figure that may mean one of several cells is refused here as far as the suite's attacks and
explainers decide it; what hangs on models and variants is seen when the cells are known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.metrics import METRICS, constraints
from bench.records import JSON, write_eps, write_name
from bench.suite.names import Names, check
from bench.suite.problems import Mistakes


def check_best(text: str, names: Names) -> None:
    """Check what is chosen by: a figure of which more, or less, is better.

    Raises:
        ValidationError: with all that is wrong.

    """
    mistakes = Mistakes()
    try:
        found = constraints.figure(text)
    except ValueError as error:
        mistakes.note((), str(error))
        mistakes.raise_any()
        raise
    _check_figure(found, names, mistakes)
    if found.metric in METRICS and METRICS[found.metric].better is None:
        known = [name for name, metric in METRICS.items() if metric.better is not None]
        complaint = f"of '{found.metric}' neither more nor less is better"
        mistakes.note((), complaint, ", ".join(known))
    mistakes.raise_any()


def check_bound(text: str, names: Names) -> None:
    """Check a constraint: its figure, and that the bound is in the unit of the metric.

    Raises:
        ValidationError: with all that is wrong.

    """
    mistakes = Mistakes()
    try:
        found = constraints.parse(text)
    except ValueError as error:
        mistakes.note((), str(error))
        mistakes.raise_any()
        raise
    _check_figure(found.figure, names, mistakes)
    metric = METRICS.get(found.figure.metric)
    if metric is not None and metric.unit == "share" and not 0 <= found.bound <= 1:
        mistakes.note((), f"got {found.text}", f"a share, 0 to 1: {found.bound:g} % perhaps")
    if metric is not None and metric.unit != "share" and found.is_percent:
        mistakes.note((), f"got {found.text}", f"a number without %: {metric.unit}")
    mistakes.raise_any()


def _check_figure(asked: constraints.Figure, names: Names, mistakes: Mistakes) -> None:
    """Check that a figure's metric, dimensions and attack exist, and that it means one cell."""
    with mistakes.noted():
        check(asked.metric, METRICS, "is no metric")
    for name, value in asked.where:
        with mistakes.noted():
            check(name, names.dimensions, "is no dimension")
        if name == "attack" and not constraints.is_value(None, value):
            with mistakes.noted():
                check(value, names.groups, "is no attack of this suite")
    metric = METRICS.get(asked.metric)
    if metric is None or not {name for name, _ in asked.where} <= names.dimensions:
        return
    cells = names.cells.get(metric.kinds[0], [])
    where = tuple(pair for pair in asked.where if any(pair[0] in cell for cell in cells))
    known = constraints.Figure(asked.metric, where)  # what models and variants decide is left out
    found = [cell.get for cell in cells if known.picks(cell.get)]
    words = constraints.missing(asked, found, worst_case=metric.worst_case)
    if words:
        mistakes.note((), f"'{asked}' may mean several cells", action=f"add {words}")
    is_named = all(value in names.groups for name, value in where if name == "attack")
    if cells and not found and is_named:
        mistakes.note((), f"'{asked}' picks no cell", _values(where, cells))


def _values(where: Sequence[tuple[str, str]], cells: Sequence[Mapping[str, JSON]]) -> str:
    """List the values of the first dimension of which no cell has the one that is asked."""
    for name, text in where:
        values = [cell[name] for cell in cells if cell.get(name) is not None]
        if not any(constraints.is_value(value, text) for value in values) and name != "attack":
            words = (write_eps(v) if isinstance(v, float) else write_name(str(v)) for v in values)
            return f"{name} one of {', '.join(dict.fromkeys(words))}"
    return "values that one cell has together"
