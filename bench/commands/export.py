"""Writes the trained models of a suite, and its variants, with a record of their making."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench import metrics, plan
from bench.cells.cell import Cell
from bench.cells.compress import CompressCell
from bench.cells.evaluate import EvaluateCell
from bench.cells.train import TrainCell
from bench.classifier import reductions
from bench.errors import UsageError
from bench.metrics import METRICS, Withheld
from bench.plan import Plan, Status, checkpoints
from bench.records import JSON, ORIGINAL
from bench.store import Store, Stored


def write(made: Plan, store: Store, folder: Path) -> Iterator[Path]:
    """Write one safetensors file for each trained or reduced model of a plan; yields their paths.

    The header holds mean and std, what reductions made of the network, and under ``bench`` as JSON:
    what was trained, the accuracy on the suite's splits, and the versions.

    Raises:
        UsageError: where the suite trains nothing, or a model has not been trained and evaluated.

    """
    found = {status.step.cell.label: status for status in plan.statuses(made, store)}
    judged = _judged(found)
    if not judged:
        raise UsageError.of(
            f"suite '{made.suite.name}'",
            "trains no model that is not shipped already",
            "a model with a recipe and no shipped checkpoint, or a variant with other weights",
            "remove the shipped file first to make it anew",
        )
    for label, evaluated in judged.items():
        weights = found[label].stored
        if weights is None or evaluated.stored is None:
            threads = made.compute.threads
            raise UsageError.of(
                label,
                f"has not been trained and evaluated with {threads} threads in '{store.url}'",
                "a finished run with the same options: other threads make other weights",
                f"bench run {made.suite.document.name} --threads {threads}, or export with the "
                "--threads, --models and --set of that run",
            )
        yield _write(found[label].step.cell, weights, evaluated.stored, made, store, folder)


def _judged(found: dict[str, Status]) -> dict[str, Status]:
    """Return the evaluation of all weights that were made, by the label of the cell that did.

    Of several, one without shields.
    """
    judged: dict[str, tuple[bool, Status]] = {}
    for status in found.values():
        cell = status.step.cell
        if cell.kind != EvaluateCell.kind or not isinstance(cell, EvaluateCell):
            continue
        if status.step.skip is not None:
            continue
        weights = cell.subject.weights
        shielded = bool(cell.subject.shields)
        known = judged.get(weights.label)
        if isinstance(weights, TrainCell | CompressCell) and (known is None or known[0]):
            judged[weights.label] = (shielded, status)
    return {label: status for label, (_, status) in judged.items()}


def _write(
    cell: Cell, stored: Stored, evaluated: Stored, made: Plan, store: Store, folder: Path
) -> Path:
    accuracy = metrics.estimate(METRICS["clean_accuracy"], store.records(evaluated), {})
    if isinstance(accuracy, Withheld) or accuracy.value is None:
        raise UsageError.of(evaluated.label, "has no accuracy", "at least one image")
    header = store.header(stored)
    account: dict[str, JSON] = {
        "model": cell.coordinates.model,
        "dataset": made.suite.dataset.plugin_name,
        "accuracy": accuracy.value,
        "accuracy_images": accuracy.n,
        "accuracy_split": "+".join(made.suite.images.splits),
        "weights": stored.outputs["weights"],
        "versions": stored.provenance["versions"],
    }
    if cell.coordinates.variant != ORIGINAL:
        account["variant"] = cell.coordinates.variant
    if isinstance(cell, TrainCell):
        account["seconds"] = stored.summary["training_seconds"]
        if not cell.parents:
            account["claim"] = checkpoints.claim(cell)
    path = folder / f"{_name(cell, made)}.safetensors"
    texts = {key: header[key] for key in ("mean", "std", reductions.KEY) if key in header}
    checkpoints.write(path, store.arrays(stored), texts, account)
    return path


def _name(cell: Cell, made: Plan) -> str:
    """Name model, variant, dataset, seed and fold."""
    place = cell.coordinates
    parts = [place.model, made.suite.dataset.plugin_name]
    if place.variant != ORIGINAL:
        parts.insert(1, place.variant)
    if isinstance(cell, TrainCell | CompressCell):
        parts.append(f"seed{cell.seed}")
    if place.replica is not None and place.is_fold:
        parts.append(place.replica.rpartition("-")[2])
    return "-".join(parts)
