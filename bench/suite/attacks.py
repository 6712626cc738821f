"""The attacks of a suite: grids, targets, budgets, and cascades of several."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench.api import Attack
from bench.errors import nearest
from bench.records import JSON, Budget
from bench.suite import document
from bench.suite.cascade import Listed
from bench.suite.entries import AttackEntry
from bench.suite.section import Section, entries
from bench.suite.sections import Ball

_OWN = {"plugin", "target", "grid", "budget"}
"""Keys of an attack's entry that are not the plugin's parameters."""


class Attacks(Section):
    """Reads the attacks."""

    def read(self, raw: Mapping[str, Any]) -> tuple[AttackEntry, ...]:
        """Read all attacks of a suite's plain values, cascades last."""
        balls = tuple(self.balls(raw.get("budget")))
        single = tuple(self.single(raw.get("attacks"), balls))
        return (*single, *self.cascades(raw.get("attacks"), single))

    def balls(self, raw: Any) -> Iterator[Ball]:
        """Read the budgets for attacks that promise none; each norm has one at most."""
        known: set[str] = set()
        for place, given in enumerate(raw if isinstance(raw, list) else [raw] if raw else []):
            path = ("budget", place) if isinstance(raw, list) else ("budget",)
            if not isinstance(given, dict):
                continue  # reported with the layout
            ball = self.parse(Ball, given, path)
            if ball is None:
                continue
            if ball.norm in known:
                self.report(path, f"'{ball.norm}' has two budgets", "one for each norm")
            known.add(ball.norm)
            yield ball

    def single(self, raw: Any, balls: Sequence[Ball]) -> Iterator[AttackEntry]:
        """Read the attacks and expand their grids."""
        seen: dict[str, str] = {}
        for group, entry in entries(raw):
            if "cascade" in entry:
                continue
            path = ("attacks", group)
            fixed = {k: v for k, v in entry.items() if k not in _OWN}
            target, grid = self.target(entry, path), entry.get("grid")
            plugin_name = entry.get("plugin", group)
            for name, point in self.expand(group, grid, fixed, path):
                if seen.setdefault(name, group) != group:
                    self.report(path, f"'{name}' is the name of two attacks", "names that differ")
                moved = dict.fromkeys(point, (*path, "grid"))
                plugin = self.plugin("attacks", plugin_name, {**fixed, **point}, path, moved)
                if not isinstance(plugin, Attack):
                    continue
                self.check_targetable(plugin, plugin_name, target, path)
                budget = self.budget(entry, plugin, balls, path)
                yield AttackEntry(name, plugin_name, plugin, group, target, budget)

    def target(self, entry: Mapping[str, Any], path: document.Path) -> int | None:
        """Read the class that an attack aims at."""
        target = entry.get("target")
        if target is None or (isinstance(target, int) and not isinstance(target, bool)):
            return target
        self.report((*path, "target"), f"got {target!r}", "the index of a class")
        return None

    def check_targetable(
        self, plugin: Attack, plugin_name: str, target: int | None, path: document.Path
    ) -> None:
        """Check that an attack with a target honours it."""
        if target is not None and not plugin.targetable:
            self.report(
                (*path, "target"),
                f"'{plugin_name}' does not honour targets",
                "an attack that is targetable",
                f"see 'bench describe {plugin_name}'",
            )

    def budget(
        self,
        entry: Mapping[str, Any],
        plugin: Attack,
        balls: Sequence[Ball],
        path: document.Path,
    ) -> Budget | None:
        """Decide in which ball an attack's images count: its own, the entry's or the suite's."""
        if plugin.budget is not None:
            if "budget" in entry:
                self.report(
                    (*path, "budget"),
                    f"the attack promises its own: {plugin.budget}",
                    "a budget only for attacks that promise none",
                    "take it out",
                )
            return plugin.budget
        if "budget" in entry:
            own = self.parse(Ball, entry["budget"], (*path, "budget"))
            balls = () if own is None else (own,)
        else:
            balls = [ball for ball in balls if ball.norm == plugin.norm]
        return Budget(balls[0].norm, balls[0].eps) if balls else None

    def cascades(self, raw: Any, single: Sequence[AttackEntry]) -> Iterator[AttackEntry]:
        """Read the attacks that are lists of others, each run on what still stands."""
        for name, entry in entries(raw):
            if "cascade" not in entry:
                continue
            path = ("attacks", name)
            for key in entry.keys() - {"cascade", "target"}:
                self.report((*path, key), "stands beside cascade", "cascade and target only")
            members = self.members(entry["cascade"], single, (*path, "cascade"))
            budgets = {member.budget for member in members}
            if len(members) < 2 or len(budgets) != 1:  # noqa: PLR2004 (one attack is no cascade)
                if len(budgets) > 1:
                    told = "; ".join(f"{member.name} {member.budget}" for member in members)
                    self.report(
                        (*path, "cascade"), told, "one budget: a rate belongs to a norm and an eps"
                    )
                continue
            [budget] = budgets
            if budget is None:
                self.report(
                    (*path, "cascade"),
                    "its attacks promise no budget",
                    "a budget, which says what falls",
                    "give them one: budget: {norm: l2, eps: 0.5}",
                )
                continue
            ordered = sorted(members, key=lambda member: member.plugin.passes)
            plugin = Listed(
                members=tuple((member.name, member.plugin) for member in ordered), within=budget
            )
            target = self.target(entry, path)
            self.check_targetable(plugin, name, target, path)
            yield AttackEntry(name, "cascade", plugin, name, target, budget, tuple(ordered))

    def members(
        self, raw: Any, single: Sequence[AttackEntry], path: document.Path
    ) -> list[AttackEntry]:
        """Find the attacks that a cascade names: untargeted ones, one point of a grid."""
        known = {attack.name: attack for attack in single}
        names = raw if isinstance(raw, list) else []
        if len(set(map(str, names))) < 2:  # noqa: PLR2004 (one attack is no cascade)
            self.report(path, f"got {raw!r}", "a list of two attacks of this suite or more")
            return []
        for place, name in enumerate(names):
            if name not in known:
                self.report(
                    (*path, place),
                    f"'{name}' is no attack of this suite",
                    "an attack's full name: of a grid, one of its points",
                    nearest(str(name), known),
                )
            elif known[name].target is not None:
                self.report(
                    (*path, place),
                    f"'{name}' has a target of its own",
                    "untargeted attacks",
                    "give the cascade a target instead",
                )
        return [known[name] for name in names if name in known and known[name].target is None]

    def expand(
        self, group: str, grid: Any, fixed: Mapping[str, Any], path: document.Path
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Expand a grid to named points: ``fgsm@eps=0.1``."""
        if grid is None:
            yield group, {}
            return
        if (
            not isinstance(grid, dict)
            or not grid
            or not all(isinstance(values, list) and values for values in grid.values())
        ):
            expected = "a mapping from parameters to lists that are not empty"
            self.report((*path, "grid"), f"got {grid!r}", expected)
            yield group, {}  # its other parameters are looked at all the same
            return
        for key in grid.keys() & fixed.keys():
            self.report((*path, key), "is fixed here and varied by the grid", "one of the two")
        names: set[str] = set()
        for values in itertools.product(*grid.values()):
            point = dict(zip(grid, values, strict=True))
            words = ",".join(f"{key}={_short(value)}" for key, value in point.items())
            name = f"{group}@{words}"
            if name in names:
                self.report((*path, "grid"), f"gives '{name}' twice", "values that differ")
            names.add(name)
            yield name, point


def _short(value: JSON) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
