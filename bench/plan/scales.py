"""Lengths and normalisations of another scale than pixels in [0, 1], refused before any cell runs.

A radius within which any two images lie bounds nothing: whoever writes one counts pixels from 0 to
255. Nothing is computed here, and torch is not imported.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from math import prod, sqrt
from pathlib import Path

from bench.api import Attack, Cascade, Plugin, VariantStep
from bench.api.models import strange_normalisation
from bench.data import Prepared
from bench.errors import Problem, SuiteError
from bench.plan import checkpoints
from bench.records import NORMS, Budget, Norm
from bench.suite import AttackEntry, ModelEntry, Suite, document

_RADII = ("eps", "epsilon", "max_epsilon", "radius")
"""What steps of variants call a radius; attacks declare theirs."""

_WHERE = {
    "linf": "differ by more in any value",
    "l2": "lie farther apart in l2",
    "l1": "lie farther apart in l1",
    "l0": "differ in more pixels",
}
_DIVIDE = "they are of pixels from 0 to 255: divide both by 255 (128 -> 128/255)"


def check(suite: Suite, data: Prepared) -> None:
    """Refuse lengths, means and stds that cannot belong to pixels in [0, 1].

    Raises:
        SuiteError: with all of them.

    """
    found = [*_of_budgets(suite, data), *_of_attacks(suite, data), *_of_steps(suite, data)]
    found += [problem for model in suite.selected for problem in _of_model(suite, model)]
    if found:
        raise SuiteError(*dict.fromkeys(found))


def largest(norm: Norm, shape: tuple[int, int, int]) -> float:
    """Return the radius within which any image lies from any other: of all in [0, 1]."""
    _, height, width = shape
    return {
        "linf": 1.0,
        "l2": sqrt(prod(shape)),
        "l1": float(prod(shape)),
        "l0": float(height * width),
    }[norm]


def _problem(where: str, norm: Norm, length: float, shape: tuple[int, int, int]) -> Problem | None:
    """Say why a length is of another scale; None where it is not."""
    limit = largest(norm, shape)
    if length <= limit:
        return None
    size = " x ".join(map(str, shape))
    if norm == "l0":
        action = "l0 counts pixels, each once with all its channels"
    else:
        action = f"of pixels from 0 to 255? Then write {length:.6g}/255"
    expected = f"at most {limit:.6g}: no two images of {size} in [0, 1] {_WHERE[norm]}"
    return Problem(where, f"got {length:.6g}", expected, action)


def _of_budgets(suite: Suite, data: Prepared) -> Iterator[Problem]:
    is_list = isinstance(suite.document.data.get("budget"), list)
    for place, budget in enumerate(suite.budget):
        where = suite.document.where(("budget", *((place,) if is_list else ()), "eps"))
        problem = _problem(where, budget.norm, budget.eps, data.image_shape)
        if problem is not None:
            yield problem


def _of_attacks(suite: Suite, data: Prepared) -> Iterator[Problem]:
    shared = {*suite.budget}
    for entry in suite.attacks:
        for parameter, norm, length in _lengths(entry, shared):
            path = _path(suite.document.data, entry.group, parameter)
            where = suite.document.where(path)
            problem = _problem(where, norm, length, data.image_shape)
            if problem is not None:
                yield problem


def _lengths(
    entry: AttackEntry, shared: Iterable[Budget]
) -> Iterator[tuple[tuple[str, ...], Norm, float]]:
    """Yield where an attack's own lengths are written, each with its norm; not those of a cascade.

    Attacks in a row are entries themselves, and so are reported at their own places.
    """
    plugin, budget = entry.plugin, entry.budget
    if entry.members:
        return
    if plugin.budget is not None:
        yield (plugin.radius_parameter,), plugin.budget.norm, plugin.budget.eps
    elif budget is not None and budget not in shared:
        yield ("budget", "eps"), budget.norm, budget.eps
    if isinstance(plugin, Cascade):
        for part in plugin.parts.values():
            yield from ((path, norm, size) for path, norm, size in _own(part))
    yield from _step(plugin)


def _own(part: Attack) -> Iterator[tuple[tuple[str, ...], Norm, float]]:
    """Yield the radius of a part of an attack, as its whole's."""
    if part.budget is not None:
        yield (part.radius_parameter,), part.budget.norm, part.budget.eps


def _step(plugin: Attack) -> Iterator[tuple[tuple[str, ...], Norm, float]]:
    """Yield the step that the suite gives: one that follows the radius is of its scale."""
    name, size = plugin.step_size_parameter, plugin.step_size
    if plugin.norm is not None and size is not None and name in plugin.model_fields_set:
        yield (name,), plugin.norm, size


def _path(data: Mapping[str, object], group: str, parameter: tuple[str, ...]) -> document.Path:
    """Return where a parameter of an attack is written: in the entry, or in its grid."""
    attacks = data.get("attacks")
    entry = attacks.get(group) if isinstance(attacks, Mapping) else None
    grid = entry.get("grid") if isinstance(entry, Mapping) else None
    varied = isinstance(grid, Mapping) and parameter[0] in grid
    return ("attacks", group, *(("grid",) if varied else ()), *parameter)


def _of_steps(suite: Suite, data: Prepared) -> Iterator[Problem]:
    """Check the radii of steps that attack or prove, within l-infinity unless they say else."""
    for variant in suite.variants:
        for step in variant.steps:
            for name, norm, length in _radii(step.plugin):
                path = ("variants", variant.name, step.position - 1, step.name, name)
                problem = _problem(suite.document.where(path), norm, length, data.image_shape)
                if problem is not None:
                    yield problem


def _radii(plugin: VariantStep) -> Iterator[tuple[str, Norm, float]]:
    norm = getattr(plugin, "norm", "linf")
    for name in _RADII:
        value = _number(plugin, name)
        if value is not None and norm in NORMS:
            yield name, norm, value


def _number(plugin: Plugin, name: str) -> float | None:
    value = getattr(plugin, name, None) if name in type(plugin).model_fields else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _of_model(suite: Suite, model: ModelEntry) -> Iterator[Problem]:
    """Check the mean and std that a plugin brings, or the header of a file of weights."""
    given = model.plugin.normalization()
    where = suite.document.where(("models", model.name))
    file = model.plugin.weights
    if given is None and file is not None:
        given, where = _in_header(file), str(file)
    reason = None if given is None else strange_normalisation(*given)
    if reason is not None:
        yield Problem(where, reason, "mean and std of pixels in [0, 1]", _DIVIDE)


def _in_header(file: Path) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Read mean and std from a safetensors file; what cannot be read is reported where it loads."""
    if file.suffix != ".safetensors" or not file.is_file():
        return None
    header = checkpoints.read_header(file)
    try:
        mean, std = (tuple(map(float, json.loads(header[name]))) for name in ("mean", "std"))
    except (KeyError, ValueError, TypeError):
        return None
    return mean, std
