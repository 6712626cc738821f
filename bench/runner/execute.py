"""Walks a plan: skips what the store has, runs the rest in this process, keeps an account.

Any exception of a cell becomes a failed cell: its children are blocked, and the other cells go on.
A failure is never stored as a result. The other broad catch is :func:`bench.errors.explained`,
which runs code that bench did not write.
"""

from __future__ import annotations

import platform
import signal
import subprocess
import threading
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from bench import plan, registry
from bench.cells.cell import Cell
from bench.cells.workbench import Workbench
from bench.errors import BenchError
from bench.plan import Status, Step
from bench.records import JSON
from bench.runner.events import (
    CellFinished,
    CellStarted,
    Event,
    Listener,
    Measured,
    Progress,
    RunFinished,
    RunStarted,
)
from bench.runner.run import Run, remarks, versions
from bench.store import Stored


def execute(run: Run, listener: Listener | None = None) -> Run:
    """Run every cell of a plan that the store does not have.

    Ctrl-C ends the run cleanly: ``run.interrupted`` is set, what was finished is stored.

    Args:
        run: a fresh run; returned with its statuses filled in.
        listener: gets the run's events.

    Raises:
        UsageError: where the device is missing.
        StoreError: where the store cannot be written.

    """
    listen = listener or _nobody
    run.plan.compute.check_device()
    run.statuses = {s.step.cell.label: s for s in plan.statuses(run.plan, run.store)}
    run.store.put_run(run.name, run.account())
    steps, notes = run.plan.steps, tuple(run.plan.notes)
    listen(RunStarted(run.plan.suite.name, len(steps), run.counts["done"], notes))
    try:
        with _ctrl_c() as pressed:
            _walk(run, listen, pressed)
    except KeyboardInterrupt:
        run.interrupted = True
    finally:
        listen(RunFinished(dict(run.counts), run.computed, run.interrupted, run.seconds))
    run.store.put_run(run.name, run.account())
    return run


def _nobody(_event: Event) -> None:
    """Listen to nothing."""


def _walk(run: Run, listen: Listener, pressed: threading.Event) -> None:
    """Run the steps in order: parents come before their children."""
    workbench = Workbench(run.store, run.plan.compute)
    finished = 0
    for step in run.plan.steps:
        _stop_if(pressed)
        label = step.cell.label
        status = plan.status(step, run.statuses, run.store)
        run.statuses[label] = status
        if not run.wants(label):
            continue
        is_to_do = status.state == "to do"
        if is_to_do:
            listen(CellStarted(label, step.cell.kind, run.seconds_left()))
            _report_to(workbench, step, listen, pressed)
            status = _run_cell(run, step, workbench, pressed)
            run.statuses[label] = status
            run.store.put_run(run.name, run.account())
        finished += 1
        listen(_finished(run, status, finished, is_computed=is_to_do and status.state == "done"))


def _report_to(
    workbench: Workbench, step: Step, listen: Listener, pressed: threading.Event
) -> None:
    """Connect a workbench to the listener: progress and measurements become events."""
    label, name = step.cell.label, str(step.cell.coordinates)

    def notify(share: float, words: str) -> None:
        _stop_if(pressed)
        listen(Progress(label, share, words))

    workbench.notify = notify
    workbench.measure = lambda figures: listen(Measured(label, name, dict(figures)))


def _finished(run: Run, status: Status, finished: int, *, is_computed: bool) -> CellFinished:
    """Return the event of a cell's end, which holds plain values only."""
    cell = status.step.cell
    epochs: Any = () if status.stored is None else status.stored.summary.get("epochs")
    return CellFinished(
        label=cell.label,
        kind=cell.kind,
        name=str(cell.coordinates),
        state=status.state,
        reason=status.reason,
        computed=is_computed,
        finished=finished,
        cells=len(run.plan.steps),
        seconds_left=run.seconds_left(),
        epochs=tuple(epochs) if isinstance(epochs, list) else (),
        remarks=remarks(status),
    )


@contextmanager
def _ctrl_c() -> Iterator[threading.Event]:
    """Record that Ctrl-C was pressed: a library's own handlers may lose the exception."""
    pressed = threading.Event()
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


def _stop_if(pressed: threading.Event) -> None:
    if pressed.is_set():
        raise KeyboardInterrupt


def _run_cell(run: Run, step: Step, workbench: Workbench, pressed: threading.Event) -> Status:
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
        _stop_if(pressed)
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
    """Return where and when a cell was computed: nothing of this is part of its identity."""
    return {
        "time": _now(),
        "run": run.name,
        "source": run.source,
        "seconds": seconds,
        "threads": run.plan.compute.threads,
        "device": _device_name(run.plan.compute.device),
        "versions": versions(),
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


def _device_name(device: str) -> str:
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    return platform.processor() or platform.machine()


@cache
def _git_revision() -> str | None:
    """Return the revision of the checkout that bench is run from, if it is one."""
    folder = Path(__file__).parents[2]
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
