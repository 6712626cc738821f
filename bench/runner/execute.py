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
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from threading import Event

from bench import plan, registry
from bench.cells.cell import Cell
from bench.cells.workbench import Workbench
from bench.errors import BenchError
from bench.plan import Status, Step
from bench.records import JSON
from bench.runner.events import Observer, Silent
from bench.runner.run import Run, versions
from bench.store import Stored


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
