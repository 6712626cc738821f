"""The trainings of a model, by seed and fold, and the cells that bring their weights.

Nothing is computed here, and torch is not imported.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from bench import fingerprint
from bench.api import Reduction, Tuning
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
from bench.records import Coordinates
from bench.suite import ModelEntry, StepEntry, Suite


@dataclass(frozen=True)
class Training:
    """One training of one model: its seed, its fold, and the images on either side of it.

    ``images`` are those of the other folds; None: the split ``train``. ``held_out`` are those that
    it is judged on.
    """

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
        """The network that is trained, for the classes and the shape of the images."""
        return Architecture(self.model, len(self.data.classes), self.data.image_shape)

    @property
    def split(self) -> str:
        """The name of the images that are held out."""
        return "+".join(self.suite.images.splits) if self.images is None else "folds of train"

    @cached_property
    def weights(self) -> Cell:
        """The weights of the original: from a file, a library, a checkpoint, or training."""
        place = Coordinates(self.model.name, replica=self.replica)
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


def trainings(
    suite: Suite, model: ModelEntry, data: Prepared, compute: Compute
) -> Iterator[Training]:
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
            yield Training(
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


def brought(cell: Cell) -> tuple[Reduction, ...]:
    """Return the reductions that weights from a file went through, as its header lists."""
    if not isinstance(cell, LoadCell) or cell.file is None or cell.file.suffix != ".safetensors":
        return ()
    known = AppliedReductions.of(checkpoints.read_header(cell.file), str(cell.file))
    return tuple(form.plugin for form in known.steps)
