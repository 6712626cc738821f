"""The variants of a suite, read together: steps that undo others, and members of shields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench.api import Detector, Reduction, Shield, Tuning
from bench.records import ORIGINAL
from bench.suite.entries import StepEntry, VariantEntry
from bench.suite.names import Names, check
from bench.suite.problems import Mistakes
from bench.suite.steps import step


def read(given: Mapping[str, Any], names: Names) -> tuple[VariantEntry, ...]:
    """Read the variants, each a list of steps; a suite that names none has the original.

    Raises:
        ValidationError: with all that is wrong.

    """
    mistakes = Mistakes()
    found = {name: tuple(_steps(name, steps, mistakes)) for name, steps in given.items()}
    for name in found:
        with mistakes.noted(name):
            _check_members(name, found, names)
    mistakes.raise_any()
    whole = {name: tuple(filter(None, steps)) for name, steps in found.items()}
    shields = (s.plugin for steps in whole.values() for s in steps if isinstance(s.plugin, Shield))
    names.parameters |= {name for shield in shields for name in shield.parameters()}
    return tuple(VariantEntry(*each) for each in whole.items()) or (VariantEntry(ORIGINAL),)


Steps = Sequence[StepEntry | None]
"""The steps of a variant; None in the place of one that could not be read."""


def _steps(name: str, given: Any, mistakes: Mistakes) -> Iterator[StepEntry | None]:
    """Read the steps of one variant, and check what they do to each other."""
    if not isinstance(given, list):
        mistakes.note((name,), f"got {given!r}", "a list of steps")
        return
    steps: list[StepEntry | None] = []
    for place, each in enumerate(given):
        steps.append(None)
        with mistakes.noted(name, place):
            steps[-1] = step(each, place + 1)
    with mistakes.noted(name):
        _check(name, steps)
    yield from steps


def _check(name: str, steps: Steps) -> None:
    mistakes = Mistakes()
    if name == ORIGINAL and steps:
        mistakes.note((), "has steps", f"none: '{ORIGINAL}' is the model")
    if name != ORIGINAL and not steps:
        mistakes.note((), "has no step", f"one, or the name '{ORIGINAL}'")
    if sum(each is not None and isinstance(each.plugin, Detector) for each in steps) > 1:
        mistakes.note((), "has two detectors", "one in each variant")
    _check_fresh(steps, mistakes)
    _check_effect(steps, mistakes)
    mistakes.raise_any()


def _check_fresh(steps: Steps, mistakes: Mistakes) -> None:
    """Check that no step throws away the weights that others made."""
    made: StepEntry | None = None
    for place, each in enumerate(steps):
        plugin = None if each is None else each.plugin
        if made and each and isinstance(plugin, Tuning) and plugin.is_from_scratch:
            mistakes.note(
                (place,),
                f"'{each.name}' begins with fresh weights, and undoes '{made.name}'",
                f"it before '{made.name}', or training that goes on",
            )
        if isinstance(plugin, Reduction | Tuning):
            made = each


def _check_effect(steps: Steps, mistakes: Mistakes) -> None:
    """Check that every step has an effect beside a shield that asks its members only."""
    alone = [
        (place, each.name)
        for place, each in enumerate(steps)
        if each is not None and isinstance(each.plugin, Shield) and each.plugin.ignores_base_model
    ]
    if not alone:
        return
    last, asking = alone[-1]
    for place, each in enumerate(steps):
        if each is None or isinstance(each.plugin, Detector):
            continue
        if place < last or not isinstance(each.plugin, Shield):
            mistakes.note(
                (place,),
                f"'{each.name}' has no effect: '{asking}' asks its members only",
                f"beside '{asking}' a detector, and shields after it",
                "put it into a variant that is asked",
            )


def _check_members(name: str, found: Mapping[str, Steps], names: Names) -> None:
    """Check that the variants that shields ask exist, and ask no others in turn."""
    mistakes = Mistakes()
    for place, each in enumerate(found[name]):
        for asked in _asked(each):
            model, slash, wanted = asked.rpartition("/")
            if slash:
                with mistakes.noted(place):
                    check(model, names.models, "is no model of this suite")
            with mistakes.noted(place):
                check(wanted, names.variants, "is no variant of this suite")
            if any(_asked(inner) for inner in found.get(wanted, ())):
                mistakes.note((place,), f"'{wanted}' asks others in turn", "one that does not")
    mistakes.raise_any()


def _asked(each: StepEntry | None) -> tuple[str, ...]:
    return each.plugin.members if each is not None and isinstance(each.plugin, Shield) else ()
