"""How busy the cores of this process were with the work of others."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench.machine import hardware

_BUSY = (1, 2, 3, 6, 7, 8)
"""Columns of /proc/stat: user, nice, system, irq, softirq, and stolen by the hypervisor."""

_TICKS_TO_TELL = 20
"""Linux counts a core's work in ticks: over fewer, one tick would be more than a twentieth."""


@dataclass
class Load:
    """What others did meanwhile; filled in when the block ends.

    ``share``: of the time of the cores that this process may use, in [0, 1], what went to other
    processes, this one's children among them, or to the hypervisor. None where the platform cannot
    measure it, and where the block was too short (under a fifth of a second).
    """

    share: float | None = None


@contextmanager
def busy_elsewhere() -> Iterator[Load]:
    """Measure how much of this process's cores other processes used inside."""
    load = Load()
    numbers = hardware.own_cores()
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
        for line in (hardware.PROC / "stat").read_text(encoding="ascii").splitlines():
            fields = line.split()
            if fields and fields[0] in {f"cpu{number}" for number in numbers}:
                seen += 1
                ticks += sum(int(fields[column]) for column in _BUSY)
    return ticks * _tick_seconds() if seen and seen == len(numbers) else None
