"""A plan: every cell of a run, also those that are skipped, and the status of each.

Identities are known as far as parents have run. Nothing is computed here, and torch is not
imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.cells.cell import Cell
from bench.cells.workbench import Compute
from bench.data import ImageSet, Prepared
from bench.errors import Problem, SuiteError, nearest
from bench.records import State, write_name
from bench.store import Store, Stored
from bench.suite import Suite


@dataclass(frozen=True)
class Step:
    """A cell in a plan. ``skip`` is the reason that it will not be run, if any."""

    cell: Cell
    skip: str | None = None


@dataclass(frozen=True)
class Status:
    """The status of a step: its state and the reason, its key and its result as far as known."""

    step: Step
    state: State
    key: str | None = None
    stored: Stored | None = None
    reason: str = ""


@dataclass(frozen=True)
class Plan:
    """All cells of a run, parents first. ``notes`` are its warnings."""

    suite: Suite
    data: Prepared
    images: ImageSet
    compute: Compute
    steps: tuple[Step, ...]
    notes: tuple[str, ...]

    def needed_by(self, label: str) -> frozenset[str]:
        """Return the labels of one cell and of all that it needs.

        Raises:
            SuiteError: where the plan has no such cell.

        """
        wanted = write_name(label)
        chosen = [
            step.cell
            for step in self.steps
            if wanted in (write_name(step.cell.label), write_name(str(step.cell.coordinates)))
        ]
        if not chosen:
            raise SuiteError(
                Problem(
                    "--only",
                    f"'{label}' is no cell of this run",
                    "a label that 'bench plan' prints",
                    nearest(label, [step.cell.label for step in self.steps]),
                )
            )
        needed: set[str] = set()
        while chosen:
            cell = chosen.pop()
            needed.add(cell.label)
            chosen += [parent.cell for parent in cell.parents.values()]
        return frozenset(needed)


_WITHOUT: tuple[State, ...] = ("failed", "skipped", "blocked")
"""States of a parent that will have no result in this run."""


def statuses(plan: Plan, store: Store) -> list[Status]:
    """Return the status of every step of a plan, given what the store holds."""
    known: dict[str, Status] = {}
    for step in plan.steps:
        known[step.cell.label] = status(step, known, store)
    return list(known.values())


def status(step: Step, known: Mapping[str, Status], store: Store) -> Status:
    """Return the status of one step, given those of its parents."""
    if step.skip is not None:
        return Status(step, "skipped", reason=step.skip)
    parents = {role: known[parent.cell.label] for role, parent in step.cell.parents.items()}
    without = {
        role for role in step.cell.optional & parents.keys() if parents[role].state in _WITHOUT
    }
    parents = {role: parent for role, parent in parents.items() if role not in without}
    for parent in parents.values():
        if parent.state in _WITHOUT:
            origin = parent.reason if parent.state == "blocked" else parent.step.cell.label
            return Status(step, "blocked", reason=origin)
    for parent in parents.values():
        if parent.stored is None:
            return Status(step, "depends", reason=parent.step.cell.label)
    key = step.cell.key({role: s.stored for role, s in parents.items() if s.stored is not None})
    stored = store.find(key)
    return Status(step, "to do" if stored is None else "done", key, stored)
