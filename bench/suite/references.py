"""The names that sections of a suite give to each other: whether what they name exists."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from bench.metrics import METRICS, constraints
from bench.records import ORIGINAL
from bench.suite import document
from bench.suite.entries import AttackEntry
from bench.suite.section import Section, entries
from bench.suite.sections import DIMENSIONS


class References(Section):
    """Checks names of models, variants, attacks, metrics and dimensions."""

    def check(self, raw: Mapping[str, Any], attacks: Sequence[AttackEntry]) -> None:
        """Check that the models, metrics and dimensions that other sections name exist."""
        models = raw.get("models")
        known = models if isinstance(models, dict) else {}
        variants = raw.get("variants")
        kinds = (variants if isinstance(variants, dict) else {}) or {ORIGINAL: []}
        both = {*known, *kinds, *(f"{model}/{kind}" for model in known for kind in kinds)}
        for section, key, among, told in (
            ("run", "models", known, "model"),
            ("run", "variants", kinds, "variant"),
            ("transfer", "from", both if variants else known, "model"),
            ("transfer", "to", both if variants else known, "model"),
        ):
            part = raw.get(section)
            names = part.get(key) if isinstance(part, dict) else None
            for name in names if isinstance(names, list) else ():
                self.check_name((section, key), name, among, f"is no {told} of this suite")
        for model, entry in entries(models):
            asked = entry.get("variants")
            for place, name in enumerate(asked if isinstance(asked, list) else ()):
                at: document.Path = ("models", model, "variants", place)
                self.check_name(at, name, kinds, "is no variant of this suite")
        named = {name for attack in attacks for name in (attack.name, attack.group)}
        transfer = raw.get("transfer")
        for path, asked in (
            (("explain_attacks",), raw.get("explain_attacks")),
            (
                ("transfer", "attacks"),
                transfer.get("attacks") if isinstance(transfer, dict) else (),
            ),
        ):
            for place, name in enumerate(asked if isinstance(asked, list) else ()):
                self.check_name((*path, place), name, named, "is no attack of this suite")
        self.check_choices(raw.get("recommend"), {attack.name for attack in attacks})
        tables = raw.get("tables")
        parameters = {name for attack in attacks for name in attack.plugin.parameters()}
        dimensions = {*DIMENSIONS, *parameters}
        for title, table in tables.items() if isinstance(tables, dict) else ():
            if isinstance(table, dict):
                self.check_table(("tables", title), table, dimensions)

    def check_choices(self, raw: Any, attacks: Collection[str]) -> None:
        """Check that recommendations name metrics, bounds and attacks that exist."""
        for name, choice in raw.items() if isinstance(raw, dict) else ():
            if not isinstance(choice, dict):
                continue
            path = ("recommend", name)
            best = self.check_figure((*path, "best"), choice.get("best"), attacks)
            self.check_name((*path, "best"), best, METRICS, "is no metric")
            if isinstance(best, str) and best in METRICS and METRICS[best].better is None:
                known = [name for name, metric in METRICS.items() if metric.better is not None]
                self.report(
                    (*path, "best"),
                    f"of '{best}' neither more nor less is better",
                    ", ".join(known),
                )
            texts = choice.get("where")
            for place, text in enumerate(texts if isinstance(texts, list) else ()):
                if not isinstance(text, str):
                    continue
                try:
                    found = constraints.parse(text)
                except ValueError as error:
                    self.report((*path, "where", place), str(error))
                    continue
                self.check_name((*path, "where", place), found.metric, METRICS, "is no metric")
                self.check_bound((*path, "where", place), found)
                self.check_where((*path, "where", place), found.where, attacks)

    def check_figure(self, path: document.Path, text: Any, attacks: Collection[str]) -> Any:
        """Check the name of a figure; return its metric."""
        if not isinstance(text, str):
            return text
        try:
            metric, where = constraints.figure(text)
        except ValueError as error:
            self.report(path, str(error))
            return None
        self.check_where(path, where, attacks)
        return metric

    def check_where(
        self, path: document.Path, where: tuple[str, str] | None, attacks: Collection[str]
    ) -> None:
        """Check that what picks one of several cells is a dimension and, if so, an attack."""
        if where is not None:
            self.check_name(path, where[0], (*DIMENSIONS, "eps"), "is no dimension")
        if where is not None and where[0] == "attack":
            self.check_name(path, where[1], attacks, "is no attack of this suite")

    def check_bound(self, path: document.Path, found: constraints.Constraint) -> None:
        """Check that a bound is in its metric's unit."""
        metric = METRICS.get(found.metric)
        if metric is None:
            return
        if metric.unit == "share" and not 0 <= found.bound <= 1:
            self.report(path, f"got {found.text}", f"a share, 0 to 1: {found.bound:g} % perhaps")
        if metric.unit != "share" and found.is_percent:
            self.report(path, f"got {found.text}", f"a number without %: {metric.unit}")

    def check_table(
        self, path: document.Path, table: Mapping[str, Any], dimensions: Iterable[str]
    ) -> None:
        """Check that a table's metrics and dimensions exist."""
        given = table.get("metric")
        for name in given if isinstance(given, list) else [given]:
            self.check_name((*path, "metric"), name, METRICS, "is no metric")
        for key in ("rows", "columns", "where"):
            known = [*dimensions] if key == "where" else [*dimensions, "metric"]
            names = table.get(key)
            for name in names if isinstance(names, list | dict) else ():
                self.check_name((*path, key), name, known, "is no dimension")
