"""A run that nobody computed: cells that say what a test wants them to, in a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from bench import statistics
from bench.compare import models as comparison
from bench.compare.models import Comparison
from bench.matrix import Matrix
from bench.records import (
    JSON,
    ORIGINAL,
    AttackRecord,
    Coordinates,
    EvaluateRecord,
    GradientRecord,
    Record,
    ReferenceRecord,
    Result,
    TransferRecord,
    success_of,
)
from bench.store import Store, accounts


def first(count: int, of: int = 40) -> list[bool]:
    """The first so many of all."""
    return [i < count for i in range(of)]


def hits(wrong: Sequence[int], count: int = 100) -> list[bool]:
    """All but these."""
    return [i not in set(wrong) for i in range(count)]


def binomial(lost: int, won: int) -> float:
    """McNemar's exact test, by scipy."""
    from scipy import stats

    return float(stats.binomtest(lost, lost + won).pvalue) if lost + won else 1.0


def compared(
    first: Sequence[statistics.Statistic],
    second: Sequence[statistics.Statistic],
    images: int,
    **options: Any,
) -> statistics.Difference:
    """Draw a figure of two models, each for its trainings, and compare."""
    one, two = (statistics.drawn(group, images, **options) for group in (first, second))
    return statistics.paired(one, two)


class Planted:
    """A run whose cells say what a test wants them to."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "store")
        self.cells: list[dict[str, Any]] = []
        self.classes: list[str] = ["even", "odd"]
        self.leaks: list[dict[str, Any]] = []
        self.dataset: dict[str, Any] = {}
        self.document: dict[str, Any] = {}

    def put(self, kind: str, model: str, result: Result, **options: Any) -> None:
        facts = options.pop("facts", {})
        state, reason = options.pop("state", "done"), options.pop("reason", "")
        place = Coordinates(model, **options)
        key = f"{len(self.cells):064x}"
        self.store.put(key, kind, place, {}, result, {})
        self.cells.append(
            {
                "label": f"{kind} {place}",
                "kind": kind,
                "coordinates": asdict(place),
                "facts": facts,
                "state": state,
                "key": key,
                "reason": reason,
            }
        )

    def evaluate(self, model: str, right: Sequence[bool], **options: Any) -> None:
        """Two classes in turn; where the model is not right it says the other one."""
        prefix, start = options.pop("prefix", "test"), options.pop("start", 0)
        records = [
            EvaluateRecord(f"{prefix}/{i}", i % 2, i % 2 if hit else 1 - i % 2, 0.75)
            for i, hit in enumerate(right, start)
        ]
        summary = {"images": len(records)}
        self.put("evaluate", model, Result(records=records, summary=summary), **options)

    def attack(self, model: str, name: str, fooled: Sequence[bool], **options: Any) -> None:
        """An attack on images that were right, of two classes in turn; with a target, at that.

        What is fooled is then predicted as the other class, which is the target of all that count.
        """
        facts, broken = options.pop("facts", {}), options.pop("broken", {})
        eps, norm = options.pop("eps", 0.1), options.pop("norm", "linf")
        size = options.pop("size", eps)
        target = options.pop("target", None)
        summary = {"images": len(fooled), "backwards": options.pop("backwards", 10.0)}
        summary |= {"followed": followed} if (followed := options.pop("followed", None)) else {}
        summary |= options.pop("summary", {})
        records = [
            AttackRecord(
                **(known := _attacked(i, hit, size, broken.get(i))),
                target=target,
                steps_to_success=None,
                success=success_of(i % 2, target, i % 2, known["prediction"]),
            )
            for i, hit in enumerate(fooled)
        ]
        usual = {
            "group": name.partition("@")[0],
            "plugin": name.partition("@")[0].partition("~")[0],
            "control": name.startswith("noise"),
            "single_step": name.startswith("fgsm"),
            "norm": norm,
            "eps": eps,
            "budget": f"{norm} {eps:g}",
            "targeted": target is not None,
            "target": target,
            "minimum_norm": False,
            "caveats": [],
        }
        result = Result(records=records, summary=summary)
        kind = options.pop("kind", "attack")
        self.put(kind, model, result, attack=name, facts={**usual, **facts}, **options)

    def probe(
        self, model: str, of: str, probe: str, fooled: Sequence[bool], **options: Any
    ) -> None:
        """A variation of an attack that was put before."""
        facts = {"group": of.partition("@")[0], "plugin": of.partition("@")[0]}
        facts |= options.pop("facts", {}) | {"probe": probe, "of": of}
        self.attack(model, f"{of}~{probe}", fooled, kind="probe", facts=facts, **options)

    def reference(
        self, model: str, left: Sequence[bool], fooled: Sequence[bool], **options: Any
    ) -> None:
        """What is left by the run's attacks, and what a reference fools of it, at one budget.

        ``tried`` says on which of those that are left it was run: by default on all.
        """
        norm, eps = options.pop("norm", "linf"), options.pop("eps", 0.1)
        tried = options.pop("tried", left)
        records: list[Record] = [
            ReferenceRecord(
                *(f"test/{i}", i % 2, eps, i % 2, is_left, tried[i]),
                *(("climber", eps) if fooled[i] else (None, None)),
                None,
            )
            for i, is_left in enumerate(left)
        ]
        facts = {"probe": "reference", "of": None, "norm": norm, "budgets": [eps]}
        attempts: list[Any] = [{"method": "climber", "eps": eps}]
        summary: dict[str, Any] = {"forwards": 60.0, "backwards": 40.0, "attempts": attempts}
        result = Result(records=records, summary={**summary, "images": sum(tried)})
        self.put("reference", model, result, attack=f"reference~{norm}", facts=facts, **options)

    def gradients(self, model: str, lengths: Sequence[float | None]) -> None:
        records: list[Record] = [
            GradientRecord(f"test/{i}", i % 2, length) for i, length in enumerate(lengths)
        ]
        facts = {"probe": "gradients", "of": None}
        result = Result(records=records, summary={"images": len(records)})
        self.put("probe", model, result, attack="loss~gradients", facts=facts)

    def contract(self, model: str, broken: str | None = None, **options: Any) -> None:
        """All checks of a model's contract, one of which may be broken, or may have failed."""
        state, words = options.pop("check", "violated"), options.pop("words", "is off 3 times")
        checks: list[JSON] = [
            {
                "name": name,
                "state": state if name == broken else "ok",
                "words": words if name == broken else "",
                "figures": {"n": 4},
            }
            for name in ("logits", "state", "batch", "mode", "weights", "gradient")
        ]
        facts = {"probe": "contract", "of": None}
        result = Result(summary={"images": 4, "checks": checks})
        self.put("contract", model, result, facts=facts, **options)

    def transfer(
        self, source: str, model: str, name: str, fooled: Sequence[bool], **options: Any
    ) -> None:
        """The images of an attack that was put before, judged on another model."""
        facts = next(c["facts"] for c in self.cells if c["coordinates"]["attack"] == name)
        records = [
            TransferRecord(
                **_attacked(i, hit, facts["eps"], None),
                target=facts["target"],
                source_success=True,
            )
            for i, hit in enumerate(fooled)
        ]
        result = Result(records=records, summary={"images": len(records)})
        options |= {"attack": name, "source": f"{source}/original", "facts": facts}
        self.put("transfer", model, result, **options)

    def reduced(self, model: str, variant: str, *steps: str, **options: Any) -> None:
        """The cells that make a variant's weights: a train cell for fine-tuning, a compress cell
        for every other step.
        """
        for place, step in enumerate(steps, 1):
            kind = "train" if step == "fine_tune" else "compress"
            facts: dict[str, Any] = {"step": f"{place}-{step}"}
            summary: dict[str, Any] = {}
            if kind == "train":
                epoch = {"epoch": 1, "loss": 0.5, "accuracy": 0.9, "lr": 0.1, "seconds": 1.0}
                epoch |= {"valid_loss": None, "valid_accuracy": None}
                summary = {"epochs": [epoch], "kept_epoch": 1, "training_seconds": 1.0}
                summary["peak_memory_bytes"] = None
                facts |= {"weights": "trained", "recipe": "custom", "training_seed": 1}
                facts["training_images"] = 100
            self.put(kind, model, Result(summary=summary), variant=variant, facts=facts, **options)

    def profile(
        self,
        model: str,
        *,
        variant: str = ORIGINAL,
        replica: str | None = None,
        facts: dict[str, Any] | None = None,
        **summary: Any,
    ) -> None:
        place: dict[str, Any] = {"variant": variant, "replica": replica}
        self.put("profile", model, Result(summary=summary), facts=facts or {}, **place)

    def latency(
        self,
        model: str,
        milliseconds: Sequence[float],
        batch: int = 1,
        busy: float | None = 0.0,
        variant: str = ORIGINAL,
    ) -> None:
        runs = np.asarray(milliseconds, dtype=np.float64)
        summary = {
            "images": len(runs),
            "latency_ms": float(runs.mean()),
            "latency_ms_std": float(runs.std(ddof=1)),
            "latency_ms_median": float(np.median(runs)),
            "latency_ms_p95": float(np.percentile(runs, 95)),
            "batch": batch,
            "threads": 1,
            "runs": len(runs),
            "warmup": 3,
            "machine": {"cpu": "Abacus 9", "cores": 2, "gpu": None},
            "busy_elsewhere": busy,
        }
        result = Result(arrays={"milliseconds": runs}, summary=summary)
        place = {"batch": batch, "threads": 1}
        self.put("latency", model, result, facts=place, variant=variant)

    @property
    def matrix(self) -> Matrix:
        dataset = {
            "plugin": "planted",
            "digest": "0" * 64,
            "classes": list(self.classes),
            "counts": {"test": dict.fromkeys(self.classes, 1)},
            "leaks": self.leaks,
            "splits": ["test"],
            "images": 10,
            **self.dataset,
        }
        run = {
            "name": "run",
            "suite": "planted",
            "description": "",
            "source": "planted",
            "command": "bench run planted",
            "document": self.document,
            "seed": 7,
            "settings": {},
            "versions": {},
            "notes": [],
            "tables": {},
            "recommend": {},
            "dataset": dataset,
            "cells": self.cells,
        }
        return Matrix(self.store, accounts.resolved(run))

    @property
    def comparison(self) -> Comparison:
        return Comparison(self.matrix)

    def row(self, name: str, part: str = "") -> comparison.Row:
        (found,) = [r for r in self.comparison.rows if (r.metric.name, r.part) == (name, part)]
        return found


def _attacked(place: int, hit: bool, size: float, violation: str | None) -> dict[str, Any]:
    """What records of attacks and of transfers share: an image that was right before."""
    label = place % 2
    return {
        "image": f"test/{place}",
        "label": label,
        "clean_prediction": label,
        "clean_confidence": 0.75,
        "prediction": None if violation else 1 - label if hit else label,
        "confidence": None if violation else 0.75,
        "target_confidence": None,
        "linf": size,
        "l2": size,
        "l1": size,
        "l0": float(size > 0),
        "violation": violation,
    }
