"""From a suite to its cells, in an order in which parents come first.

A plan knows every cell of the run, also those that are skipped, with the reason. Identities are
known as far as parents have run. Nothing is computed here, and torch is not imported.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench import machine, probes
from bench.api import Attack, Cascade, Explainer, Shield, VariantStep
from bench.cells.attack import AttackCell
from bench.cells.cell import Cell
from bench.cells.certify import CertifyCell, proves
from bench.cells.detect import DetectCell
from bench.cells.drift import DriftCell, VariantDriftCell
from bench.cells.evaluate import EvaluateCell
from bench.cells.explain import ExplainCell
from bench.cells.interim import InterimCell
from bench.cells.latency import LatencyCell
from bench.cells.profile import ProfileCell
from bench.cells.sensitivity import SensitivityCell
from bench.cells.transfer import TransferCell
from bench.cells.workbench import Compute
from bench.contenders import Contender, contenders
from bench.data import ImageSet, Prepared
from bench.errors import Problem, SuiteError, nearest
from bench.records import ORIGINAL, Coordinates, State
from bench.store import Store, Stored
from bench.suite import AttackEntry, ExplainerEntry, Suite


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
    found = contenders(suite, data, compute)
    cells: list[tuple[Cell, str | None]] = []
    for contender in sorted(found, key=lambda contender: bool(contender.subject.members)):
        reason = _unfit(contender, data, compute)
        cells += (  # the weights that a variant starts from are skipped for no fault of its own
            (cell, reason if cell.coordinates == contender.place else None)
            for cell in contender.trained_from
        )
        cells += ((cell, reason) for cell in _evaluations(contender, compute))
    cells += ((cell, None) for cell in _profiles(suite, found, compute))
    cells += _explanations(suite, found, data, compute)
    cells += _attacks(suite, found, data, compute)
    cells += _drifts(suite, found, data, compute)
    cells += _guards(suite, found, data, compute)
    cells += _sensitivities(suite, found, data, compute)
    cells += probes.lay_out([cell for cell, skip in cells if skip is None], suite.audit)
    return Plan(
        suite,
        data,
        found[0].images,
        compute,
        tuple({cell.label: Step(cell, skip) for cell, skip in cells}.values()),
        tuple(_notes(suite, data, found, compute)),
    )


def _evaluations(contender: Contender, compute: Compute) -> Iterator[Cell]:
    images, split = contender.evaluated, contender.split
    if contender.before is not None:
        yield InterimCell(contender.place, contender.before, images, split, compute)
    yield EvaluateCell(contender.place, contender.subject, images, split, compute)


def _profiles(suite: Suite, found: list[Contender], compute: Compute) -> Iterator[Cell]:
    """Lay out what is counted and timed: of replicas the first, whose networks are alike.

    Where something was taken away they are not: all are counted then, as the original is.
    """
    if suite.profile is None:
        return
    apart = {contender.model.name for contender in found if contender.subject.reductions}
    for contender in found:
        if contender.is_first or contender.model.name in apart:
            yield ProfileCell(contender.place, contender.subject, compute)
        for batch in suite.profile.batches if contender.is_first else ():
            yield LatencyCell(
                contender.place,
                contender.subject,
                contender.evaluated,
                batch,
                compute,
                suite.profile.warmup,
                suite.profile.runs,
            )


def _explanations(
    suite: Suite, found: list[Contender], data: Prepared, compute: Compute
) -> Iterator[tuple[Cell, str | None]]:
    for contender in found:
        for entry in suite.explainers:
            yield (
                ExplainCell(
                    replace(contender.place, explainer=entry.name),
                    contender.subject,
                    entry,
                    contender.images,
                    contender.evaluated,
                    suite.gallery,
                    suite.seed,
                    compute,
                ),
                _unexplained(entry, contender, data, compute),
            )


def _attacks(
    suite: Suite, found: list[Contender], data: Prepared, compute: Compute
) -> Iterator[tuple[Cell, str | None]]:
    """Lay out attacks on every contender, then what is judged elsewhere; with reasons for skips."""
    for contender in found:
        for entry in suite.attacks:
            reason = _unattacked(entry, contender, data, compute)
            yield _attack(suite, contender, entry, compute), reason
    for source, target, reason in _pairs(suite, found):
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
            yield transfer, _unattacked(entry, source, data, compute) or reason


def _transferred(suite: Suite) -> Iterator[AttackEntry]:
    """Pick the attacks whose images are judged elsewhere, too."""
    names = "all" if suite.transfer is None else suite.transfer.attacks
    for entry in suite.attacks:
        if names == "all" or {entry.name, entry.group} & {*names}:
            yield entry


def _attack(suite: Suite, on: Contender, entry: AttackEntry, compute: Compute) -> AttackCell:
    place = replace(on.place, attack=entry.name)
    return AttackCell(place, on.subject, entry, on.images, suite.seed, compute)


def _drifts(
    suite: Suite, found: list[Contender], data: Prepared, compute: Compute
) -> Iterator[tuple[Cell, str | None]]:
    """Lay out explanations of what attacks made."""
    for contender in found:
        for entry in suite.attacks:
            if not {entry.name, entry.group} & {*suite.explain_attacks}:
                continue
            attack = _attack(suite, contender, entry, compute)
            for explainer in suite.explainers:
                cell = DriftCell(
                    replace(attack.coordinates, explainer=explainer.name),
                    contender.subject,
                    explainer,
                    contender.images,
                    suite.seed,
                    compute,
                    attack,
                )
                skip = _unattacked(entry, contender, data, compute)
                yield cell, skip or _unexplained(explainer, contender, data, compute)
    if suite.explain_variants:
        yield from _variant_drifts(suite, found, data, compute)


def _variant_drifts(
    suite: Suite, found: list[Contender], data: Prepared, compute: Compute
) -> Iterator[tuple[Cell, str | None]]:
    """Lay out how far the explanations of each variant lie from those of its original."""
    originals = {replace(c.place, variant=ORIGINAL): c for c in found if not c.steps}
    for contender in found:
        original = originals.get(replace(contender.place, variant=ORIGINAL))
        if original is None or not contender.steps:
            continue
        for explainer in suite.explainers:
            cell = VariantDriftCell(
                replace(contender.place, explainer=explainer.name),
                contender.subject,
                explainer,
                contender.images,
                suite.seed,
                compute,
                original.subject,
            )
            yield cell, _unexplained(explainer, contender, data, compute)


def _guards(
    suite: Suite, found: list[Contender], data: Prepared, compute: Compute
) -> Iterator[tuple[Cell, str | None]]:
    """Lay out what shields prove, and what detectors make of each attack."""
    for contender in found:
        if contender.shields and proves(contender.shields[-1]):
            proof = CertifyCell(
                contender.place, contender.subject, contender.images, suite.seed, compute
            )
            yield proof, _unfit(contender, data, compute)
        for detector in contender.detectors:
            reason = _unsuited(detector.plugin, data)
            for entry in suite.attacks:
                attack = _attack(suite, contender, entry, compute)
                cell = DetectCell(
                    attack.coordinates,
                    contender.subject,
                    attack,
                    detector,
                    contender.images,
                    suite.seed,
                    compute,
                )
                yield cell, reason or _unattacked(entry, contender, data, compute)


def _sensitivities(
    suite: Suite, found: list[Contender], data: Prepared, compute: Compute
) -> Iterator[tuple[Cell, str | None]]:
    """Lay out what each layer of each original model bears."""
    if suite.sensitivity is None:
        return
    step, entry = suite.sensitivity.step, suite.sensitivity.attack
    for contender in found:
        if contender.is_first and not contender.steps:
            cell = SensitivityCell(contender.place, _attack(suite, contender, entry, compute), step)
            yield cell, _unsuited(entry.plugin, data) or _unsuited(step.plugin, data)


def _unfit(contender: Contender, data: Prepared, compute: Compute) -> str | None:
    """Say why a contender's steps cannot work on the data or the device, or None."""
    reasons = [_unsuited(step.plugin, data) for step in contender.steps]
    reasons.append(_misplaced(contender, compute))
    return next((reason for reason in reasons if reason is not None), None)


def _unattacked(
    entry: AttackEntry, contender: Contender, data: Prepared, compute: Compute
) -> str | None:
    """Say why an attack cannot work on a contender, or would be taken for weak, or None."""
    reason = _unsuited(entry.plugin, data) or _unfit(contender, data, compute)
    other = contender.subject.answers_otherwise
    if (
        reason is None
        and other
        and (entry.plugin.minimum_norm or isinstance(entry.plugin, Cascade))
    ):
        return (
            f"it stops as soon as what it is given is fooled, and {other} answers otherwise there: "
            "it would look weaker than it is"
        )
    return reason


def _unexplained(
    entry: ExplainerEntry, contender: Contender, data: Prepared, compute: Compute
) -> str | None:
    """Say why an explainer cannot work on a contender, or None."""
    reason = _unsuited(entry.plugin, data) or _unfit(contender, data, compute)
    if reason is not None or not entry.plugin.looks_inside:
        return reason
    for shield in contender.shields:
        plugin = shield.plugin
        if isinstance(plugin, Shield) and (plugin.members or plugin.gradients == "expectation"):
            return (
                f"'{entry.name}' reads one layer of one network, and '{shield.name}' asks several "
                "networks, or one several times"
            )
    return None


def _misplaced(contender: Contender, compute: Compute) -> str | None:
    """Say why what is judged cannot run on the device, or None."""
    device = compute.device.partition(":")[0]
    for reduction in contender.subject.reductions:
        if device not in reduction.devices:
            return f"runs on {', '.join(reduction.devices)} only: choose with --device"
    return None


def _unsuited(plugin: Attack | Explainer | VariantStep, data: Prepared) -> str | None:
    """Ask a plugin why it cannot run on the data; one that cannot even answer is skipped too."""
    try:
        return plugin.unsuited(classes=len(data.classes), image_shape=data.image_shape)
    except Exception as error:  # noqa: BLE001 (a plugin's own fault costs its cells, and says so)
        return f"its unsuited() raised {type(error).__name__}: {error}"


def _pairs(
    suite: Suite, found: list[Contender]
) -> Iterator[tuple[Contender, Contender, str | None]]:
    """Pair sources and targets of transfer, replicas with their like; with reasons for skips."""
    if suite.transfer is None:
        return
    for source in found:
        for target in found:
            one, other = source.place, target.place
            if (
                (one.model, one.variant) != (other.model, other.variant)
                and _named(one, suite.transfer.source)
                and _named(other, suite.transfer.to)
                and (one.replica == other.replica or None in (one.replica, other.replica))
            ):
                same = source.images.digest == target.images.digest
                reason = None if same else "the two are judged on other images"
                yield source, target, reason


def _named(place: Coordinates, names: Sequence[str] | str) -> bool:
    """Say whether names mean a contender: all, its model, its variant, or both as model/variant."""
    whole = f"{place.model}/{place.variant}"
    return names == "all" or any(n in (place.model, place.variant, whole) for n in names)


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


def _notes(suite: Suite, data: Prepared, found: list[Contender], compute: Compute) -> Iterator[str]:
    for (one, other), pairs in data.leaks().items():
        first, second = pairs[0]
        yield (
            f"{len(pairs)} images stand in {one} and in {other} of {suite.dataset.name}, pixel for "
            f"pixel: {first} is {second}"
        )
    twins = {name for group in data.duplicates for name in group} & {
        name for c in found if c.model.replication.folds for name in c.evaluated.names
    }
    if twins:
        yield f"{len(twins)} images of the folds have a twin: it may be in what was trained on"
    wanted = suite.images.count
    told = {len(c.images): c.split for c in found if wanted and len(c.images) < wanted}
    for count, split in told.items():
        yield f"{count} images instead of {wanted}: {split} of {suite.dataset.name} has no more"
    yield from _left_out(suite, found)
    if compute.device == "cpu" and not machine.bf16_instructions():
        recipes = {c.model.name: c.model.recipe for c in found}
        for name, recipe in recipes.items():
            if recipe is not None and recipe.precision == "bf16":
                yield (
                    f"{name} trains in bf16, which this processor emulates, several times slower "
                    f"than fp32: --set models.{name}.train.precision=fp32 trains other weights"
                )


def _left_out(suite: Suite, found: list[Contender]) -> Iterator[str]:
    """Say what a suite asks for, and no two contenders of this run can give."""
    if suite.transfer is not None:
        named = [
            {c.place.replica for c in found if _named(c.place, names)}
            for names in (suite.transfer.source, suite.transfer.to)
        ]
        contenders = {(c.place.model, c.place.variant) for c in found}
        if len(contenders) > 1 and next(_pairs(suite, found), None) is None and all(named):
            yield (
                "nothing is transferred: sources and targets are of other seeds or folds, and only "
                "trainings of equal ones are paired"
            )
    if suite.explain_variants and not any(not c.steps for c in found):
        yield "explain_variants compares with the original, which is not part of this run"


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
