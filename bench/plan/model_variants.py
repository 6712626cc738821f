"""The model variants of a run: every training of every selected model, in every selected variant.

Nothing is computed here, and torch is not imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from bench.api import Detector, Reduction, Shield, Tuning
from bench.cells.cell import Cell
from bench.cells.subject import Subject
from bench.cells.workbench import Compute
from bench.data import ImageSet, Prepared
from bench.errors import SuiteError
from bench.plan.trainings import Training, brought, trainings
from bench.records import ORIGINAL, Coordinates
from bench.suite import ModelEntry, StepEntry, Suite, VariantEntry


@dataclass(frozen=True)
class ModelVariant:
    """One variant of one training of a model, and the images that it is judged on.

    Those are never what it learned from: ``evaluated`` are all of them, ``images`` those that
    attacks and explainers work on. ``is_first`` marks the replica that represents all where they
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
        """The steps that change the images before they are judged, or the answers after."""
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
        for training in trainings(suite, model, data, compute)
        for model_variant in _variants(training, suite.selected_variants(model))
    ]
    if not found:
        raise SuiteError.of(
            suite.document.where(("run", "variants")),
            "names no variant that any model of this run has",
            "one of " + ", ".join(variant.name for variant in suite.variants),
            "a model's own 'variants:' says which it is run in",
        )
    return [_with_members(model_variant, found) for model_variant in found]


def _variants(training: Training, entries: Sequence[VariantEntry]) -> Iterator[ModelVariant]:
    """Lay out the variants of one training."""
    suite, base = training.suite, training.weights
    for entry in entries:
        place = Coordinates(training.model.name, entry.name, replica=training.replica)
        subject, before = _subject(training, base, entry, place)
        yield ModelVariant(
            place=place,
            model=training.model,
            is_first=training.is_first,
            subject=subject,
            before=before,
            evaluated=training.held_out,
            images=training.held_out.drawn(suite.images.count, suite.seed),
            split=training.split,
            steps=entry.steps,
        )


def _subject(
    training: Training, base: Cell, entry: VariantEntry, place: Coordinates
) -> tuple[Subject, Subject | None]:
    """Apply the steps of a variant: those that change weights come before shields, in any order.

    Returns:
        The model that is judged, and what the last training of a reduced one began with.

    """
    shields = tuple(step for step in entry.steps if isinstance(step.plugin, Shield))
    subject = Subject(
        training.architecture, base, shields, seed=training.suite.seed, reductions=brought(base)
    )
    before = None
    for step in entry.steps:
        if isinstance(step.plugin, Reduction):
            cell = training.reduced(place, step, subject.weights)
            known = (*subject.reductions, step.plugin)
            subject = replace(subject, weights=cell, reductions=known)
        if isinstance(step.plugin, Tuning):
            before = subject if subject.reductions else None
            subject = replace(subject, weights=training.tuned(place, step, subject, base))
    return subject, before


def _lineage(cell: Cell) -> Iterator[Cell]:
    for parent in cell.parents.values():
        yield from _lineage(parent.cell)
    yield cell


def _with_members(model_variant: ModelVariant, known: Sequence[ModelVariant]) -> ModelVariant:
    """Give a shield the subjects that it asks.

    Raises:
        SuiteError: where the run does not have one.

    """
    members = tuple(
        (name, _member(name, model_variant, known))
        for entry in model_variant.shields
        if isinstance(entry.plugin, Shield)
        for name in entry.plugin.members
    )
    if not members:
        return model_variant
    return replace(model_variant, subject=replace(model_variant.subject, members=members))


def _member(name: str, asking: ModelVariant, known: Sequence[ModelVariant]) -> Subject:
    """Find the model variant of a name: of the same replica, if it has replicas.

    Raises:
        SuiteError: where the run does not have it.

    """
    model, _, variant = name.rpartition("/")
    wanted = (model or asking.model.name, variant)
    named = {
        other.place.replica: other.subject
        for other in known
        if (other.place.model, other.place.variant) == wanted
    }
    own = asking.place
    where = f"variant '{own.variant}' of '{asking.model.name}'"
    if not named:
        raise SuiteError.of(
            where,
            f"asks '{name}', which is not part of this run",
            "a variant of a model that is run",
            f"'{ORIGINAL}' is the model itself; choose models with --models",
        )
    # one training may serve several, but not where it saw the images of a fold
    member = named.get(own.replica) or (None if own.is_fold else named.get(None))
    if member is None:
        raise SuiteError.of(
            where,
            f"asks '{name}', which has no training '{own.replica or 'of all images'}'",
            "members of the same seeds and folds: none may have seen what it is judged on",
            "give their models the same 'seeds:' and 'folds:'",
        )
    return member


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
    """Return whether names include a model variant: all, its model, its variant, or both."""
    whole = f"{place.model}/{place.variant}"
    return names == "all" or any(n in (place.model, place.variant, whole) for n in names)
