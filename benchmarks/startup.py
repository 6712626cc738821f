"""How long the commands take that must be quick: median of several whole processes.

    python benchmarks/startup.py [STORE]

STORE holds a finished run of problem_b (default: .bench); without it only the commands that need no
run are timed.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 7


def seconds(words: list[str]) -> list[float]:
    """Time whole processes, after one that warms the disk's cache."""
    found = []
    for _ in range(RUNS + 1):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "bench", *words], check=True, capture_output=True)
        found.append(time.perf_counter() - started)
    return found[1:]


def main() -> None:
    """Print a table."""
    store = sys.argv[1] if len(sys.argv) > 1 else ".bench"
    commands = [["--help"], ["list"], ["check", "problem_b"]]
    if Path(store).is_dir():
        commands += [
            ["table", "--metric", "success_rate", "--store", store],
            ["plan", "problem_b", "--store", store],
            ["run", "problem_b", "--store", store],
        ]
    print("| command | median s | min | max |\n| --- | ---: | ---: | ---: |")
    for words in commands:
        found = seconds(words)
        times = f"{statistics.median(found):.2f} | {min(found):.2f} | {max(found):.2f}"
        print(f"| `bench {' '.join(words)}` | {times} |", flush=True)


if __name__ == "__main__":
    main()
