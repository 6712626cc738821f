"""What models cost and what they give: accuracy over latency, areas for size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.figures.style import colour, plain, save
from bench.statistics import Estimate

_AREA = 420.0
"""Of the largest model, in points squared."""


@dataclass(frozen=True)
class Point:
    """A model: accuracy with its interval, latency, size, and whether nothing is better in all."""

    name: str
    accuracy: Estimate
    latency_ms: float
    size_bytes: float
    is_on_front: bool


def front(points: Sequence[Point], batch: int, path: Path) -> Path:
    """Draw models by latency and accuracy; an area shows the size, a ring that one is dominated.

    Args:
        points: the models.
        batch: whose latency it is.
        path: of the SVG file; a PNG lies beside it.

    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    figure = Figure(figsize=(5.4, 3.4), layout="constrained")
    axes = figure.subplots()
    largest = max(point.size_bytes for point in points)
    on_front = sorted((p for p in points if p.is_on_front), key=lambda p: p.latency_ms)
    axes.plot(
        [p.latency_ms for p in on_front],
        [100 * (p.accuracy.value or 0) for p in on_front],
        "-",
        color="#999999",
        linewidth=1,
        zorder=1,
    )
    for index, point in enumerate(points):
        value = 100 * (point.accuracy.value or 0)
        low, high = point.accuracy.low, point.accuracy.high
        if low is not None and high is not None:
            bars = [[max(0.0, value - 100 * low)], [max(0.0, 100 * high - value)]]
            axes.errorbar(point.latency_ms, value, yerr=bars, color=colour(index), linewidth=1)
        axes.scatter(
            point.latency_ms,
            value,
            s=max(18.0, _AREA * point.size_bytes / largest),
            color=colour(index) if point.is_on_front else "white",
            edgecolor=colour(index),
            alpha=0.85,
            zorder=2,
        )
        radius = math.sqrt(max(18.0, _AREA * point.size_bytes / largest) / math.pi)
        axes.annotate(
            f"{point.name}\n{point.size_bytes / 1e6:.2f} MB",
            (point.latency_ms, value),
            xytext=(radius + 4, 4),
            textcoords="offset points",
            fontsize=8,
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.25)
    axes.set_xlabel(f"latency of batch {batch}, ms")
    axes.set_ylabel("clean accuracy, %")
    plain(axes)
    return save(figure, path)
