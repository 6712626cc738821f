"""The most memory that tensors held at once, counted allocation by allocation."""

from __future__ import annotations

import gc
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass
class Peak:
    """The most memory that tensors made in a block held at once; filled in when the block ends.

    ``bytes`` is None where this torch cannot count, and where the block fails.
    """

    bytes: int | None = None


@contextmanager
def peak_memory(device: str) -> Iterator[Peak]:
    """Count the memory of tensors made inside, on one device, by the thread that is inside.

    Counted, allocation by allocation: on a CPU the same work gives the same number whatever the
    process did before, which the memory that the kernel calls resident does not. Slows a CPU down.
    Uses torch's profiler there, of which there is one: what runs inside must not profile, and
    inside another nothing is counted. On a GPU, nothing from before may be let go of inside.
    """
    peak = Peak()
    if device.startswith("cuda"):
        gc.collect()
        before = _restart_on_gpu(device)
        yield peak
        peak.bytes = _peak_on_gpu(device) - before
        return
    import torch

    if not torch.profiler.kineto_available() or _is_profiling():
        yield peak
        return
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # it reports each start on standard error
    activities = [torch.profiler.ProfilerActivity.CPU]
    with (
        _cycles_kept(),
        torch.profiler.profile(activities=activities, profile_memory=True) as profiler,
    ):
        yield peak
    peak.bytes = _highest(_allocations(profiler))


@contextmanager
def _cycles_kept() -> Iterator[None]:
    """Keep the collector of cycles out: when it comes depends on what the process did before."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _is_profiling() -> bool:
    import torch

    return bool(torch._C._autograd._profiler_enabled())  # noqa: SLF001 (two at once crash the process)


def _allocations(profiler: torch.profiler.profile) -> list[int]:
    """Return the bytes of each allocation in its order, of each release below zero.

    Releases of what was not allocated inside are left out: torch reports some of them, those of
    tensors that an earlier profile saw.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trace.json")
        profiler.export_chrome_trace(str(path))
        events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    found = [event for event in events if event["name"] == "[memory]"]
    found.sort(key=lambda event: event["ts"])
    held: dict[int, int] = {}
    changes = []
    for change in (event["args"] for event in found):
        if change["Bytes"] > 0:
            held[change["Addr"]] = change["Bytes"]
            changes.append(change["Bytes"])
        else:
            changes.append(-held.pop(change["Addr"], 0))
    return changes


def _highest(changes: Iterable[int]) -> int:
    return max(accumulate(changes, initial=0))


def _restart_on_gpu(device: str) -> int:
    import torch

    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def _peak_on_gpu(device: str) -> int:
    import torch

    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device)
