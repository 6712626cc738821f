"""Writes the trained models of a suite as checkpoints that say how they were made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench import checkpoints, metrics, plan
from bench.cells.evaluate import EvaluateCell
from bench.cells.train import TrainCell
from bench.errors import UsageError
from bench.metrics import METRICS, Withheld
from bench.plan import Plan, Status
from bench.records import JSON
from bench.store import Store, Stored


def write(made: Plan, store: Store, folder: Path) -> Iterator[Path]:
    """Write one safetensors file for each trained model of a plan; yields their paths.

    The header holds mean and std, and under ``bench`` as JSON: what was trained, the accuracy on
    the suite's splits, and the versions.

    Raises:
        UsageError: where the suite trains nothing, or a model has not been trained and evaluated.

    """
    found = {status.step.cell.label: status for status in plan.statuses(made, store)}
    trained = [s for s in found.values() if isinstance(s.step.cell, TrainCell)]
    if not trained:
        raise UsageError.of(
            f"suite '{made.suite.name}'",
            "trains no model that is not shipped already",
            "a model with a recipe and no shipped checkpoint",
            "remove the shipped file first to make it anew",
        )
    for status in trained:
        yield _write(status, _evaluation(status, found), made, store, folder)


def _evaluation(trained: Status, found: dict[str, Status]) -> Stored:
    for status in found.values():
        cell = status.step.cell
        if (
            isinstance(cell, EvaluateCell)
            and cell.subject.weights is trained.step.cell
            and status.stored
        ):
            return status.stored
    raise UsageError.of(
        trained.step.cell.label, "has not been trained and evaluated", "a finished run", "bench run"
    )


def _write(trained: Status, evaluated: Stored, made: Plan, store: Store, folder: Path) -> Path:
    cell, stored = trained.step.cell, trained.stored
    if not isinstance(cell, TrainCell) or stored is None:
        raise TypeError(f"{cell.label} is no finished train cell")
    accuracy = metrics.estimate(METRICS["clean_accuracy"], store.records(evaluated), {})
    if isinstance(accuracy, Withheld) or accuracy.value is None:
        raise UsageError.of(evaluated.label, "has no accuracy", "at least one image")
    header = store.header(stored)
    account: dict[str, JSON] = {
        "claim": checkpoints.claim(cell),
        "model": cell.coordinates.model,
        "dataset": made.suite.dataset.plugin_name,
        "accuracy": accuracy.value,
        "accuracy_images": accuracy.n,
        "accuracy_split": "+".join(made.suite.images.splits),
        "weights": stored.outputs["weights"],
        "versions": stored.provenance["versions"],
        "seconds": stored.summary["training_seconds"],
    }
    name = f"{cell.coordinates.model}-{made.suite.dataset.plugin_name}-seed{cell.seed}.safetensors"
    path = folder / name
    texts = {key: header[key] for key in ("mean", "std")}
    checkpoints.write(path, store.arrays(stored), texts, account)
    return path
