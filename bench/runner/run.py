"""A run as it goes: the status of every cell, the time left, and the account that is stored."""

from __future__ import annotations

import platform
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

from bench import registry
from bench.cells.cell import Cell
from bench.plan import Plan, Status
from bench.records import AUDIT_KINDS, JSON, Coordinates
from bench.store import Store


@dataclass
class Run:
    """A run as it goes: the status of every cell, what was computed, the time left.

    ``source`` and ``command`` start it again. ``only`` holds the labels of the cells
    that are to be computed; None: all.
    """

    plan: Plan
    store: Store
    source: str
    command: str
    only: frozenset[str] | None = None
    name: str = ""
    statuses: dict[str, Status] = field(default_factory=dict)
    computed: int = 0
    interrupted: bool = False
    _spent: dict[str, tuple[float, float]] = field(default_factory=dict)
    _began: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        if not self.name:
            stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
            self.name = f"{stamp}-{self.plan.suite.name}-{uuid.uuid4().hex[:6]}"

    @property
    def counts(self) -> Counter[str]:
        """Count the cells in each state."""
        return Counter(status.state for status in self.statuses.values())

    @property
    def failed(self) -> list[Status]:
        """The cells that failed; a probe that did is a gap of the audit, and not among them."""
        return [
            status
            for status in self.statuses.values()
            if status.state == "failed" and status.step.cell.kind not in AUDIT_KINDS
        ]

    @property
    def seconds(self) -> float:
        """Wall-clock time since the run began."""
        return time.perf_counter() - self._began

    def seconds_left(self) -> float | None:
        """Estimate the time left from the rates seen so far; None before the first is known."""
        rates = {name: spent / amount for name, (spent, amount) in self._spent.items() if amount}
        if not rates:
            return None
        usual = sum(rates.values()) / len(rates)
        left = 0.0
        for label, status in self.statuses.items():
            if status.state in ("to do", "depends") and self.wants(label):
                name, amount = status.step.cell.work
                left += amount * rates.get(name, usual)
        return left

    def wants(self, label: str) -> bool:
        """Whether a cell is to be computed."""
        return self.only is None or label in self.only

    def learn(self, cell: Cell, seconds: float) -> None:
        """Record how long a cell took, for the estimate of the time left."""
        name, amount = cell.work
        known_seconds, known_amount = self._spent.get(name, (0.0, 0.0))
        self._spent[name] = (known_seconds + seconds, known_amount + amount)

    @property
    def _remarks(self) -> Iterator[str]:
        """What a person should know of how cells were done, each with the model's name."""
        for status in self.statuses.values():
            yield from (f"{status.step.cell.coordinates}: {each}" for each in remarks(status))

    def account(self) -> dict[str, Any]:
        """Return what is stored of the run: all that tables need besides the cells."""
        suite = self.plan.suite
        return {
            "name": self.name,
            "suite": suite.name,
            "description": suite.description,
            "source": self.source,
            "command": self.command,
            "document": suite.document.data,
            "seed": suite.seed,
            "settings": asdict(self.plan.compute),
            "dataset": _dataset(self.plan),
            "audit_extent": suite.auditing.extent,
            "variants": {
                variant.name: [step.account for step in variant.steps] for variant in suite.variants
            },
            "tables": {name: table.model_dump(mode="json") for name, table in suite.tables.items()},
            "recommend": {
                name: choice.model_dump(mode="json") for name, choice in suite.recommend.items()
            },
            "examples": suite.examples,
            "notes": [*self.plan.notes, *self._remarks],
            "interrupted": self.interrupted,
            "is_part": self.only is not None,
            "unselected": {
                entry.name: str(entry.budget) for entry in suite.unselected if entry.budget
            },
            "versions": versions(),
            "cells": [_cell(status) for status in self.statuses.values()],
        }


def remarks(status: Status) -> tuple[str, ...]:
    """Return what a cell's summary says to a person, such as a prefix taken off names."""
    found = None if status.stored is None else status.stored.summary.get("remarks")
    return tuple(map(str, found)) if isinstance(found, list) else ()


def _dataset(plan: Plan) -> dict[str, Any]:
    """Return what a run's account holds of its images."""
    suite, data = plan.suite, plan.data
    return {
        "plugin": suite.dataset.plugin_name,
        "digest": data.digest,
        "classes": list(data.classes),
        "counts": data.class_counts(),
        "leaks": [
            {"splits": list(splits), "images": [list(pair) for pair in pairs]}
            for splits, pairs in data.leaks().items()
        ],
        "near_duplicates": [dict(found) for found in data.near_duplicates if found["images"]],
        "duplicates": _duplicates(plan),
        "splits": list(suite.images.splits),
        "images": len(plan.images),
    }


def _duplicates(plan: Plan) -> list[JSON]:
    """Return the groups of equal images within a split."""
    data = plan.data
    splits = {name: data.names[slice(*of)] for name, of in data.splits.items()}
    home = {image: name for name, images in splits.items() for image in images}
    found: list[JSON] = []
    for group in data.duplicates:
        for split in splits:
            within: list[JSON] = [image for image in group if home.get(image) == split]
            if len(within) > 1:
                found.append(within)
    return found


def _cell(status: Status) -> dict[str, Any]:
    """Return what a run's account holds of a cell: an entry of the matrix."""
    cell = status.step.cell
    return {
        "label": cell.label,
        "kind": cell.kind,
        "coordinates": dict(_place(cell.coordinates)),
        "facts": cell.facts,
        "state": status.state,
        "key": status.key,
        "reason": status.reason,
    }


@cache
def _place(coordinates: Coordinates) -> dict[str, Any]:
    """Return coordinates as plain values: an account is written after each cell."""
    return asdict(coordinates)


@cache
def versions() -> dict[str, JSON]:
    """Return the versions of Python, the platform, and all libraries that bench depends on."""
    packages = (registry.OWN, *registry.requirements())
    versions: dict[str, JSON] = {name: registry.installed_version(name) for name in packages}
    return {"python": platform.python_version(), "platform": platform.platform(), **versions}
