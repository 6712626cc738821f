"""The names that sections of a suite give to each other: whether what they name exists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.metrics import METRICS
from bench.records import ORIGINAL
from bench.suite import document
from bench.suite.entries import AttackEntry
from bench.suite.section import Section, entries
from bench.suite.sections import DIMENSIONS


def dimensions_of(attacks: Iterable[AttackEntry]) -> set[str]:
    """Return what cells differ in: what every suite has, and the parameters of attacks."""
    return {*DIMENSIONS, *(name for attack in attacks for name in attack.plugin.parameters())}


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
        tables = raw.get("tables")
        dimensions = dimensions_of(attacks)
        for title, table in tables.items() if isinstance(tables, dict) else ():
            if isinstance(table, dict):
                self.check_table(("tables", title), table, dimensions)

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
