"""Who is judged: every training of every model, in every variant, and where its weights come from.

Nothing is computed here, and torch is not imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from bench import fingerprint
from bench.api import Detector, Reduction, Shield, Tuning
from bench.api.recipes import Recipe
from bench.cells.cell import Cell
from bench.cells.compress import CompressCell
from bench.cells.load import LoadCell
from bench.cells.subject import Subject
from bench.cells.train import TrainCell
from bench.cells.workbench import Architecture, Compute
from bench.classifier.reductions import AppliedReductions
from bench.data import ImageSet, Prepared
from bench.errors import SuiteError, WeightsError
from bench.plan import checkpoints
from bench.records import ORIGINAL, Coordinates
from bench.suite import ModelEntry, StepEntry, Suite, VariantEntry


@dataclass(frozen=True)
class ModelVariant:
    """One variant of one training of a model, and the images that it is judged on.

    Those are never what it learned from: ``evaluated`` are all of them, ``images`` those that
    attacks and explainers work on. ``is_first`` marks the replica that stands for all where they
    cannot differ, as in size. ``steps`` are those of the variant; ``before`` is what the last
    training of a reduced variant began with.
    """

    place: Coordinates
    model: ModelEntry
    is_first: bool
    subject: Subject
    evaluated: ImageSet
    images: ImageSet
    split: str
    steps: tuple[StepEntry, ...] = ()
    before: Subject | None = None

    @property
    def detectors(self) -> tuple[StepEntry, ...]:
        """What scores which images look attacked."""
        return tuple(step for step in self.steps if isinstance(step.plugin, Detector))

    @property
    def shields(self) -> tuple[StepEntry, ...]:
        """What stands between images and answers."""
        return self.subject.shields

    @property
    def trained_from(self) -> Iterator[Cell]:
        """The cells that bring the weights, parents first."""
        yield from _lineage(self.subject.weights)


def model_variants(suite: Suite, data: Prepared, compute: Compute) -> list[ModelVariant]:
    """Lay out all trainings of the selected models in all selected variants.

    Raises:
        SuiteError, WeightsError: where a model's weights cannot come from where the suite says.

    """
    found = [
        model_variant
        for model in suite.selected
        for training in _trainings(suite, model, data, compute)
        for model_variant in training.variants(suite.selected_variants(model))
    ]
    if not found:
        raise SuiteError.of(
            suite.document.where(("run", "variants")),
            "names no variant that any model of this run has",
            "one of " + ", ".join(variant.name for variant in suite.variants),
            "a model's own 'variants:' says which it is run in",
        )
    return [_with_members(model_variant, found) for model_variant in found]


@dataclass(frozen=True)
class _Training:
    """One training of one model: seed, fold, and the images on either side of it."""

    suite: Suite
    data: Prepared
    compute: Compute
    model: ModelEntry
    replica: str | None
    is_first: bool
    seed: int
    images: ImageSet | None
    held_out: ImageSet

    @property
    def architecture(self) -> Architecture:
        return Architecture(self.model, len(self.data.classes), self.data.image_shape)

    def variants(self, entries: Sequence[VariantEntry]) -> Iterator[ModelVariant]:
        """Lay out each variant; what changes weights comes before what shields, in any order."""
        base = self.weights(Coordinates(self.model.name, replica=self.replica))
        for entry in entries:
            place = Coordinates(self.model.name, entry.name, replica=self.replica)
            shields = tuple(step for step in entry.steps if isinstance(step.plugin, Shield))
            subject = Subject(
                self.architecture, base, shields, seed=self.suite.seed, reductions=_brought(base)
            )
            before = None
            for step in entry.steps:
                if isinstance(step.plugin, Reduction):
                    cell = self.reduced(place, step, subject.weights)
                    known = (*subject.reductions, step.plugin)
                    subject = replace(subject, weights=cell, reductions=known)
                if isinstance(step.plugin, Tuning):
                    before = subject if subject.reductions else None
                    tuned = self.tuned(place, step, subject, base)
                    subject = replace(subject, weights=tuned)
            yield ModelVariant(
                place=place,
                model=self.model,
                is_first=self.is_first,
                subject=subject,
                before=before,
                evaluated=self.held_out,
                images=self.held_out.drawn(self.suite.images.count, self.suite.seed),
                split="+".join(self.suite.images.splits)
                if self.images is None
                else "folds of train",
                steps=entry.steps,
            )

    def weights(self, place: Coordinates) -> Cell:
        """Decide where weights come from: a file, a library, a checkpoint, or training."""
        recipe = self.model.recipe
        if recipe is not None:
            return self.unless_shipped(self.training(place, recipe))
        file = self.model.plugin.weights
        if file is not None and not file.is_file():
            raise WeightsError.of(
                self.suite.document.where(("models", self.model.name, "weights")),
                f"no such file: '{file}'",
                "a .safetensors or .pt file, from the folder that you are in",
                "no other weights take its place",
            )
        digest = fingerprint.of_file(file) if file is not None else None
        return LoadCell(place, self.architecture, file, digest)

    def training(self, place: Coordinates, recipe: Recipe) -> TrainCell:
        """Lay out a training from fresh weights."""
        watched = None
        if recipe.patience is not None:
            if "valid" not in self.data.splits:
                raise SuiteError.of(
                    self.suite.document.where(("models", self.model.name, "train", "patience")),
                    f"needs the split 'valid', which {self.data.name} does not have",
                    "one of its own: " + ", ".join(self.data.splits),
                    "train without patience, as the preset 'strong' does",
                )
            watched = self.data.split("valid")
        images = self.data.split("train") if self.images is None else self.images
        return TrainCell(place, self.architecture, recipe, images, watched, self.seed, self.compute)

    def reduced(self, place: Coordinates, step: StepEntry, start: Cell) -> CompressCell:
        """Lay out a reduction of the weights there are; it sees training images only."""
        images = self.data.split("train") if self.images is None else self.images
        return CompressCell(place, self.architecture, start, step, images, self.seed, self.compute)

    def tuned(self, place: Coordinates, step: StepEntry, so_far: Subject, base: Cell) -> Cell:
        """Lay out a step that trains, from fresh weights or those there are."""
        plugin = step.plugin
        if not isinstance(plugin, Tuning):
            raise TypeError(f"{step.name} trains nothing")
        held = any(reduction.holds_zeros for reduction in so_far.reductions)
        cell = replace(
            self.training(place, plugin.recipe),
            step=step,
            start=None if plugin.is_from_scratch else so_far.weights,
            teacher=base if plugin.uses_teacher else None,
            holds_zeros=held and not plugin.is_from_scratch,
        )
        return self.unless_shipped(cell)

    def unless_shipped(self, cell: TrainCell) -> Cell:
        """Return a training, or the loading of the checkpoint that ships in its place."""
        file = None if self.suite.run.from_scratch else checkpoints.find(cell)
        if file is None:
            return cell
        digest = fingerprint.of_file(file)
        return LoadCell(cell.coordinates, self.architecture, file, digest, shipped=True)


def _brought(cell: Cell) -> tuple[Reduction, ...]:
    """Return the reductions that weights from a file went through, as its header lists."""
    if not isinstance(cell, LoadCell) or cell.file is None or cell.file.suffix != ".safetensors":
        return ()
    known = AppliedReductions.of(checkpoints.read_header(cell.file), str(cell.file))
    return tuple(form.plugin for form in known.steps)


def _lineage(cell: Cell) -> Iterator[Cell]:
    for parent in cell.parents.values():
        yield from _lineage(parent.cell)
    yield cell


def _trainings(
    suite: Suite, model: ModelEntry, data: Prepared, compute: Compute
) -> Iterator[_Training]:
    """Lay out every training of a model, or the one set of weights that it brings."""
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
            yield _Training(
                suite=suite,
                data=data,
                compute=compute,
                model=model,
                replica="-".join(names) or None,
                is_first=first_seed == 0 and fold in (None, 1),
                seed=seed,
                images=training,
                held_out=held_out,
            )


def _with_members(model_variant: ModelVariant, known: Sequence[ModelVariant]) -> ModelVariant:
    """Give a shield the subjects that it asks: of the same replica, if they have replicas.

    Raises:
        SuiteError: where the run does not have one.

    """
    asked = [
        name
        for entry in model_variant.shields
        if isinstance(entry.plugin, Shield)
        for name in entry.plugin.members
    ]
    if not asked:
        return model_variant
    members = []
    for name in asked:
        model, _, variant = name.rpartition("/")
        wanted = (model or model_variant.model.name, variant)
        named = {
            other.place.replica: other.subject
            for other in known
            if (other.place.model, other.place.variant) == wanted
        }
        where = f"variant '{model_variant.place.variant}' of '{model_variant.model.name}'"
        if not named:
            raise SuiteError.of(
                where,
                f"asks '{name}', which is not part of this run",
                "a variant of a model that is run",
                f"'{ORIGINAL}' is the model itself; choose models with --models",
            )
        own = model_variant.place
        # one training may stand beside several, but not where it saw the images of a fold
        member = named.get(own.replica) or (None if own.is_fold else named.get(None))
        if member is None:
            raise SuiteError.of(
                where,
                f"asks '{name}', which has no training '{own.replica or 'of all images'}'",
                "members of the same seeds and folds: none may have seen what it is judged on",
                "give their models the same 'seeds:' and 'folds:'",
            )
        members.append((name, member))
    return replace(model_variant, subject=replace(model_variant.subject, members=tuple(members)))


def pairs(
    suite: Suite, found: list[ModelVariant]
) -> Iterator[tuple[ModelVariant, ModelVariant, str | None]]:
    """Pair sources and targets of transfer, replicas with their like; with reasons for skips."""
    if suite.transfer is None:
        return
    for source in found:
        for target in found:
            one, other = source.place, target.place
            if (
                (one.model, one.variant) != (other.model, other.variant)
                and is_named(one, suite.transfer.source)
                and is_named(other, suite.transfer.to)
                and (one.replica == other.replica or None in (one.replica, other.replica))
            ):
                same = source.images.digest == target.images.digest
                reason = None if same else "the two are judged on other images"
                yield source, target, reason


def is_named(place: Coordinates, names: Sequence[str] | str) -> bool:
    """Say whether names mean a model variant: all, its model, its variant, or model/variant."""
    whole = f"{place.model}/{place.variant}"
    return names == "all" or any(n in (place.model, place.variant, whole) for n in names)
