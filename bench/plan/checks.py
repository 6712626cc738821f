"""What a suite is refused for, and what is said aloud, before any cell runs.

Nothing is computed here, and torch is not imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench import machine
from bench.api import Recipe, Tuning
from bench.cells.workbench import Compute
from bench.data import Prepared
from bench.errors import Problem, SuiteError
from bench.plan.model_variants import ModelVariant, is_named, pairs
from bench.suite import Suite, document


def check(suite: Suite, data: Prepared) -> None:
    """Refuse a suite that does not fit the data, or whose verdicts would be worth nothing.

    Raises:
        SuiteError: with all that is wrong, of one kind.

    """
    _check_targets(suite, data)
    _check_selection(suite)


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


def warnings(
    suite: Suite, data: Prepared, found: list[ModelVariant], compute: Compute
) -> Iterator[str]:
    """Yield what a reader of the results should know, each in a sentence."""
    for (one, other), twins in data.leaks().items():
        first, second = twins[0]
        yield (
            f"{len({twin for _, twin in twins})} images of {other} stand in {one} of "
            f"{suite.dataset.name} too, pixel for pixel: {second} is {first}"
        )
    doubled = {name for group in data.duplicates for name in group} & {
        name for c in found if c.model.replication.folds for name in c.evaluated.names
    }
    if doubled:
        yield f"{len(doubled)} images of the folds have a twin: it may be in what was trained on"
    wanted = suite.images.count
    told = {len(c.images): c.split for c in found if wanted and len(c.images) < wanted}
    for count, split in told.items():
        yield f"{count} images instead of {wanted}: {split} of {suite.dataset.name} has no more"
    if all(map(str.isdecimal, data.classes)) and list(data.classes) != sorted(data.classes):
        yield (
            f"the classes of {suite.dataset.name} stand in the order of their numbers, not in that "
            f"of their names as text: {_listed(data.classes)}"
        )
    yield from _left_out(suite, found)
    if compute.device == "cpu" and not machine.bf16_instructions():
        for path in _in_bf16(found):
            precision = document.dotted((*path, "precision"))
            yield (
                f"{path[1]} trains in bf16, which this processor emulates, several times slower "
                f"than fp32: --set {precision}=fp32 trains other weights"
            )


def _listed(names: Sequence[str]) -> str:
    """List names; of many, the first and the last."""
    kept = names if len(names) <= _MANY else (*names[:3], "...", names[-1])
    return ", ".join(kept)


_MANY = 20


def _in_bf16(found: list[ModelVariant]) -> Iterator[document.Path]:
    """Yield where in the suite a recipe is that trains in bf16, each once."""
    recipes: dict[document.Path, Recipe | None] = {}
    for variant in found:
        recipes["models", variant.model.name, "train"] = variant.model.recipe
        for step in variant.steps:
            if isinstance(step.plugin, Tuning):
                place = step.position - 1
                recipes["variants", variant.place.variant, place, step.name] = step.plugin.recipe
    for path, recipe in recipes.items():
        if recipe is not None and recipe.precision == "bf16":
            yield path


def _left_out(suite: Suite, found: list[ModelVariant]) -> Iterator[str]:
    """Say what a suite asks for, and no two model variants of this run can give."""
    if suite.transfer is not None:
        named = [
            {c.place.replica for c in found if is_named(c.place, names)}
            for names in (suite.transfer.source, suite.transfer.to)
        ]
        apart = {(c.place.model, c.place.variant) for c in found}
        if len(apart) > 1 and next(pairs(suite, found), None) is None and all(named):
            yield (
                "nothing is transferred: sources and targets are of other seeds or folds, and only "
                "trainings of equal ones are paired"
            )
    if suite.explain_variants and not any(not c.steps for c in found):
        yield "explain_variants compares with the original, which is not part of this run"
