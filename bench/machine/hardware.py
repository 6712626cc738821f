"""Processor, cores, instructions, memory, GPU: what decides the speed of a machine."""

from __future__ import annotations

import contextlib
import os
import platform
from functools import cache
from pathlib import Path

from bench import fingerprint
from bench.records import JSON

PROC = Path("/proc")
"""Where Linux says what it is and does."""

_INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "sve", "i8mm", "bf16")
"""The instruction sets that decide how fast matrices are multiplied, as Linux calls them."""


def describe(device: str) -> dict[str, JSON]:
    """Say what decides the speed of a machine; None for what it does not report.

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
    facts = describe(device)
    del facts["memory_bytes"]
    return fingerprint.fingerprint(facts)[:16]


def cores() -> int:
    """Count the cores that this process may use."""
    return len(own_cores()) or os.cpu_count() or 1


def own_cores() -> set[int]:
    """Return the numbers of the cores that any thread may use: a library may bind the main one."""
    if not hasattr(os, "sched_getaffinity"):
        return set()
    found = set(os.sched_getaffinity(0))
    with contextlib.suppress(OSError):
        for thread in (PROC / "self" / "task").iterdir():
            with contextlib.suppress(OSError, ValueError):
                found |= os.sched_getaffinity(int(thread.name))
    return found


def _cpuinfo(*names: str) -> str:
    """Return the first value that goes by one of some names in /proc/cpuinfo, or nothing."""
    with contextlib.suppress(OSError):
        for line in (PROC / "cpuinfo").read_text(encoding="utf-8").splitlines():
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
