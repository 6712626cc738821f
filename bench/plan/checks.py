"""Why a suite is refused, and the warnings of a plan, before any cell runs.

Nothing is computed here, and torch is not imported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from bench import machine
from bench.api import Recipe, Tuning
from bench.cells.workbench import Compute
from bench.data import Prepared
from bench.errors import Problem, SuiteError
from bench.plan import scales
from bench.plan.model_variants import ModelVariant, is_named, pairs
from bench.suite import Suite, document


def check(suite: Suite, data: Prepared) -> None:
    """Refuse a suite that does not fit the data, or judges models on what they learned from.

    Raises:
        SuiteError: with all mistakes of one kind.

    """
    scales.check(suite, data)
    _check_targets(suite, data)
    _check_selection(suite)


def _check_selection(suite: Suite) -> None:
    """Refuse a verdict on images that a model variant was trained or selected on."""
    where = suite.document.where(("images", "from"))
    learners = dict(_learners(suite))
    problems = [
        Problem(
            where,
            f"holds 'train', from which '{name}' learns",
            "splits that it does not see",
            "take train out, or cross-validate with folds:",
        )
        for name in learners
        if "train" in suite.images.splits
    ] + [
        Problem(
            where,
            f"holds 'valid', on which the training of '{name}' is stopped and selected",
            "splits that selected nothing",
            "take valid out, or train without patience",
        )
        for name, recipes in learners.items()
        if "valid" in suite.images.splits and any(each.patience is not None for each in recipes)
    ]
    if problems:
        raise SuiteError(*problems)


def _learners(suite: Suite) -> Iterator[tuple[str, list[Recipe]]]:
    """Yield who learns in this run, and by which recipes; folds are judged on what they hold out.

    A variant that trains on learns from the same images as its model, and is named where the model
    itself brings its weights, or selects nothing.
    """
    for model in suite.selected:
        if model.replication.folds is not None:
            continue
        if model.recipe is not None:
            yield model.name, [model.recipe]
        for variant in suite.selected_variants(model):
            recipes = [s.plugin.recipe for s in variant.steps if isinstance(s.plugin, Tuning)]
            if recipes and (model.recipe is None or any(r.patience is not None for r in recipes)):
                yield f"{model.name}/{variant.name}", recipes


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
    """Yield the warnings of a plan, each in a sentence."""
    for (one, other), twins in data.leaks().items():
        first, second = twins[0]
        yield (
            f"{len({twin for _, twin in twins})} images of {other} are in {one} of "
            f"{suite.dataset.name} too, pixel for pixel: {second} is {first}"
        )
    for near in data.near_duplicates:
        one, other = near["splits"]
        if near["images"]:
            first, second = near["images"][0]
            yield (
                f"{len({twin for _, twin in near['images']})} images of {other} show what images "
                f"of {one} of {suite.dataset.name} show, nearly: {second} and {first}"
            )
    doubled = {name for group in data.duplicates for name in group} & {
        name for c in found if c.model.replication.folds for name in c.evaluated.names
    }
    if doubled:
        yield f"{len(doubled)} images of the folds have a duplicate, which training may have seen"
    wanted = suite.images.count
    fewer = {len(c.images): c.split for c in found if wanted and len(c.images) < wanted}
    for count, split in fewer.items():
        yield f"{count} images instead of {wanted}: {split} of {suite.dataset.name} has no more"
    if all(map(_NUMBER.fullmatch, data.classes)) and list(data.classes) != sorted(data.classes):
        yield (
            f"the classes of {suite.dataset.name} are in the order of their numbers, not in that "
            f"of their names as text: {_listed(data.classes)}"
        )
    yield from _of_unknown_training(suite)
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

_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")


def _of_unknown_training(suite: Suite) -> Iterator[str]:
    """Name the models that may have learned from the very images that they are judged on."""
    for model in suite.selected:
        if model.recipe is None and "train" in suite.images.splits:
            file = model.plugin.weights
            source = "its library" if file is None else str(file)
            yield (
                f"{model.name} is judged on images of 'train', and its weights come from {source}: "
                "what they learned from is not known, and may be these images"
            )


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
    """Name what a suite asks for and no model variants of this run can give."""
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
