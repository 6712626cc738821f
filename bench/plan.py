"""From a suite to its cells, in an order in which parents come first.

A plan knows every cell of the run, also those that are skipped, with the reason. Identities are
known as far as parents have run. Nothing is computed here, and torch is not imported.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bench import checkpoints, fingerprint, machine
from bench.api import Attack, Explainer
from bench.cells.attack import AttackCell
from bench.cells.cell import Cell
from bench.cells.evaluate import EvaluateCell
from bench.cells.explain import ExplainCell
from bench.cells.latency import LatencyCell
from bench.cells.load import LoadCell
from bench.cells.profile import ProfileCell
from bench.cells.train import TrainCell
from bench.cells.transfer import TransferCell
from bench.cells.workbench import Architecture, Compute
from bench.data import ImageSet, Prepared
from bench.errors import Problem, SuiteError, WeightsError, nearest
from bench.layout import Profile
from bench.records import ORIGINAL, Coordinates, State
from bench.store import Store, Stored
from bench.suite import ModelEntry, Suite


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
    _check_selection(suite)
    compute = Compute(
        device=_device(suite.run.device),
        memory_format=suite.run.memory_format,
        batch_size=suite.run.batch_size,
        threads=suite.run.threads or machine.cores(),
    )
    subjects = [
        subject for model in suite.selected for subject in _subjects(suite, model, data, compute)
    ]
    cells: list[tuple[Cell, str | None]] = []
    for subject in subjects:
        cells += [(subject.weights, None), (subject.evaluation(compute), None)]
    for subject in subjects:
        if suite.profile is not None and subject.is_first:
            cells += ((cell, None) for cell in subject.profiles(suite.profile, compute))
    cells += _explanations(suite, subjects, data, compute)
    cells += _attacks(suite, subjects, data, compute)
    return Plan(
        suite,
        data,
        subjects[0].images,
        compute,
        tuple(Step(cell, skip) for cell, skip in cells),
        tuple(_notes(suite, data, subjects)),
    )


@dataclass(frozen=True)
class _Subject:
    """One training of one model, and the images that it is judged on: never what it learned from.

    ``evaluated`` are all of them, ``images`` those that attacks and explainers work on.
    ``is_first`` tells the replica that stands for all where they cannot differ, as in size.
    """

    model: ModelEntry
    replica: str | None
    is_first: bool
    architecture: Architecture
    weights: Cell
    evaluated: ImageSet
    images: ImageSet
    split: str

    @property
    def place(self) -> Coordinates:
        return self.weights.coordinates

    def evaluation(self, compute: Compute) -> Cell:
        return EvaluateCell(
            self.place, self.architecture, self.weights, self.evaluated, self.split, compute
        )

    def profiles(self, profile: Profile, compute: Compute) -> Iterator[Cell]:
        yield ProfileCell(self.place, self.architecture, self.weights, compute)
        for batch in profile.batches:
            yield LatencyCell(
                self.place,
                self.architecture,
                self.weights,
                self.evaluated,
                batch,
                compute,
                profile.warmup,
                profile.runs,
            )


def _subjects(
    suite: Suite, model: ModelEntry, data: Prepared, compute: Compute
) -> Iterator[_Subject]:
    """Lay out every training of a model, or the one set of weights that it brings."""
    architecture = Architecture(model, len(data.classes), data.image_shape)
    seeds, folds = model.replication.seeds, model.replication.folds
    recipe_seed = None if model.recipe is None else model.recipe.seed
    usual = suite.seed if recipe_seed is None else recipe_seed
    for first_seed, seed in enumerate(seeds or (usual,)):
        for fold in range(1, folds + 1) if folds is not None else (None,):
            names = [f"seed{seed}"] if seeds else []
            names += [f"fold{fold}of{folds}"] if fold is not None else []
            training, held_out = (
                data.fold(fold, folds, suite.seed)
                if fold is not None and folds is not None
                else (None, data.select(suite.images.splits))
            )
            place = Coordinates(model.name, replica="-".join(names) or None)
            yield _Subject(
                model=model,
                replica=place.replica,
                is_first=first_seed == 0 and fold in (None, 1),
                architecture=architecture,
                weights=_weights(suite, place, architecture, data, training, seed, compute),
                evaluated=held_out,
                images=held_out.drawn(suite.images.count, suite.seed),
                split="+".join(suite.images.splits) if fold is None else "folds of train",
            )


def _weights(
    suite: Suite,
    place: Coordinates,
    architecture: Architecture,
    data: Prepared,
    training: ImageSet | None,
    seed: int,
    compute: Compute,
) -> Cell:
    """Decide where a model's weights come from: a file, its library, a checkpoint, or training."""
    model = architecture.entry
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
        return LoadCell(place, architecture, file, digest)
    watched = None
    if model.recipe.patience is not None:
        if "valid" not in data.splits:
            raise SuiteError.of(
                suite.document.where(("models", model.name, "train", "patience")),
                f"needs the split 'valid', which {data.name} does not have",
                "one of its own: " + ", ".join(data.splits),
                "train without patience, as the preset 'strong' does",
            )
        watched = data.split("valid")
    images = data.split("train") if training is None else training
    cell = TrainCell(place, architecture, model.recipe, images, watched, seed, compute)
    shipped = None if suite.run.from_scratch else checkpoints.find(cell)
    if shipped is None:
        return cell
    return LoadCell(place, architecture, shipped, fingerprint.of_file(shipped), shipped=True)


def _explanations(
    suite: Suite, subjects: list[_Subject], data: Prepared, compute: Compute
) -> Iterator[tuple[Cell, str | None]]:
    for subject in subjects:
        for entry in suite.explainers:
            yield (
                ExplainCell(
                    replace(subject.place, explainer=entry.name),
                    subject.architecture,
                    subject.weights,
                    entry,
                    subject.images,
                    subject.evaluated,
                    suite.gallery,
                    suite.seed,
                    compute,
                ),
                _unsuited(entry.plugin, data),
            )


def _attacks(
    suite: Suite, subjects: list[_Subject], data: Prepared, compute: Compute
) -> Iterator[tuple[Cell, str | None]]:
    """Lay out attacks on every subject, then what is judged elsewhere; with reasons for skips."""
    made: dict[tuple[str, str], AttackCell] = {}
    reasons = {entry.name: _unsuited(entry.plugin, data) for entry in suite.attacks}
    for subject in subjects:
        for entry in suite.attacks:
            cell = AttackCell(
                replace(subject.place, attack=entry.name),
                subject.architecture,
                subject.weights,
                entry,
                subject.images,
                suite.seed,
                compute,
            )
            made[str(subject.place), entry.name] = cell
            yield cell, reasons[entry.name]
    for source, target, reason in _pairs(suite, subjects):
        for entry in suite.attacks:
            place = Coordinates(
                target.model.name,
                attack=entry.name,
                source=f"{source.model.name}/{ORIGINAL}",
                replica=target.replica or source.replica,
            )
            transfer = TransferCell(
                place,
                target.architecture,
                target.weights,
                made[str(source.place), entry.name],
                target.images,
                entry.target,
                compute,
            )
            yield transfer, reasons[entry.name] or reason


def _unsuited(plugin: Attack | Explainer, data: Prepared) -> str | None:
    """Ask a plugin why it cannot run on the data; one that cannot even answer is skipped too."""
    try:
        return plugin.unsuited(classes=len(data.classes), image_shape=data.image_shape)
    except Exception as error:  # noqa: BLE001 (a plugin's own fault costs its cells, and says so)
        return f"its unsuited() raised {type(error).__name__}: {error}"


def _pairs(
    suite: Suite, subjects: list[_Subject]
) -> Iterator[tuple[_Subject, _Subject, str | None]]:
    """Pair sources and targets of transfer, replicas with their like; with reasons for skips."""
    if suite.transfer is None:
        return
    sources, targets = suite.transfer.source, suite.transfer.to
    for source in subjects:
        for target in subjects:
            if (
                source.model.name != target.model.name
                and (sources == "all" or source.model.name in sources)
                and (targets == "all" or target.model.name in targets)
                and (source.replica == target.replica or None in (source.replica, target.replica))
            ):
                same = source.images.digest == target.images.digest
                yield source, target, None if same else "the two are judged on other images"


def _check_selection(suite: Suite) -> None:
    """Refuse a verdict on images that a model was trained or selected on."""
    learned = [
        Problem(
            suite.document.where(("images", "from")),
            f"holds 'train', from which '{model.name}' learns",
            "splits that it does not see",
            "take train out, or cross-validate with folds:",
        )
        for model in suite.selected
        if model.recipe is not None
        and model.replication.folds is None
        and "train" in suite.images.splits
    ]
    problems = learned + [
        Problem(
            suite.document.where(("images", "from")),
            f"holds 'valid', on which the training of '{model.name}' is stopped and selected",
            "splits that selected nothing",
            "take valid out, or train without patience",
        )
        for model in suite.selected
        if model.recipe is not None
        and model.recipe.patience is not None
        and model.replication.folds is None
        and "valid" in suite.images.splits
    ]
    if problems:
        raise SuiteError(*problems)


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


def _notes(suite: Suite, data: Prepared, subjects: list[_Subject]) -> Iterator[str]:
    for (one, other), pairs in data.leaks().items():
        first, second = pairs[0]
        yield (
            f"{len(pairs)} images stand in {one} and in {other} of {suite.dataset.name}, pixel for "
            f"pixel: {first} is {second}"
        )
    twins = {name for group in data.duplicates for name in group} & {
        name for s in subjects if s.model.replication.folds for name in s.evaluated.names
    }
    if twins:
        yield f"{len(twins)} images of the folds have a twin: it may be in what was trained on"
    wanted = suite.images.count
    told = {len(s.images): s.split for s in subjects if wanted and len(s.images) < wanted}
    for count, split in told.items():
        yield f"{count} images instead of {wanted}: {split} of {suite.dataset.name} has no more"


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
