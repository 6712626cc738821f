"""The probes that the audit needs: a few variations of each untargeted attack on each model.

Built from the parameters that an attack declares as its radius, its number of steps and their
length; an attack without them is not varied. This room knows no attack by name, and no rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeAlias

from pydantic import ValidationError

from bench import registry
from bench.api import Attack, Cascade
from bench.cells.attack import AttackCell
from bench.cells.cell import Cell
from bench.cells.probe import GradientsCell, ProbeCell, RepeatCell
from bench.data import ImageSet
from bench.errors import BenchError
from bench.plan import scales
from bench.plan.subjects import by_subject
from bench.records import Budget
from bench.suite import AttackEntry
from bench.suite.sections import Extent

CHEAP_IMAGES = 32
"""How many images a cheap probe takes."""

CHEAP_PASSES = 200
"""How many passes an image may cost in a cheap probe."""

REPEATED_IMAGES = 8
"""How many images an attack is repeated on in a cheap audit."""

FEW_STEPS = 5
"""Steps of a probe with eps 0, at most: any step that moves an image is one too many."""

LARGE_STEPS = 10
"""Steps of a probe with a large eps, at most; a step that the suite fixes is the larger for it."""

Reference: TypeAlias = Literal["control", "single-step"]
"""What attacks are compared with, and what its probe is called."""


def lay_out(cells: Iterable[Cell], extent: Extent) -> Iterator[tuple[Cell, str | None]]:
    """Lay out the probes of all attack cells, on one replica of each model.

    Args:
        cells: of a plan; those that will not be run left out.
        extent: how many images they take.

    Yields:
        Probes, each with the reason for which it will not be run, if there is one.

    """
    if extent == "off":
        return
    for attacks in by_subject(cells):
        first = attacks[0]
        count = CHEAP_IMAGES if extent == "cheap" else None
        images = first.images.drawn(count, first.suite_seed)
        place = replace(first.coordinates, attack="loss~gradients")
        yield (
            GradientsCell(place, first.subject, images, first.suite_seed, first.compute),
            None,
        )
        for probe in (*_probes(attacks, images), *_repeats(attacks, images, extent)):
            yield probe, _too_dear(probe.entry.plugin) if extent == "cheap" else None


def _too_dear(plugin: Attack) -> str | None:
    if plugin.passes <= CHEAP_PASSES:
        return None
    return (
        f"it takes {plugin.passes} passes an image, a cheap probe {CHEAP_PASSES} at most: "
        "'audit: full' runs it"
    )


def _probes(attacks: Sequence[AttackCell], images: ImageSet) -> Iterator[ProbeCell]:
    """Vary one point of each untargeted group, and add what is to be compared with it.

    An attack that the suite has is not run again as a reference; a variation is, since rules look
    for it by its name.
    """
    known = {_work(cell.entry) for cell in attacks}
    for cell in _points(attacks):
        for probe, entry in {**_variations(cell), **_references(cell)}.items():
            is_variation = entry.group == cell.entry.group
            if is_variation or _work(entry) not in known:
                known.add(_work(entry))
                of = cell.entry.name if is_variation else None
                yield ProbeCell.like(cell, entry, images, probe, of)


def _repeats(
    attacks: Sequence[AttackCell], images: ImageSet, extent: Extent
) -> Iterator[RepeatCell]:
    """Repeat one point of each group, targeted ones and controls too."""
    seen = images.drawn(
        REPEATED_IMAGES if extent == "cheap" else CHEAP_IMAGES, attacks[0].suite_seed
    )
    groups: dict[str, list[AttackCell]] = {}
    for cell in attacks:
        groups.setdefault(cell.entry.group, []).append(cell)
    for points in groups.values():
        cell = _middle(points)
        entry = replace(cell.entry, name=f"{cell.entry.name}~repeat")
        yield RepeatCell.like(cell, entry, seen, "repeat", cell.entry.name)


def _work(entry: AttackEntry) -> tuple[str, str, int | None]:
    return entry.plugin_name, str(entry.plugin.parameters()), entry.target


def _points(attacks: Sequence[AttackCell]) -> Iterator[AttackCell]:
    """Pick of each untargeted group the point in the middle; controls are not probed.

    At the smallest eps an attack may fool too few images for a comparison, at the largest all.
    """
    groups: dict[str, list[AttackCell]] = {}
    for cell in attacks:
        plugin = cell.entry.plugin
        if cell.entry.target is None and plugin.passes > 0 and not plugin.is_control:
            groups.setdefault(cell.entry.group, []).append(cell)
    for points in groups.values():
        yield _middle(points)


def _middle(points: Sequence[AttackCell]) -> AttackCell:
    """Return the point of a group whose eps is in the middle."""
    ordered = sorted(points, key=lambda cell: cell.entry.budget.eps if cell.entry.budget else 0)
    return ordered[len(ordered) // 2]


def _variations(cell: AttackCell) -> dict[str, AttackEntry]:
    """Return the attack itself, with other parameters."""
    plugin, budget = cell.entry.plugin, cell.entry.budget
    if isinstance(plugin, Cascade) or budget is None:
        return {}
    found: dict[str, dict[str, Any]] = {}
    radius, counted = _parameter(plugin, plugin.radius_parameter), plugin.steps_parameter
    steps = plugin.iterations if _parameter(plugin, counted) else None
    if radius is not None and not plugin.minimum_norm:
        few = {} if steps is None else {counted: min(steps, FEW_STEPS)}
        found["eps-0"] = {radius: 0, **few}
        largest = scales.largest(budget.norm, cell.subject.architecture.image_shape)
        if budget.norm != "l0":  # a number of pixels has no room for more
            found["large-eps"] = {radius: largest, **_strides(plugin, budget, steps, largest)}
    if steps is not None:
        found["doubled-steps"] = {counted: 2 * steps}
    made = {probe: _changed(cell.entry, probe, values) for probe, values in found.items()}
    return {probe: entry for probe, entry in made.items() if entry is not None}


def _parameter(plugin: Attack, name: str) -> str | None:
    """Return a name that an attack declares; None where none of its parameters has it."""
    return name if name in type(plugin).model_fields else None


def _strides(
    plugin: Attack, budget: Budget, steps: int | None, largest: float
) -> dict[str, float | int]:
    """Return the steps in a larger ball: fewer, and as much longer if the suite fixes their size.

    So they go as far, in multiples of eps, as they do in the attack that is probed.
    """
    fewer = min(steps or 1, LARGE_STEPS)
    strides: dict[str, float | int] = {} if steps is None else {plugin.steps_parameter: fewer}
    length = plugin.step_size
    if plugin.step_size_parameter in plugin.model_fields_set and length is not None and budget.eps:
        stretched = length * (steps or 1) / fewer * largest / budget.eps
        strides[plugin.step_size_parameter] = min(stretched, largest)
    return strides


def _changed(entry: AttackEntry, probe: str, values: Mapping[str, Any]) -> AttackEntry | None:
    """Return an attack with other parameters; None where its plugin refuses them."""
    given = {name: getattr(entry.plugin, name) for name in entry.plugin.model_fields_set}
    try:
        plugin = type(entry.plugin).model_validate({**given, **values})
    except ValidationError:
        return None
    return replace(
        entry, name=f"{entry.name}~{probe}", plugin=plugin, budget=plugin.budget or entry.budget
    )


def _references(cell: AttackCell) -> dict[str, AttackEntry]:
    """Return the attacks that must not be stronger: one step, and noise, at the same budget."""
    plugin, budget = cell.entry.plugin, cell.entry.budget
    if budget is None:
        return {}
    wanted: list[Reference] = ["control"]
    is_iterative = (plugin.iterations or 1) > 1 and not plugin.minimum_norm
    if is_iterative or isinstance(plugin, Cascade):
        wanted.append("single-step")
    return {what: made for what in wanted if (made := _reference(what, budget)) is not None}


def _reference(what: Reference, budget: Budget) -> AttackEntry | None:
    """Configure the first installed attack that declares itself to be one; None where none does.

    Those that come with bench are asked first: others are imported only where they are needed.
    """
    offers = registry.offers("attacks")
    for offer in sorted(offers, key=lambda offer: offer.distribution != registry.OWN):
        try:
            kind = registry.load("attacks", offer.name)
            if not issubclass(kind, Attack) or not _declares(kind, what):
                continue
            plugin = kind.model_validate({kind.radius_parameter: budget.eps})
        except (BenchError, ValidationError):
            continue
        if plugin.budget == budget:
            called = f"{offer.name}~{budget.norm}={budget.eps:.6g}"
            return AttackEntry(called, offer.name, plugin, called, None, plugin.budget)
    return None


def _declares(kind: type[Attack], what: Reference) -> bool:
    return kind.is_control if what == "control" else kind.is_single_step
