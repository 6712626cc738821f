"""A run that nobody computed: cells that say what a test wants them to, in a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from bench import comparison
from bench.comparison import Comparison
from bench.matrix import Matrix
from bench.records import Coordinates, EvaluateRecord, Result
from bench.store import Store


class Planted:
    """A run whose cells say what a test wants them to."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "store")
        self.cells: list[dict[str, Any]] = []
        self.classes: list[str] = ["even", "odd"]

    def put(self, kind: str, model: str, result: Result, **told: Any) -> None:
        facts = told.pop("facts", {})
        state = told.pop("state", "done")
        place = Coordinates(model, **told)
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
                "reason": "",
            }
        )

    def evaluate(self, model: str, right: Sequence[bool], **told: Any) -> None:
        """Two classes in turn; where the model is not right it says the other one."""
        prefix, start = told.pop("prefix", "test"), told.pop("start", 0)
        records = [
            EvaluateRecord(f"{prefix}/{i}", i % 2, i % 2 if hit else 1 - i % 2, 0.75)
            for i, hit in enumerate(right, start)
        ]
        summary = {"images": len(records)}
        self.put("evaluate", model, Result(records=records, summary=summary), **told)

    def profile(self, model: str, **summary: Any) -> None:
        self.put("profile", model, Result(summary=summary))

    def latency(
        self,
        model: str,
        milliseconds: Sequence[float],
        batch: int = 1,
        busy: float | None = 0.0,
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
        self.put("latency", model, result, facts=place)

    @property
    def matrix(self) -> Matrix:
        dataset = {
            "plugin": "planted",
            "digest": "0" * 64,
            "classes": list(self.classes),
            "counts": {"test": dict.fromkeys(self.classes, 1)},
            "leaks": [],
            "splits": ["test"],
            "images": 10,
        }
        run = {
            "name": "run",
            "suite": "planted",
            "description": "",
            "source": "planted",
            "command": "bench run planted",
            "seed": 7,
            "settings": {},
            "versions": {},
            "notes": [],
            "tables": {},
            "recommend": {},
            "dataset": dataset,
            "cells": self.cells,
        }
        return Matrix(self.store, run)

    @property
    def comparison(self) -> Comparison:
        return Comparison(self.matrix)

    def row(self, name: str, part: str = "") -> comparison.Row:
        (found,) = [r for r in self.comparison.rows if (r.metric.name, r.part) == (name, part)]
        return found
