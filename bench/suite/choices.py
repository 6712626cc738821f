"""The recommendations of a suite: whether each names figures that a run has, and bounds in units.

A figure that may mean one of several cells is refused here as far as the suite's attacks and
explainers decide it; what hangs on models and variants is seen when the cells are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

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


def meant(asked: constraints.Figure, cells: Iterable[constraints.Cell]) -> constraints.Figure:
    """Return what a figure means: a robustness of several attacks is the worst case, if at all.

    Args:
        asked: a figure of a known metric.
        cells: of the kind that has it; controls show what no attack does, and do not count.

    Returns:
        The worst case at the one budget of all attacks that the figure picks, where it names none
        of them; else the figure as it is.

    """
    metric = METRICS[asked.metric]
    is_named = any(name in ("attack", "group", "plugin") for name, _ in asked.where)
    found = [cell for cell in cells if asked.picks(cell) and not is_control(cell)]
    budgets = {cell("budget") for cell in found}
    worst = next((each for each in METRICS.values() if each.worst_case), None)
    if (
        worst is None
        or is_named
        or not metric.is_robustness
        or len({cell("attack") for cell in found}) < 2  # noqa: PLR2004 (several)
        or len(budgets) != 1
        or None in budgets
    ):
        return asked
    kept = [pair for pair in asked.where if pair[0] not in ("budget", "eps", "norm")]
    return constraints.Figure(worst.name, (*kept, ("budget", write_name(str(budgets.pop())))))


def is_control(cell: constraints.Cell) -> bool:
    """Say whether a cell is of a control, on which no recommendation rests."""
    return cell("control") is True


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
    picked = [cell.get for cell in cells if known.picks(cell.get)]
    if picked and all(map(is_control, picked)):
        names_of_them = ", ".join(dict.fromkeys(str(cell("attack")) for cell in picked))
        words = f"'{asked}' rests on {names_of_them}, a control, which shows what no attack does"
        mistakes.note((), words, "an attack, or the worst case at a budget")
        return
    known = meant(known, picked)
    found = [cell for cell in picked if not is_control(cell)]
    words = constraints.missing(known, found, worst_case=METRICS[known.metric].worst_case)
    if words:
        mistakes.note((), f"'{asked}' may mean several cells", action=f"add {words}")
    is_named = all(value in names.groups for name, value in where if name == "attack")
    if cells and not picked and is_named:
        mistakes.note((), f"'{asked}' picks no cell", _values(where, cells))


def _values(where: Sequence[tuple[str, str]], cells: Sequence[Mapping[str, JSON]]) -> str:
    """List the values of the first dimension of which no cell has the one that is asked."""
    for name, text in where:
        values = [cell[name] for cell in cells if cell.get(name) is not None]
        if not any(constraints.is_value(value, text) for value in values) and name != "attack":
            words = (write_eps(v) if isinstance(v, float) else write_name(str(v)) for v in values)
            return f"{name} one of {', '.join(dict.fromkeys(words))}"
    return "values that one cell has together"
