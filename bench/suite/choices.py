"""The recommendations of a suite: whether each names figures that a run has, and bounds in units.

A figure that may mean one of several cells is refused here as far as the suite's attacks and
explainers decide it; what hangs on models and variants is seen when the cells are known.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from bench.metrics import METRICS, constraints
from bench.records import JSON
from bench.suite import document
from bench.suite.entries import AttackEntry, ExplainerEntry
from bench.suite.section import Section, entries


class Choices(Section):
    """Checks the figures and the bounds of recommendations."""

    def check(
        self,
        raw: Any,
        attacks: Sequence[AttackEntry],
        explainers: Iterable[ExplainerEntry],
        dimensions: Collection[str],
    ) -> None:
        """Check that a run can make each choice."""
        cells: dict[str, list[Mapping[str, JSON]]] = {
            "attack": [_facts(attack) for attack in attacks],
            "explain": [{"explainer": explainer.name} for explainer in explainers],
        }
        dimensions = {*dimensions, *constraints.APART, "eps"}
        for name, choice in entries(raw):
            path = ("recommend", name)
            best, bounds = choice.get("best"), choice.get("where")
            if isinstance(best, str):
                self.check_best((*path, "best"), best, cells, dimensions)
            for place, text in enumerate(bounds if isinstance(bounds, list) else ()):
                if isinstance(text, str):
                    self.check_bound((*path, "where", place), text, cells, dimensions)

    def check_best(
        self,
        path: document.Path,
        text: str,
        cells: Mapping[str, Sequence[Mapping[str, JSON]]],
        dimensions: Collection[str],
    ) -> None:
        """Check what is chosen by: a figure of which more, or less, is better."""
        try:
            found = constraints.figure(text)
        except ValueError as error:
            self.report(path, str(error))
            return
        self.check_figure(path, found, cells, dimensions)
        if found.metric in METRICS and METRICS[found.metric].better is None:
            known = [name for name, metric in METRICS.items() if metric.better is not None]
            complaint = f"of '{found.metric}' neither more nor less is better"
            self.report(path, complaint, ", ".join(known))

    def check_bound(
        self,
        path: document.Path,
        text: str,
        cells: Mapping[str, Sequence[Mapping[str, JSON]]],
        dimensions: Collection[str],
    ) -> None:
        """Check a constraint: its figure, and that the bound is in the unit of the metric."""
        try:
            found = constraints.parse(text)
        except ValueError as error:
            self.report(path, str(error))
            return
        self.check_figure(path, found.figure, cells, dimensions)
        metric = METRICS.get(found.figure.metric)
        if metric is None:
            return
        if metric.unit == "share" and not 0 <= found.bound <= 1:
            self.report(path, f"got {found.text}", f"a share, 0 to 1: {found.bound:g} % perhaps")
        if metric.unit != "share" and found.is_percent:
            self.report(path, f"got {found.text}", f"a number without %: {metric.unit}")

    def check_figure(
        self,
        path: document.Path,
        asked: constraints.Figure,
        cells: Mapping[str, Sequence[Mapping[str, JSON]]],
        dimensions: Collection[str],
    ) -> None:
        """Check that a figure's metric, dimensions and attack exist, and that it means one cell."""
        self.check_name(path, asked.metric, METRICS, "is no metric")
        for name, value in asked.where:
            self.check_name(path, name, dimensions, "is no dimension")
            if name == "attack":
                known = {str(c[key]) for c in cells["attack"] for key in ("attack", "group")}
                self.check_name(path, value, known, "is no attack of this suite")
        metric = METRICS.get(asked.metric)
        if metric is None or not {name for name, _ in asked.where} <= set(dimensions):
            return
        found = [cell.get for cell in cells.get(metric.kinds[0], ()) if asked.picks(cell.get)]
        words = constraints.missing(asked, found, worst_case=metric.worst_case)
        if words:
            self.report(path, f"'{asked}' may mean several cells", action=f"add {words}")


def _facts(attack: AttackEntry) -> dict[str, JSON]:
    """Return what picks the cells of an attack, as the cells themselves have it."""
    found: dict[str, JSON] = {
        **attack.plugin.parameters(),
        "attack": attack.name,
        "group": attack.group,
        "plugin": attack.plugin_name,
        "norm": attack.plugin.norm,
        "target": attack.target,
        "targeted": attack.target is not None,
    }
    if attack.budget is not None:
        found |= {
            "norm": attack.budget.norm,
            "eps": attack.budget.eps,
            "budget": str(attack.budget),
        }
    return found
