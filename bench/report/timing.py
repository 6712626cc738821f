"""The pages' part on latency: how it was measured, and on what machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.compare.models import BUSY
from bench.matrix import Matrix
from bench.report.blocks import Block, Heading, Paragraph, Strong, Table


def section(matrix: Matrix, _folder: Path) -> Iterator[Block]:
    """Write every timing with its spread, and whether other processes disturbed it."""
    found = [e for e in matrix.entries if e.kind == "latency" and e.state == "done"]
    if not found:
        return
    summaries: list[Any] = [matrix.stored(entry).summary for entry in found]
    yield Heading("Latency")
    rows = [
        [
            str(entry.coordinates),
            summary["batch"],
            summary["threads"],
            f"{summary['latency_ms']:.2f}",
            f"{summary['latency_ms_std']:.2f}",
            f"{summary['latency_ms_median']:.2f}",
            f"{summary['latency_ms_p95']:.2f}",
            summary["runs"],
            _load(summary["busy_elsewhere"]),
        ]
        for entry, summary in zip(found, summaries, strict=True)
    ]
    headers = ["model", "batch", "threads", "mean, ms", "std", "median", "95 %", "runs", "others"]
    yield Table.of(headers, rows)
    machine = summaries[0]["machine"]
    yield Paragraph(
        f"On {machine['gpu'] or machine['cpu']}, {machine['cores']} cores, after "
        f"{summaries[0]['warmup']} runs to warm up; the images are on the device. Others: the "
        "share of the cores that other processes used meanwhile, where the system reports it."
    )
    if any((summary["busy_elsewhere"] or 0) > BUSY for summary in summaries):
        words = f"Other processes took more than {BUSY:.0%} of the machine during a timing"
        yield Paragraph((Strong(words), ": repeat it on an idle machine, with another store."))


def _load(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"
