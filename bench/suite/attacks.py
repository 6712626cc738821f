"""The attacks of a suite, read together: each with its budget, and cascades of several.

It does not know the keys of one entry, only what entries need of each other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from bench.records import JSON, Budget
from bench.suite.cascade import Listed
from bench.suite.entries import AttackEntry
from bench.suite.names import Names
from bench.suite.problems import Mistakes, alone, validate
from bench.suite.written import WrittenAttack, WrittenCascade, check_targetable


def read(
    given: Mapping[str, Any], names: Names, budgets: Sequence[Budget]
) -> tuple[AttackEntry, ...]:
    """Read all attacks, cascades last, and note their names.

    Args:
        given: the plain values of each.
        names: of the suite; those of attacks and of their parameters are added.
        budgets: for attacks that promise none, one for each norm.

    Raises:
        ValidationError: with all that is wrong.

    """
    mistakes = Mistakes()
    cascades = {k for k, entry in given.items() if isinstance(entry, dict) and "cascade" in entry}
    plain = {group: entry for group, entry in given.items() if group not in cascades}
    single = _single(plain, names, budgets, mistakes)
    names.attacks = {entry.name: entry.group for entry in single.values()}
    entries = dict(single)
    for name in (each for each in given if each in cascades):
        with mistakes.noted(name):
            written = validate(WrittenCascade, given[name], names)
            _check_members(written.cascade, single, cascades)
            if all(each in single for each in written.cascade):  # others are reported themselves
                members = [single[each] for each in written.cascade]
                entries[name] = _cascade(name, members, written.target)
    mistakes.raise_any()
    names.attacks = {entry.name: entry.group for entry in entries.values()}
    names.cells["attack"] = [_facts(entry) for entry in entries.values()]
    names.cells["detect"] = names.cells["attack"]
    names.parameters |= {key for each in entries.values() for key in each.plugin.parameters()}
    return tuple(entries.values())


def _single(
    given: Mapping[str, Any], names: Names, budgets: Sequence[Budget], mistakes: Mistakes
) -> dict[str, AttackEntry]:
    """Read the attacks that are no cascades, by name."""
    of_norm = {budget.norm: budget for budget in budgets}
    entries: dict[str, AttackEntry] = {}
    for group, written in given.items():
        with mistakes.noted(group):
            for entry in WrittenAttack.read(group, written, names).entries(of_norm):
                if entry.name in entries:
                    raise alone(f"'{entry.name}' is the name of two attacks", "names that differ")
                entries[entry.name] = entry
    return entries


def _cascade(name: str, members: Sequence[AttackEntry], target: int | None) -> AttackEntry:
    """Return an attack that is a list of others, each run on what remains correct."""
    mistakes = Mistakes()
    found = {member.budget for member in members}
    if len(found) > 1:
        listed = "; ".join(f"{member.name} {member.budget}" for member in members)
        mistakes.note(("cascade",), listed, "one budget: a rate belongs to a norm and an eps")
    budget = members[0].budget
    if found == {None}:
        mistakes.note(
            ("cascade",),
            "its attacks promise no budget",
            "a budget, which says what counts",
            "give them one: budget: {norm: l2, eps: 0.5}",
        )
    mistakes.raise_any()
    ordered = sorted(members, key=lambda member: member.plugin.passes)
    plugin = Listed(members=tuple((each.name, each.plugin) for each in ordered), within=budget)
    with mistakes.noted("target"):
        check_targetable(plugin, name, target)
    mistakes.raise_any()
    return AttackEntry(name, "cascade", plugin, name, target, budget, tuple(ordered))


def _check_members(
    asked: Sequence[str], single: Mapping[str, AttackEntry], cascades: Collection[str]
) -> None:
    """Check that a cascade names untargeted attacks, each once, and no cascade."""
    mistakes = Mistakes()
    if len(set(asked)) < len(asked):
        mistakes.note(("cascade",), f"got {asked!r}", "each attack once")
    for place, name in enumerate(asked):
        if name in cascades:
            mistakes.note(("cascade", place), f"'{name}' is a cascade", "attacks that are none")
        if name in single and single[name].target is not None:
            mistakes.note(
                ("cascade", place),
                f"'{name}' has a target of its own",
                "untargeted attacks",
                "give the cascade a target instead",
            )
    mistakes.raise_any()


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
        "control": attack.plugin.is_control,
    }
    if attack.budget is not None:
        found |= {
            "norm": attack.budget.norm,
            "eps": attack.budget.eps,
            "budget": str(attack.budget),
        }
    return found
