"""From a suite to its cells, in an order in which parents come first.

A plan knows every cell of the run, also those that are skipped, with the reason. Identities are
known as far as parents have run. Nothing is computed here, and torch is not imported.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench import checkpoints, fingerprint
from bench.cells.attack import AttackCell
from bench.cells.cell import Cell
from bench.cells.evaluate import EvaluateCell
from bench.cells.load import LoadCell
from bench.cells.train import TrainCell
from bench.cells.transfer import TransferCell
from bench.cells.workbench import Architecture, Compute
from bench.data import ImageSet, Prepared
from bench.errors import Problem, SuiteError, WeightsError, nearest
from bench.records import ORIGINAL, Coordinates, State
from bench.store import Store, Stored
from bench.suite import AttackEntry, Suite


@dataclass(frozen=True)
class Step:
    """A cell in a plan. ``skip`` says why it will not be run, if so."""

    cell: Cell
    skip: str | None = None


@dataclass(frozen=True)
class Status:
    """Where a step stands: its key as far as it is known, its result if it is there, and why."""

    step: Step
    state: State
    key: str | None = None
    stored: Stored | None = None
    reason: str = ""


@dataclass(frozen=True)
class Plan:
    """All cells of a run, parents first. ``notes`` are things to say aloud."""

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
        chosen = [s.cell for s in self.steps if label in (s.cell.label, str(s.cell.coordinates))]
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


def statuses(plan: Plan, store: Store) -> list[Status]:
    """Say where every step of a plan stands, given what the store holds."""
    known: dict[str, Status] = {}
    for step in plan.steps:
        known[step.cell.label] = status(step, known, store)
    return list(known.values())


def status(step: Step, known: Mapping[str, Status], store: Store) -> Status:
    """Say where one step stands, given where its parents stand."""
    if step.skip is not None:
        return Status(step, "skipped", reason=step.skip)
    parents = {role: known[parent.cell.label] for role, parent in step.cell.parents.items()}
    for parent in parents.values():
        if parent.state in ("failed", "skipped", "blocked"):
            origin = parent.reason if parent.state == "blocked" else parent.step.cell.label
            return Status(step, "blocked", reason=origin)
    for parent in parents.values():
        if parent.stored is None:
            return Status(step, "depends", reason=parent.step.cell.label)
    key = step.cell.key({role: s.stored for role, s in parents.items() if s.stored is not None})
    stored = store.find(key)
    return Status(step, "to do" if stored is None else "done", key, stored)


def build(suite: Suite, data: Prepared) -> Plan:
    """Lay out the cells of a suite.

    Raises:
        SuiteError: where the suite does not fit the data.

    """
    _check_targets(suite, data)
    images = data.select(suite.images.splits, suite.images.count, suite.seed)
    evaluated = data.select(suite.images.splits)
    compute = Compute(
        device=_device(suite.run.device),
        memory_format=suite.run.memory_format,
        batch_size=suite.run.batch_size,
        threads=suite.run.threads or available_cores(),
    )
    weights: dict[str, tuple[Architecture, Cell]] = {}
    steps: list[Step] = []
    for model in suite.selected:
        architecture = Architecture(model, len(data.classes), data.image_shape)
        cell = _weights(suite, architecture, data, compute)
        weights[model.name] = architecture, cell
        place = Coordinates(model.name)
        evaluate = EvaluateCell(place, architecture, cell, evaluated, suite.images.splits, compute)
        steps += [Step(cell), Step(evaluate)]
    attacks = {
        (model.name, entry.name): Step(
            AttackCell(
                Coordinates(model.name, attack=entry.name),
                *weights[model.name],
                entry,
                images,
                suite.seed,
                compute,
            ),
            skip=_unsuited(entry, data),
        )
        for model in suite.selected
        for entry in suite.attacks
    }
    transfers = (
        Step(
            TransferCell(
                Coordinates(target, attack=entry.name, source=f"{source}/{ORIGINAL}"),
                *weights[target],
                attacks[source, entry.name].cell,
                images,
                entry.target,
                compute,
            ),
            skip=attacks[source, entry.name].skip,
        )
        for source, target in _pairs(suite)
        for entry in suite.attacks
    )
    steps += [*attacks.values(), *transfers]
    return Plan(suite, data, images, compute, tuple(steps), tuple(_notes(suite, images)))


def _weights(suite: Suite, architecture: Architecture, data: Prepared, compute: Compute) -> Cell:
    """Decide where a model's weights come from: a file, its library, a checkpoint, or training."""
    model = architecture.entry
    coordinates = Coordinates(model.name)
    if model.recipe is None:
        file = model.plugin.weights
        if file is not None and not file.is_file():
            raise WeightsError.of(
                suite.document.where(("models", model.name, "weights")),
                f"no such file: '{file}'",
                "a .safetensors or .pt file, from the folder that you are in",
                "no other weights take its place",
            )
        digest = fingerprint.of_file(file) if file is not None else None
        return LoadCell(coordinates, architecture, file, digest)
    seed = suite.seed if model.recipe.seed is None else model.recipe.seed
    training = data.split("train")
    cell = TrainCell(coordinates, architecture, model.recipe, training, seed, compute)
    shipped = checkpoints.find(cell)
    if shipped is None:
        return cell
    return LoadCell(coordinates, architecture, shipped, fingerprint.of_file(shipped), shipped=True)


def _unsuited(entry: AttackEntry, data: Prepared) -> str | None:
    """Ask an attack why it cannot run on the data; one that cannot even answer is skipped too."""
    try:
        return entry.plugin.unsuited(classes=len(data.classes), image_shape=data.image_shape)
    except Exception as error:  # noqa: BLE001 (a plugin's own fault costs its cells, and says so)
        return f"its unsuited() raised {type(error).__name__}: {error}"


def _pairs(suite: Suite) -> Iterator[tuple[str, str]]:
    if suite.transfer is None:
        return
    names = [model.name for model in suite.selected]
    sources, targets = suite.transfer.source, suite.transfer.to
    for source in names:
        for target in names:
            if (
                source != target
                and (sources == "all" or source in sources)
                and (targets == "all" or target in targets)
            ):
                yield source, target


def _check_targets(suite: Suite, data: Prepared) -> None:
    problems = [
        Problem(
            suite.document.where(("attacks", entry.group, "target")),
            f"got {entry.target}",
            f"the index of a class, 0 to {len(data.classes) - 1}",
        )
        for entry in suite.attacks
        if entry.target is not None and not 0 <= entry.target < len(data.classes)
    ]
    if problems:
        raise SuiteError(*dict.fromkeys(problems))


def _notes(suite: Suite, images: ImageSet) -> Iterator[str]:
    wanted = suite.images.count
    if wanted is not None and len(images) < wanted:
        yield (
            f"{len(images)} images instead of {wanted}: "
            f"{'+'.join(suite.images.splits)} of {suite.dataset.name} has no more"
        )


def available_cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _device(wanted: str) -> str:
    """Resolve ``auto``; asks torch only on a machine that shows signs of a GPU."""
    if wanted != "auto":
        return wanted
    signs = ("nvidiactl", "nvidia0", "dxg", "kfd")
    if sys.platform == "darwin" or (
        sys.platform == "linux" and not any(Path("/dev", sign).exists() for sign in signs)
    ):
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
