"""What machine this is, and what it is doing: its name, the memory of tensors, its other work.

Timings mean something only beside the machine that they were taken on, and only while nothing else
ran there. This room measures what the platform reports, and says None where it reports nothing. It
does not know what is timed, and imports torch only to ask about a GPU and to count tensors.
"""

from bench.machine.hardware import bf16_instructions, cores, describe, identity
from bench.machine.load import Load, busy_elsewhere
from bench.machine.lock import timing_lock
from bench.machine.memory import Peak, peak_memory

__all__ = [
    "Load",
    "Peak",
    "bf16_instructions",
    "busy_elsewhere",
    "cores",
    "describe",
    "identity",
    "peak_memory",
    "timing_lock",
]
