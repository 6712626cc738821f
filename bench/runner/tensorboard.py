"""Training curves for TensorBoard, written as epochs end.

A listener to runs: it reads their events, and changes nothing.
"""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BenchError, UsageError
from bench.report.files import file_name
from bench.runner.events import CellFinished, Event, Figures, Measured, RunFinished, RunStarted

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_NO_CURVES = ("epoch", "seconds")
"""Figures of an epoch that are not drawn: its number, and its time."""


class TensorBoard:
    """Writes one log for each model and replica, under ``folder/suite/``.

    What was trained earlier is written too, from the store, so that all models of a suite can be
    compared. A log that is there already is replaced.

    Raises:
        UsageError: where TensorBoard is not installed, or the folder cannot be written.

    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.suite = ""
        self._writers: dict[str, SummaryWriter] = {}
        self._written: dict[str, int] = {}
        _writer_class()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / ".writable").touch()
            (folder / ".writable").unlink()
        except OSError as error:
            raise _unwritable(folder, error) from error

    def __call__(self, event: Event) -> None:
        """Write an epoch's figures as it ends, and whole trainings that the store had."""
        match event:
            case RunStarted(suite=suite):
                self.suite = suite
            case Measured(label, name, figures) if "epoch" in figures:
                self._write(label, name, figures)
            case CellFinished(label, name=name, epochs=epochs):
                if self._written.get(label, 0) < len(epochs):
                    self._close(label)
                    for epoch in epochs:
                        self._write(label, name, epoch)
                self._close(label)
            case RunFinished():
                for label in list(self._writers):
                    self._close(label)

    def _close(self, label: str) -> None:
        if label in self._writers:
            self._writers.pop(label).close()

    def _write(self, label: str, name: str, figures: Figures) -> None:
        if label not in self._writers:
            self._writers[label] = self._open(self.folder / self.suite / file_name(name))
            self._written[label] = 0
        self._written[label] += 1
        number = figures["epoch"]
        for key, value in figures.items():
            if isinstance(value, int | float) and key not in _NO_CURVES:
                self._writers[label].add_scalar(key, value, number)

    def _open(self, folder: Path) -> SummaryWriter:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for stale in folder.glob("events.out.tfevents.*"):
                stale.unlink()
            return _writer_class()(str(folder))
        except OSError as error:
            raise _unwritable(folder, error) from error


def _writer_class() -> type[SummaryWriter]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # an installed TensorFlow would print
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UsageError.of(
            "--tensorboard",
            f"TensorBoard cannot be imported: {error}",
            "the extra 'tensorboard' installed",
            "pip install 'bench-classifiers[tensorboard]'",
        ) from error
    return SummaryWriter


def _unwritable(folder: Path, error: OSError) -> BenchError:
    return UsageError.of(
        f"--tensorboard {folder}", f"cannot be written: {error}", "a folder for logs"
    )
