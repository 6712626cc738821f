"""Training curves for TensorBoard, written as epochs end.

An observer of runs: it reads what cells tell, and changes nothing.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from bench.errors import BenchError, UsageError
from bench.plan import Status, Step
from bench.records import JSON
from bench.runner.events import Silent
from bench.runner.run import Run

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_TOLD = ("epoch", "seconds")
"""What numbers the points, and what is no curve of training."""


class TensorBoard(Silent):
    """Writes one log for each model and replica, under ``folder/suite/``.

    What was trained earlier is written too, from the store, so that all models of a suite can be
    compared. A log that stands there already is replaced.

    Raises:
        UsageError: where TensorBoard is not installed, or the folder cannot be written.

    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writers: dict[str, SummaryWriter] = {}
        self._written: dict[str, int] = {}
        _writer_class()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / ".writable").touch()
            (folder / ".writable").unlink()
        except OSError as error:
            raise _unwritable(folder, error) from error

    def measure(self, run: Run, step: Step, figures: Mapping[str, JSON]) -> None:
        """Write an epoch's figures."""
        if "epoch" in figures:
            self._write(run, step, figures)

    def finish(self, run: Run, status: Status) -> None:
        """Close a training's log; write it whole where epochs are from the store."""
        label = status.step.cell.label
        epochs = status.stored.summary.get("epochs") if status.stored is not None else None
        if isinstance(epochs, list) and self._written.get(label, 0) < len(epochs):
            self._close(label)
            for epoch in epochs:
                self._write(run, status.step, cast("Mapping[str, JSON]", epoch))
        self._close(label)

    def close(self) -> None:
        """Close what an interrupted run left open."""
        for label in list(self._writers):
            self._close(label)

    def _close(self, label: str) -> None:
        if label in self._writers:
            self._writers.pop(label).close()

    def _write(self, run: Run, step: Step, figures: Mapping[str, JSON]) -> None:
        label = step.cell.label
        if label not in self._writers:
            name = str(step.cell.coordinates).replace(":", "-").replace("/", "-")
            self._writers[label] = self._open(self.folder / run.plan.suite.name / name)
            self._written[label] = 0
        self._written[label] += 1
        number = figures["epoch"]
        for name, value in figures.items():
            if isinstance(value, int | float) and name not in _TOLD:
                self._writers[label].add_scalar(name, value, number)

    def _open(self, folder: Path) -> SummaryWriter:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for stale in folder.glob("events.out.tfevents.*"):
                stale.unlink()
            return _writer_class()(str(folder))
        except OSError as error:
            raise _unwritable(folder, error) from error


def _writer_class() -> type[SummaryWriter]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # an installed TensorFlow would talk
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UsageError.of(
            "--tensorboard",
            f"needs TensorBoard: {error}",
            "it installed",
            "pip install tensorboard",
        ) from error
    return SummaryWriter


def _unwritable(folder: Path, error: OSError) -> BenchError:
    return UsageError.of(
        f"--tensorboard {folder}", f"cannot be written: {error}", "a folder for logs"
    )
