"""The latency cell: how long a model takes for a batch, on this machine, with nothing beside it."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from bench import machine, registry
from bench.cells.cell import Cell, Parent
from bench.cells.subject import Subject
from bench.cells.workbench import Compute, Workbench
from bench.data import ImageSet
from bench.errors import ModelError, PluginError
from bench.records import JSON, Kind, Result
from bench.store import Stored

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from bench.classifier.layout import Layout
    from bench.tensors import Images


@dataclass(frozen=True)
class Timing:
    """What was measured: each run, the batch that the classifier saw, what others did meanwhile."""

    milliseconds: NDArray[np.float64]
    batch: int
    busy_elsewhere: float | None


@dataclass(frozen=True)
class LatencyCell(Cell):
    """A model to time on one batch, ``runs`` times after ``warmup`` untimed ones.

    The images lie on the device, in the memory format, before the clock starts. Which images they
    are does not matter, only their shape: where there are fewer than ``batch``, they are repeated.
    """

    kind: ClassVar[Kind] = "latency"

    subject: Subject
    images: ImageSet
    batch: int
    compute: Compute
    warmup: int = 10
    runs: int = 100

    @property
    def label(self) -> str:
        """The coordinates and the batch: a model is timed on several."""
        return f"{self.kind} {self.coordinates}@batch={self.batch}"

    @property
    def parents(self) -> Mapping[str, Parent]:
        """The weights."""
        return self.subject.parents

    @property
    def inputs(self) -> dict[str, JSON]:
        """The protocol, how numbers are computed, by what, on how many threads, and the machine."""
        return {
            "batch": self.batch,
            "warmup": self.warmup,
            "runs": self.runs,
            "machine": machine.identity(self.compute.device),
            "torch": registry.installed_version("torch"),
            **self.compute.identity(threads=True),
            **self.subject.identity,
        }

    @property
    def facts(self) -> dict[str, JSON]:
        """The batch and the threads."""
        return {"batch": self.batch, "threads": self.compute.threads}

    @property
    def modules(self) -> tuple[str, ...]:
        """The cell, the machine, the classifier, and the package of the model's plugin."""
        return (
            *super().modules,
            "bench.machine",
            "bench.classifier",
            *self.subject.packages,
        )

    @property
    def work(self) -> tuple[str, float]:
        """One pass for each image of each run."""
        return f"latency {self.coordinates.model}", float(self.batch * (self.warmup + self.runs))

    def run(self, workbench: Workbench, parents: Mapping[str, Stored]) -> Result:
        """Wait until no other timing runs on this machine, then time."""
        import torch

        from bench.classifier import layout

        classifier = self.subject.copied(workbench, parents)
        used = layout.of(classifier)
        images = self._images(used)

        def waiting() -> None:
            workbench.notify(0.0, "waits for another timing on this machine to end")

        with machine.timing_lock(waiting):
            try:
                with torch.inference_mode():
                    timing = self._time(classifier, images)
            except ModelError:  # it may take a gradient of its own, which that mode rules out
                with torch.no_grad():
                    timing = self._time(classifier, images)
            threads = torch.get_num_threads()
        milliseconds = timing.milliseconds
        mean = float(milliseconds.mean())
        return Result(
            arrays={"milliseconds": milliseconds},
            summary={
                "images": self.runs,
                "latency_ms": mean,
                "latency_ms_std": float(milliseconds.std(ddof=1)) if self.runs > 1 else None,
                "latency_ms_median": float(np.median(milliseconds)),
                "latency_ms_p95": float(np.percentile(milliseconds, 95)),
                "images_per_second": timing.batch / mean * 1000,
                "batch": timing.batch,
                "warmup": self.warmup,
                "runs": self.runs,
                "threads": threads,
                "device": self.compute.device,
                "memory_format": used,
                "machine": machine.describe(self.compute.device),
                "busy_elsewhere": timing.busy_elsewhere,
            },
        )

    def _images(self, layout: Layout) -> Images:
        """Return one batch, on the device and as the network is laid out."""
        import torch

        positions = np.resize(self.images.positions, self.batch)
        images, _ = ImageSet(self.images.data, positions).tensors()
        if layout == "channels_last":
            images = images.contiguous(memory_format=torch.channels_last)
        return images.to(self.compute.device)

    def _time(self, classifier: nn.Module, images: Images) -> Timing:
        """Time every run, and see to it that each was of the batch that the record will name."""
        synchronise = _synchroniser(self.compute.device)
        for _ in range(self.warmup):
            classifier(images)
        synchronise()
        spent: list[int] = []
        with _batches_seen(classifier) as seen, _no_collection(), machine.busy_elsewhere() as load:
            for _ in range(self.runs):
                started = time.perf_counter_ns()
                classifier(images)
                synchronise()
                spent.append(time.perf_counter_ns() - started)
        if seen != [self.batch] * self.runs:
            raise PluginError.of(
                self.subject.architecture.culprit,
                f"was timed in {len(seen)} passes on batches of {sorted(set(seen))}",
                f"{self.runs} passes on batches of {self.batch}",
                "no latency is recorded",
            )
        return Timing(np.array(spent, dtype=np.float64) / 1e6, seen[0], load.share)


@contextmanager
def _batches_seen(classifier: nn.Module) -> Iterator[list[int]]:
    """Note the size of every batch that goes through a classifier inside."""
    seen: list[int] = []

    def note(_module: nn.Module, arguments: tuple[Tensor], _logits: Tensor) -> None:
        seen.append(arguments[0].shape[0])

    hook = classifier.register_forward_hook(note)
    try:
        yield seen
    finally:
        hook.remove()


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep Python from collecting garbage inside, having done so just before."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _synchroniser(device: str) -> Callable[[], None]:
    """Return what waits until a device has done all that it was given; a cpu has."""
    if not device.startswith("cuda"):
        return lambda: None
    import torch

    return partial(torch.cuda.synchronize, device)
