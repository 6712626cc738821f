"""The audit's reference: on each model variant and norm, what strong attacks make of what is left.

Made of the installed attacks that declare themselves to be part of it. This room knows no attack by
name, and no rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from pydantic import ValidationError

from bench import registry
from bench.api import Attack
from bench.cells.attack import AttackCell
from bench.cells.cell import Cell
from bench.cells.reference import Attempt, ReferenceCell
from bench.errors import BenchError
from bench.plan.subjects import by_subject
from bench.records import NORMS, Norm
from bench.suite.sections import Auditing


def lay_out(cells: Iterable[Cell], auditing: Auditing) -> Iterator[ReferenceCell]:
    """Lay out the reference of all attack cells, on one replica of each model.

    Args:
        cells: of a plan; those that will not be run left out.
        auditing: how many images it takes.

    """
    if auditing.extent == "off":
        return
    for attacks in by_subject(cells):
        for norm in NORMS:
            of_norm = [cell for cell in attacks if _norm(cell) == norm]
            cell = _reference(of_norm, norm, auditing) if of_norm else None
            if cell is not None:
                yield cell


def _norm(cell: AttackCell) -> Norm | None:
    return None if cell.entry.budget is None else cell.entry.budget.norm


def _reference(
    attacks: Sequence[AttackCell], norm: Norm, auditing: Auditing
) -> ReferenceCell | None:
    """Return the reference at all budgets of a norm; None where no attack can be part of it.

    What a suite only does controls at is no budget that it attacks at.
    """
    budgets = {
        cell.entry.budget.eps
        for cell in attacks
        if cell.entry.budget is not None and not cell.entry.plugin.is_control
    }
    budgets = {eps for eps in budgets if eps > 0}
    first = attacks[0]
    is_thorough = auditing.extent == "full"
    attempts = tuple(_attempts(first, norm, sorted(budgets), thorough=is_thorough))
    if not attempts:
        return None
    return ReferenceCell(
        replace(first.coordinates, attack=f"reference~{norm}"),
        first.subject,
        tuple(attacks),
        norm,
        tuple(sorted(budgets)),
        attempts,
        None if is_thorough else auditing.reference_images,
        first.images,
        first.suite_seed,
        first.compute,
    )


def _attempts(
    cell: AttackCell, norm: Norm, budgets: Sequence[float], *, thorough: bool
) -> Iterator[Attempt]:
    """Configure what is run: what serves all budgets, then for each budget the rest, in order."""
    kinds = _kinds() if budgets else []
    for name, kind in kinds:
        if kind.minimum_norm:
            yield from _configured(cell, name, kind, norm, budgets[0], thorough=thorough)
    for eps in budgets:
        for name, kind in kinds:
            if not kind.minimum_norm:
                yield from _configured(cell, name, kind, norm, eps, thorough=thorough)


def _configured(
    cell: AttackCell, name: str, kind: type[Attack], norm: Norm, eps: float, *, thorough: bool
) -> Iterator[Attempt]:
    """Ask one kind of attack for what it contributes; what does not suit the data is left out.

    Where something else answers than what attacks are given, none may end at its first success.
    """
    architecture = cell.subject.architecture
    is_exact = cell.subject.answers_otherwise is None
    made = kind.references(
        norm, eps, classes=architecture.classes, thorough=thorough, exact=is_exact
    )
    for called, plugin in made.items():
        reason = plugin.unsuited(classes=architecture.classes, image_shape=architecture.image_shape)
        if reason is None:
            yield Attempt(called, name, plugin, None if plugin.minimum_norm else eps)


def _kinds() -> list[tuple[str, type[Attack]]]:
    """Return the installed attacks that are part of the reference, by stage; own ones first."""
    found = []
    for offer in registry.offers("attacks"):
        try:
            kind = registry.load("attacks", offer.name)
        except (BenchError, ValidationError):
            continue
        if issubclass(kind, Attack) and kind.is_reference:
            is_strange = offer.distribution != registry.OWN
            found.append((kind.reference_stage, is_strange, offer.name, kind))
    return [(name, kind) for *_, name, kind in sorted(found, key=lambda each: each[:3])]
