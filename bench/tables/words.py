"""How figures are written: units, digits, intervals, n."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from bench.metrics import Metric, Unit
from bench.records import JSON
from bench.statistics import Estimate
from bench.tables.markup import markdown_cell

DASH = "–"  # noqa: RUF001 (the mark for an empty denominator)


def text_of(value: JSON) -> str:
    """Write what a row or a column is for."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return DASH if value is None else str(value)


def figure(estimate: Estimate, metric: Metric, *, intervals: bool) -> str:
    """Write an estimate with its unit, its interval if wanted, and its n."""
    if estimate.value is None:
        return f"{DASH} (0)"
    told = number(estimate.value, metric.unit) + (" %" if metric.unit == "share" else "")
    if intervals and estimate.low is not None and estimate.high is not None:
        low, high = number(estimate.low, metric.unit), number(estimate.high, metric.unit)
        told += f" [{low}, {high}]"
    counted = [str(estimate.n)] if estimate.n else []
    counted += [f"x {estimate.trainings}"] if estimate.trainings > 1 else []
    return f"{told} ({' '.join(counted)})" if counted else told


def number(value: float, unit: Unit) -> str:
    """Write a figure in its unit, with the digits that such figures deserve."""
    if unit == "share":
        return f"{100 * value:.1f}"
    if math.isinf(value):
        return "∞"
    if unit == "pixels":
        return f"{value:.4f}" if abs(value) < _WIDE else f"{value:.4g}"
    if unit == "score":
        return f"{value:.3f}"
    if unit == "bytes" or (unit == "count" and value == round(value)):
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < _LARGE else f"{value:,.0f}"


_LARGE = 1000
_WIDE = 10


def class_distribution(run: Mapping[str, Any]) -> str:
    """Write the table of how many images of each class each split of a run's dataset has."""
    from tabulate import tabulate

    counts: dict[str, dict[str, int]] = run["dataset"]["counts"]
    rows = [
        [markdown_cell(name), *(counts[split][name] for split in counts)]
        for name in run["dataset"]["classes"]
    ]
    rows.append(["all", *(sum(counts[split].values()) for split in counts)])
    headers = ["class", *map(markdown_cell, counts)]
    align = ["left", *["right"] * len(counts)]
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True, colalign=align)
