"""What machine this is, and what it is doing: its name, the memory of tensors, its other work.

Timings mean something only beside the machine that they were taken on, and only while nothing else
ran there. This room measures what the platform can tell, and says None where it cannot. It does
not know what is timed, and imports torch only to ask about a GPU and to count tensors.
"""

from __future__ import annotations

import contextlib
import gc
import getpass
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from bench import fingerprint
from bench.errors import BenchError, UsageError
from bench.records import JSON

if TYPE_CHECKING:
    import torch

_PROC = Path("/proc")

_INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "sve", "i8mm", "bf16")
"""The instruction sets that decide how fast matrices are multiplied, as Linux calls them."""

_BUSY = (1, 2, 3, 6, 7, 8)
"""Columns of /proc/stat: user, nice, system, irq, softirq, and stolen by the hypervisor."""

_TICKS_TO_TELL = 20
"""Linux counts a core's work in ticks: over fewer, one tick would be more than a twentieth."""

_POLL_SECONDS = 0.05


def describe(device: str) -> dict[str, JSON]:
    """Say what decides the speed of a machine; None for what it does not tell.

    Args:
        device: as torch names it. ``gpu`` is None for the cpu and for a GPU that is not there.

    """
    return {
        "cpu": _processor(),
        "architecture": platform.machine(),
        "cores": cores(),
        "instructions": list(_instructions()),
        "memory_bytes": _memory_bytes(),
        "gpu": _gpu(device),
    }


@cache
def identity(device: str) -> str:
    """Return a short fingerprint of what decides the speed: processor, cores, GPU."""
    told = describe(device)
    del told["memory_bytes"]
    return fingerprint.fingerprint(told)[:16]


def cores() -> int:
    """Count the cores that this process may use."""
    return len(_own_cores()) or os.cpu_count() or 1


def _own_cores() -> set[int]:
    """Return the numbers of the cores that any thread may use: a library may bind the main one."""
    if not hasattr(os, "sched_getaffinity"):
        return set()
    found = set(os.sched_getaffinity(0))
    with contextlib.suppress(OSError):
        for thread in (_PROC / "self" / "task").iterdir():
            with contextlib.suppress(OSError, ValueError):
                found |= os.sched_getaffinity(int(thread.name))
    return found


def _cpuinfo(*names: str) -> str:
    """Return the first value that goes by one of some names in /proc/cpuinfo, or nothing."""
    with contextlib.suppress(OSError):
        for line in (_PROC / "cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() in names:
                return value.strip()
    return ""


def _processor() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _instructions() -> tuple[str, ...]:
    known = _cpuinfo("flags", "Features").split()
    return tuple(name for name in _INSTRUCTIONS if name in known)


def bf16_instructions() -> tuple[str, ...]:
    """Return those of the processor's instructions that multiply bf16; without, it is emulated."""
    of_x86 = [name for name in ("avx512_bf16", "amx_bf16") if name in _cpuinfo("flags").split()]
    of_arm = [name for name in ("bf16",) if name in _cpuinfo("Features").split()]
    return (*of_x86, *of_arm)


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _gpu(device: str) -> str | None:
    if not device.startswith("cuda"):
        return None
    import torch

    if int(device.partition(":")[2] or 0) >= torch.cuda.device_count():
        return None
    return torch.cuda.get_device_name(device)


@dataclass
class Peak:
    """The most memory that tensors made in a block held at once; filled in when the block ends.

    ``bytes`` is None where this torch cannot tell, and where the block fails.
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
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # it tells standard error of each start
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

    Releases of what was not allocated inside are left out: torch tells some of them, those of
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
    for told in (event["args"] for event in found):
        if told["Bytes"] > 0:
            held[told["Addr"]] = told["Bytes"]
            changes.append(told["Bytes"])
        else:
            changes.append(-held.pop(told["Addr"], 0))
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


@dataclass
class Load:
    """What others did meanwhile; filled in when the block ends.

    ``share``: of the time of the cores that this process may use, in [0, 1], what went to other
    processes, this one's children among them, or to the hypervisor. None where the platform cannot
    tell, and where the block was too short (under a fifth of a second).
    """

    share: float | None = None


@contextmanager
def busy_elsewhere() -> Iterator[Load]:
    """Measure how much of this process's cores other processes used inside."""
    load = Load()
    numbers = _own_cores()
    busy, own, started = _busy_seconds(numbers), time.process_time(), time.monotonic()
    try:
        yield load
    finally:
        elapsed = time.monotonic() - started
        own = time.process_time() - own
        after = _busy_seconds(numbers)
        if busy is not None and after is not None and elapsed >= _TICKS_TO_TELL * _tick_seconds():
            share = (after - busy - own) / (elapsed * len(numbers))
            load.share = min(1.0, max(0.0, share))


def _tick_seconds() -> float:
    return 1 / os.sysconf("SC_CLK_TCK")


def _busy_seconds(numbers: set[int]) -> float | None:
    """Add up how long some cores have been busy since the machine started."""
    ticks, seen = 0, 0
    with contextlib.suppress(OSError):
        for line in (_PROC / "stat").read_text(encoding="ascii").splitlines():
            fields = line.split()
            if fields and fields[0] in {f"cpu{number}" for number in numbers}:
                seen += 1
                ticks += sum(int(fields[column]) for column in _BUSY)
    return ticks * _tick_seconds() if seen and seen == len(numbers) else None


@contextmanager
def timing_lock(waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Keep out every other block of this kind that this user runs on this machine.

    A process that dies lets go. Entering twice at once waits for ever.

    Args:
        waiting: is called again and again while another is inside; may raise.

    Raises:
        UsageError: where the lock's file cannot be opened or locked.

    """
    from filelock import FileLock, Timeout

    user = os.getuid() if hasattr(os, "getuid") else getpass.getuser()
    path = Path(tempfile.gettempdir(), f"bench-{user}.lock")
    lock = FileLock(path, mode=0o600, timeout=0)
    # asked again and again, not once for good: between two questions Ctrl-C is heard
    while True:
        try:
            lock.acquire()
            break
        except Timeout:
            waiting()
            time.sleep(_POLL_SECONDS)
        except (OSError, NotImplementedError) as error:
            raise _unlockable(path, error) from error
    try:
        yield
    finally:
        lock.release()


def _unlockable(path: Path, error: Exception) -> BenchError:
    reason = error.strerror if isinstance(error, OSError) else None
    return UsageError.of(
        str(path),
        f"cannot be locked: {reason or error}",
        "a file of your own, so that two timings do not disturb each other",
        "remove it, or name another folder in TMPDIR",
    )
