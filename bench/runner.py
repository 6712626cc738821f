"""Walks a plan: skips what the store has, runs the rest in this process, keeps an account.

This is the one place where any exception is caught: it becomes a failed cell, its children are
blocked, and the other cells go on. A failure is never stored as a result.
"""

from __future__ import annotations

import platform
import signal
import subprocess
import threading
import time
import traceback
import uuid
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from threading import Event
from typing import Any, Protocol

from bench import plan, registry
from bench.cells.cell import Cell
from bench.cells.workbench import Workbench
from bench.errors import BenchError
from bench.plan import Plan, Status, Step
from bench.records import JSON
from bench.store import Store, Stored


class Observer(Protocol):
    """Whoever shows how a run goes."""

    def begin(self, run: Run) -> None:
        """Note that the run begins: the plan is known, nothing has run."""

    def start(self, run: Run, step: Step) -> None:
        """Note that a cell starts."""

    def advance(self, run: Run, share: float, words: str) -> None:
        """Note that the current cell is so far (share in [0, 1])."""

    def measure(self, run: Run, step: Step, figures: Mapping[str, JSON]) -> None:
        """Note the figures of a step of the current cell, such as an epoch's."""

    def finish(self, run: Run, status: Status) -> None:
        """Note that a cell has ended, or was found in the store."""

    def close(self) -> None:
        """Put everything back, and away."""


class Silent:
    """An observer that shows nothing; others derive from it and show what they like."""

    def begin(self, run: Run) -> None:
        """Do nothing."""

    def start(self, run: Run, step: Step) -> None:
        """Do nothing."""

    def advance(self, run: Run, share: float, words: str) -> None:
        """Do nothing."""

    def measure(self, run: Run, step: Step, figures: Mapping[str, JSON]) -> None:
        """Do nothing."""

    def finish(self, run: Run, status: Status) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class Together:
    """Several observers as one."""

    def __init__(self, *observers: Observer) -> None:
        self.observers = observers

    def begin(self, run: Run) -> None:
        """Tell all of them."""
        for observer in self.observers:
            observer.begin(run)

    def start(self, run: Run, step: Step) -> None:
        """Tell all of them."""
        for observer in self.observers:
            observer.start(run, step)

    def advance(self, run: Run, share: float, words: str) -> None:
        """Tell all of them."""
        for observer in self.observers:
            observer.advance(run, share, words)

    def measure(self, run: Run, step: Step, figures: Mapping[str, JSON]) -> None:
        """Tell all of them."""
        for observer in self.observers:
            observer.measure(run, step, figures)

    def finish(self, run: Run, status: Status) -> None:
        """Tell all of them."""
        for observer in self.observers:
            observer.finish(run, status)

    def close(self) -> None:
        """Close all of them."""
        for observer in self.observers:
            observer.close()


@dataclass
class Run:
    """A run as it goes: where every cell stands, what was computed, how long is left.

    ``source`` and ``command`` say how to start it again. ``only`` holds the labels of the cells
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
        """Remember how long a cell took, for the estimate of the time left."""
        name, amount = cell.work
        known_seconds, known_amount = self._spent.get(name, (0.0, 0.0))
        self._spent[name] = (known_seconds + seconds, known_amount + amount)

    def account(self) -> dict[str, Any]:
        """Return what is written down of the run: all that tables need besides the cells."""
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
            "dataset": {
                "plugin": suite.dataset.plugin_name,
                "digest": self.plan.data.digest,
                "classes": list(self.plan.data.classes),
                "counts": self.plan.data.class_counts(),
                "leaks": [
                    {"splits": list(splits), "images": [list(pair) for pair in pairs]}
                    for splits, pairs in self.plan.data.leaks().items()
                ],
                "splits": list(suite.images.splits),
                "images": len(self.plan.images),
            },
            "tables": {name: table.model_dump(mode="json") for name, table in suite.tables.items()},
            "recommend": {
                name: choice.model_dump(mode="json") for name, choice in suite.recommend.items()
            },
            "examples": suite.examples,
            "notes": list(self.plan.notes),
            "interrupted": self.interrupted,
            "versions": _versions(),
            "cells": [
                {
                    "label": status.step.cell.label,
                    "kind": status.step.cell.kind,
                    "coordinates": asdict(status.step.cell.coordinates),
                    "facts": status.step.cell.facts,
                    "state": status.state,
                    "key": status.key,
                    "reason": status.reason,
                }
                for status in self.statuses.values()
            ],
        }


def execute(run: Run, observer: Observer | None = None) -> Run:
    """Run every cell of a plan that the store does not have.

    Ctrl-C ends the run cleanly: ``run.interrupted`` is set, what was finished is stored.

    Args:
        run: a fresh run; returned with its statuses filled in.
        observer: is told how it goes.

    Raises:
        UsageError: where the device is not there.
        StoreError: where the store cannot be written.

    """
    observer = observer or Silent()
    store = run.store
    run.plan.compute.check_device()
    run.statuses = {s.step.cell.label: s for s in plan.statuses(run.plan, store)}
    workbench = Workbench(store, run.plan.compute)
    store.put_run(run.name, run.account())
    observer.begin(run)
    with _ctrl_c() as pressed:
        try:
            for step in run.plan.steps:
                _heed(pressed)
                status = plan.status(step, run.statuses, store)
                run.statuses[step.cell.label] = status
                if not run.wants(step.cell.label):
                    continue
                if status.state == "to do":
                    observer.start(run, step)
                    workbench.notify = _notifier(run, observer, pressed)
                    workbench.measure = partial(observer.measure, run, step)
                    status = _run_cell(run, step, workbench, pressed)
                    run.statuses[step.cell.label] = status
                    store.put_run(run.name, run.account())
                observer.finish(run, status)
        except KeyboardInterrupt:
            run.interrupted = True
    store.put_run(run.name, run.account())
    return run


@contextmanager
def _ctrl_c() -> Iterator[Event]:
    """Remember that Ctrl-C was pressed: the exception may be lost in a library's own handlers."""
    pressed = Event()
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield pressed
        return

    def press(_number: int, _frame: object) -> None:
        pressed.set()
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, press)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _heed(pressed: Event) -> None:
    if pressed.is_set():
        raise KeyboardInterrupt


def _notifier(run: Run, observer: Observer, pressed: Event) -> Callable[[float, str], None]:
    def notify(share: float, words: str) -> None:
        _heed(pressed)
        observer.advance(run, share, words)

    return notify


def _run_cell(run: Run, step: Step, workbench: Workbench, pressed: Event) -> Status:
    """Run one cell; an exception becomes a failure."""
    cell = step.cell
    parents = _stored_parents(run, cell)
    key = cell.key(parents)
    started = time.perf_counter()
    try:
        with warnings.catch_warnings(), run.plan.compute.applied():
            warnings.simplefilter("ignore")  # a library's warnings would tear the progress line
            result = cell.run(workbench, parents)
    except (Exception, SystemExit) as error:  # noqa: BLE001 (the one broad catch: a failed cell)
        _heed(pressed)
        workbench.forget_classifiers()
        words = str(error) if isinstance(error, BenchError) else f"{type(error).__name__}: {error}"
        failure: dict[str, JSON] = {
            "label": cell.label,
            "identity": cell.identity(parents),
            "error": words,
            "traceback": traceback.format_exc(),
            "time": _now(),
        }
        run.store.fail(key, failure)
        return Status(step, "failed", key, reason=words.partition("\n")[0])
    seconds = time.perf_counter() - started
    stored = run.store.put(
        key,
        cell.kind,
        cell.coordinates,
        cell.identity(parents),
        result,
        _provenance(run, cell, seconds),
    )
    run.learn(cell, seconds)
    run.computed += 1
    return Status(step, "done", key, stored)


def _stored_parents(run: Run, cell: Cell) -> dict[str, Stored]:
    found = {role: run.statuses[parent.cell.label].stored for role, parent in cell.parents.items()}
    return {role: stored for role, stored in found.items() if stored is not None}


def _provenance(run: Run, cell: Cell, seconds: float) -> dict[str, JSON]:
    """Note how a cell came to be: nothing of this is part of its identity."""
    return {
        "time": _now(),
        "run": run.name,
        "source": run.source,
        "seconds": seconds,
        "threads": run.plan.compute.threads,
        "device": _device_name(run.plan.compute.device),
        "versions": _versions(),
        "revision": _git_revision(),
        "sources": sources(cell.modules),
    }


def sources(modules: tuple[str, ...]) -> dict[str, JSON]:
    """Digest the source of modules; what has none is left out."""
    found: dict[str, JSON] = {}
    for module in modules:
        digest = registry.source_digest(module)
        if digest is not None:
            found[module] = digest
    return found


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@cache
def _versions() -> dict[str, JSON]:
    packages = (
        *("bench-classifiers", "torch", "torchvision", "timm", "numpy"),
        *("torchattacks", "grad-cam", "captum"),
    )
    versions: dict[str, JSON] = {name: registry.installed_version(name) for name in packages}
    return {"python": platform.python_version(), "platform": platform.platform(), **versions}


def _device_name(device: str) -> str:
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    return platform.processor() or platform.machine()


@cache
def _git_revision() -> str | None:
    """Return the revision of the checkout that bench is run from, if it is one."""
    folder = Path(__file__).parent.parent
    if not (folder / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
