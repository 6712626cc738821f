"""From a suite to its cells, in an order in which parents come first.

Nothing is computed here, and torch is not imported.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

from bench import machine, registry
from bench.cells.attack import AttackCell
from bench.cells.cell import Cell
from bench.cells.certify import CertifyCell, proves
from bench.cells.contract import IMAGES, ContractCell
from bench.cells.detect import DetectCell
from bench.cells.drift import DriftCell, VariantDriftCell
from bench.cells.evaluate import EvaluateCell, InterimCell
from bench.cells.explain import ExplainCell
from bench.cells.gallery import GalleryCell
from bench.cells.latency import LatencyCell
from bench.cells.profile import ProfileCell
from bench.cells.sensitivity import SensitivityCell
from bench.cells.transfer import TransferCell
from bench.cells.workbench import Compute
from bench.data import Prepared
from bench.errors import SuiteError
from bench.plan import checks, probes, references, skips
from bench.plan.model_variants import ModelVariant, model_variants, pairs
from bench.plan.plan import Plan, Step
from bench.records import ORIGINAL
from bench.suite import AttackEntry, Suite


def build(suite: Suite, data: Prepared) -> Plan:
    """Lay out the cells of a suite.

    Raises:
        SuiteError: where the suite does not fit the data.

    """
    checks.check(suite, data)
    compute = Compute(
        device=_device(suite.run.device),
        memory_format=suite.run.memory_format,
        batch_size=suite.run.batch_size,
        threads=suite.run.threads or machine.cores(),
    )
    found = model_variants(suite, data, compute)
    cells: list[tuple[Cell, str | None]] = []
    for variant in sorted(found, key=lambda variant: bool(variant.subject.members)):
        reason = skips.unfit(variant, data, compute)
        cells += (  # the weights that a variant starts from are skipped for no fault of its own
            (cell, reason if cell.coordinates == variant.place else None)
            for cell in variant.trained_from
        )
        cells.append((_contract(suite, variant, compute), reason))
        cells += ((cell, reason) for cell in _evaluations(variant, compute))
    cells += ((cell, None) for cell in _profiles(suite, found, compute))
    cells += _explanations(suite, found, data, compute)
    cells += _attacks(suite, found, data, compute)
    cells += _drifts(suite, found, data, compute)
    cells += _guards(suite, found, data, compute)
    cells += _sensitivities(suite, found, data, compute)
    planned = [cell for cell, skip in cells if skip is None]
    cells += probes.lay_out(planned, suite.auditing.extent)
    cells += ((cell, None) for cell in references.lay_out(planned, suite.auditing))
    return Plan(
        suite,
        data,
        found[0].images,
        compute,
        _steps(cells),
        (*checks.warnings(suite, data, found, compute), *registry.strangers()),
    )


def _steps(cells: Iterable[tuple[Cell, str | None]]) -> tuple[Step, ...]:
    """Keep each cell once: several variants may start from the same weights.

    Raises:
        SuiteError: where two cells that differ have one label.

    """
    steps: dict[str, Step] = {}
    for cell, skip in cells:
        other = steps.get(cell.label)
        if other is not None and not _is_same(cell, other.cell):
            first, second = (asdict(each.coordinates) for each in (other.cell, cell))
            raise SuiteError.of(
                f"cell '{cell.label}'",
                f"two cells are called so: {first} and {second}",
                "names of models, variants and attacks that give each cell a label of its own",
                "rename one of them",
            )
        steps[cell.label] = Step(cell, skip)
    return tuple(steps.values())


def _is_same(one: Cell, other: Cell) -> bool:
    """Whether two cells of one label would bring the same result for the same place."""
    return (
        (one.kind, one.coordinates, one.revision) == (other.kind, other.coordinates, other.revision)
        and one.inputs == other.inputs
        and [(role, parent.cell.label, parent.output) for role, parent in one.parents.items()]
        == [(role, parent.cell.label, parent.output) for role, parent in other.parents.items()]
    )


def _contract(suite: Suite, variant: ModelVariant, compute: Compute) -> Cell:
    """Lay out what a model variant must keep for its numbers to mean anything."""
    images = variant.images.drawn(IMAGES, suite.seed)
    return ContractCell(variant.place, variant.subject, images, compute)


def _evaluations(variant: ModelVariant, compute: Compute) -> Iterator[Cell]:
    images, split = variant.evaluated, variant.split
    if variant.before is not None:
        yield InterimCell(variant.place, variant.before, images, split, compute)
    yield EvaluateCell(variant.place, variant.subject, images, split, compute)


def _profiles(suite: Suite, found: list[ModelVariant], compute: Compute) -> Iterator[Cell]:
    """Lay out what is counted and timed: the first of several replicas, whose networks are alike.

    Reduced ones are not alike: all are counted then, those of the original too.
    """
    if suite.profile is None:
        return
    apart = {variant.model.name for variant in found if variant.subject.reductions}
    for variant in found:
        if variant.is_first or variant.model.name in apart:
            yield ProfileCell(variant.place, variant.subject, compute)
        for batch in suite.profile.batches if variant.is_first else ():
            yield LatencyCell(
                variant.place,
                variant.subject,
                variant.evaluated,
                batch,
                compute,
                suite.profile.warmup,
                suite.profile.runs,
            )


def _explanations(
    suite: Suite, found: list[ModelVariant], data: Prepared, compute: Compute
) -> Iterator[tuple[Cell, str | None]]:
    """Lay out what is measured of explanations, and what is shown of them."""
    seed, gallery = suite.seed, suite.gallery
    for variant in found:
        subject = variant.subject
        for entry in suite.explainers:
            reason = skips.unexplained(entry, variant, data, compute)
            place = replace(variant.place, explainer=entry.name)
            yield ExplainCell(place, subject, entry, variant.images, seed, compute), reason
            if gallery.right + gallery.wrong > 0:
                evaluated = variant.evaluated
                shown = GalleryCell(place, subject, entry, evaluated, seed, compute, gallery)
                yield shown, reason


def _attacks(
    suite: Suite, found: list[ModelVariant], data: Prepared, compute: Compute
) -> Iterator[tuple[Cell, str | None]]:
    """Lay out attacks on every variant, then transfer; with reasons for skips."""
    for variant in found:
        for entry in suite.attacks:
            reason = skips.unattacked(entry, variant, data, compute)
            yield _attack(suite, variant, entry, compute), reason
    for source, target, reason in pairs(suite, found):
        for entry in _transferred(suite):
            place = replace(
                target.place,
                attack=entry.name,
                source=f"{source.place.model}/{source.place.variant}",
                replica=target.place.replica or source.place.replica,
            )
            transfer = TransferCell(
                place,
                target.subject,
                _attack(suite, source, entry, compute),
                target.images,
                entry.target,
                compute,
            )
            yield transfer, skips.unattacked(entry, source, data, compute) or reason


def _transferred(suite: Suite) -> Iterator[AttackEntry]:
    """Pick the attacks whose images are judged on other models, too."""
    names = "all" if suite.transfer is None else suite.transfer.attacks
    for entry in suite.attacks:
        if names == "all" or {entry.name, entry.group} & {*names}:
            yield entry


def _attack(suite: Suite, on: ModelVariant, entry: AttackEntry, compute: Compute) -> AttackCell:
    place = replace(on.place, attack=entry.name)
    return AttackCell(place, on.subject, entry, on.images, suite.seed, compute)


def _drifts(
    suite: Suite, found: list[ModelVariant], data: Prepared, compute: Compute
) -> Iterator[tuple[Cell, str | None]]:
    """Lay out explanations of adversarial images."""
    for variant in found:
        for entry in suite.attacks:
            if not {entry.name, entry.group} & {*suite.explain_attacks}:
                continue
            attack = _attack(suite, variant, entry, compute)
            for explainer in suite.explainers:
                cell = DriftCell(
                    replace(attack.coordinates, explainer=explainer.name),
                    variant.subject,
                    explainer,
                    variant.images,
                    suite.seed,
                    compute,
                    attack,
                )
                skip = skips.unattacked(entry, variant, data, compute)
                yield cell, skip or skips.unexplained(explainer, variant, data, compute)
    if suite.explain_variants:
        yield from _variant_drifts(suite, found, data, compute)


def _variant_drifts(
    suite: Suite, found: list[ModelVariant], data: Prepared, compute: Compute
) -> Iterator[tuple[Cell, str | None]]:
    """Lay out the distance of each variant's explanations from those of its original."""
    originals = {replace(c.place, variant=ORIGINAL): c for c in found if not c.steps}
    for variant in found:
        original = originals.get(replace(variant.place, variant=ORIGINAL))
        if original is None or not variant.steps:
            continue
        for explainer in suite.explainers:
            cell = VariantDriftCell(
                replace(variant.place, explainer=explainer.name),
                variant.subject,
                explainer,
                variant.images,
                suite.seed,
                compute,
                original.subject,
            )
            yield cell, skips.unexplained(explainer, variant, data, compute)


def _guards(
    suite: Suite, found: list[ModelVariant], data: Prepared, compute: Compute
) -> Iterator[tuple[Cell, str | None]]:
    """Lay out certificates of shields, and detectors on each attack."""
    for variant in found:
        if variant.shields and proves(variant.shields[-1]):
            proof = CertifyCell(
                variant.place,
                variant.subject,
                variant.images,
                suite.seed,
                compute,
            )
            yield proof, skips.unfit(variant, data, compute)
        for detector in variant.detectors:
            reason = skips.unsuited(detector.plugin, data)
            for entry in suite.attacks:
                attack = _attack(suite, variant, entry, compute)
                cell = DetectCell(
                    attack.coordinates,
                    variant.subject,
                    attack,
                    detector,
                    variant.images,
                    suite.seed,
                    compute,
                )
                yield cell, reason or skips.unattacked(entry, variant, data, compute)


def _sensitivities(
    suite: Suite, found: list[ModelVariant], data: Prepared, compute: Compute
) -> Iterator[tuple[Cell, str | None]]:
    """Lay out the sensitivity of each original model's layers."""
    if suite.sensitivity is None:
        return
    step, entry = suite.sensitivity.step, suite.sensitivity.attack
    for variant in found:
        if variant.is_first and not variant.steps:
            cell = SensitivityCell(variant.place, _attack(suite, variant, entry, compute), step)
            yield cell, skips.unsuited(entry.plugin, data) or skips.unsuited(step.plugin, data)


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
