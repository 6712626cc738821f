"""Accuracy of models over their latency, with areas for size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.figures.style import colour, plain, save
from bench.statistics import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_AREA = 420.0
"""Of the largest model, in points squared."""

_SMALLEST = 18.0
"""Of any other model at least, in points squared."""


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
        batch: size of the batch that was timed.
        path: of the SVG file; a PNG is written beside it.

    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.4, 3.4), layout="constrained")
    axes = figure.subplots()
    on_front = sorted((p for p in points if p.is_on_front), key=lambda p: p.latency_ms)
    axes.plot(
        [point.latency_ms for point in on_front],
        [_percent(point) for point in on_front],
        "-",
        color="#999999",
        linewidth=1,
        zorder=1,
    )
    largest = max(point.size_bytes for point in points)
    for index, point in enumerate(points):
        _draw(axes, point, colour(index), max(_SMALLEST, _AREA * point.size_bytes / largest))
    _scale(axes)
    axes.set_xlabel(f"latency of batch {batch}, ms")
    axes.set_ylabel("clean accuracy, %")
    plain(axes)
    return save(figure, path)


def _percent(point: Point) -> float:
    return 100 * (point.accuracy.value or 0)


def _draw(axes: Axes, point: Point, shade: str, area: float) -> None:
    """Draw one model: its interval, its disc (a ring where it is dominated), its name."""
    value, low, high = _percent(point), point.accuracy.low, point.accuracy.high
    if low is not None and high is not None:
        bars = [[max(0.0, value - 100 * low)], [max(0.0, 100 * high - value)]]
        axes.errorbar(point.latency_ms, value, yerr=bars, color=shade, linewidth=1)
    axes.scatter(
        point.latency_ms,
        value,
        s=area,
        color=shade if point.is_on_front else "white",
        edgecolor=shade,
        alpha=0.85,
        zorder=2,
    )
    axes.annotate(
        f"{point.name}\n{point.size_bytes / 1e6:.2f} MB",
        (point.latency_ms, value),
        xytext=(math.sqrt(area / math.pi) + 4, 4),
        textcoords="offset points",
        fontsize=8,
    )


def _scale(axes: Axes) -> None:
    """Make latency logarithmic, with plain numbers beside the ticks."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.25)
