"""What compression does: lines over sparsity, bars over layers, what each variant trades."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.figures.style import DASHES, MARKERS, colour, plain, save
from bench.statistics import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Line:
    """One line over sparsity: a point for each variant, its interval a bar.

    ``shade`` and ``dash`` number its colour and its dashes, so that lines that belong together
    share one.
    """

    label: str
    points: Sequence[tuple[float, float | Estimate]]
    shade: int = 0
    dash: int = 0
    factor: float = 1.0


@dataclass(frozen=True)
class Panel:
    """Lines that share an axis."""

    ylabel: str
    lines: Sequence[Line]
    from_zero: bool = False


def over_sparsity(panels: Sequence[Panel], path: Path) -> Path:
    """Draw panels side by side, each over the share of zeros.

    Args:
        panels: one or more.
        path: of the SVG file; a PNG lies beside it.

    """
    from matplotlib.figure import Figure

    width = 4.4 * len(panels) + 1.8
    figure = Figure(figsize=(width, 3.3), layout="constrained")
    grid = figure.subplots(1, len(panels), squeeze=False)
    for axes, panel in zip(grid[0], panels, strict=True):
        for line in panel.lines:
            _line(axes, line)
        axes.set_xlabel("sparsity of Conv and Linear weights, %")
        axes.set_ylabel(panel.ylabel)
        axes.set_xlim(-4, 104)
        if panel.from_zero:
            axes.set_ylim(bottom=0)
        plain(axes)
    grid[0][-1].legend(
        frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5)
    )
    return save(figure, path)


def _line(axes: Axes, line: Line) -> None:
    points = sorted(line.points, key=lambda point: point[0])
    values = [_value(value) for _, value in points]
    axes.errorbar(
        [100 * sparsity for sparsity, _ in points],
        [line.factor * value for value in values],
        yerr=[
            [
                line.factor * (value - _low(each))
                for value, (_, each) in zip(values, points, strict=True)
            ],
            [
                line.factor * (_high(each) - value)
                for value, (_, each) in zip(values, points, strict=True)
            ],
        ],
        color=colour(line.shade),
        linestyle=DASHES[line.dash % len(DASHES)],
        marker=MARKERS[line.dash % len(MARKERS)],
        markersize=4,
        linewidth=1.3,
        elinewidth=0.8,
        label=line.label,
    )


def _value(told: float | Estimate) -> float:
    return (told.value or 0.0) if isinstance(told, Estimate) else told


def _low(told: float | Estimate) -> float:
    value = _value(told)
    return min(value, told.low) if isinstance(told, Estimate) and told.low is not None else value


def _high(told: float | Estimate) -> float:
    value = _value(told)
    return max(value, told.high) if isinstance(told, Estimate) and told.high is not None else value


def bars(
    names: Sequence[str], series: Mapping[str, Sequence[float]], xlabel: str, path: Path
) -> Path:
    """Draw a group of bars for each layer, the first on top.

    Args:
        names: of the layers.
        series: by what the legend calls it, a value for each layer.
        xlabel: what the values are.
        path: of the SVG file; a PNG lies beside it.

    """
    from matplotlib.figure import Figure

    height = 0.9 + len(names) * max(0.22, 0.11 * len(series))
    figure = Figure(figsize=(6.4, height), layout="constrained")
    axes = figure.subplots()
    thick = 0.8 / len(series)
    for index, (label, values) in enumerate(series.items()):
        places = [row + (index - (len(series) - 1) / 2) * thick for row in range(len(names))]
        axes.barh(places, values, height=thick, color=colour(index), label=label)
    axes.set_yticks(range(len(names)), names, fontsize="small")
    axes.invert_yaxis()
    axes.set_xlabel(xlabel)
    plain(axes)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color="#dddddd", linewidth=0.7)
    axes.axvline(0, color="#666666", linewidth=0.7)
    axes.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return save(figure, path)


@dataclass(frozen=True)
class Trade:
    """A variant: accuracy, robust accuracy, latency, and whether no other is as good in all."""

    name: str
    accuracy: Estimate
    robustness: Estimate
    latency_ms: float
    is_on_front: bool


def trades(points: Sequence[Trade], attack: str, batch: int, path: Path) -> Path:
    """Draw variants by accuracy and robust accuracy; the shade shows the latency.

    Args:
        points: the variants; a filled one is on the front of all three.
        attack: after which robust accuracy is.
        batch: whose latency it is.
        path: of the SVG file; a PNG lies beside it.

    """
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    figure = Figure(figsize=(6.2, 4.0), layout="constrained")
    axes = figure.subplots()
    slow, quick = (choose(p.latency_ms for p in points) for choose in (max, min))
    shades = ScalarMappable(LogNorm(0.95 * quick, 1.05 * slow), colormaps["viridis_r"])
    for index, point in enumerate(points):
        x, y = (100 * (each.value or 0) for each in (point.accuracy, point.robustness))
        shade = shades.to_rgba(point.latency_ms)  # type: ignore[arg-type]
        axes.errorbar(
            x,
            y,
            xerr=_reach(point.accuracy),
            yerr=_reach(point.robustness),
            color="#bbbbbb",
            linewidth=0.7,
            zorder=1,
        )
        axes.scatter(
            x, y, s=46, color=shade if point.is_on_front else "white", edgecolor=shade, zorder=2
        )
        axes.annotate(
            point.name,
            (x, y),
            xytext=(5, 4 if index % 2 else -9),
            textcoords="offset points",
            fontsize="x-small",
        )
    axes.set_xlabel("clean accuracy, %")
    axes.set_ylabel(f"robust accuracy, {attack}, %")
    plain(axes)
    bar = figure.colorbar(shades, ax=axes, label=f"latency of batch {batch}, ms")
    bar.ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    bar.ax.yaxis.set_minor_formatter(NullFormatter())
    return save(figure, path)


def _reach(estimate: Estimate) -> list[list[float]] | None:
    """Return how far an interval reaches down and up, in points."""
    value, low, high = estimate.value, estimate.low, estimate.high
    if value is None or low is None or high is None:
        return None
    return [[100 * max(0.0, value - low)], [100 * max(0.0, high - value)]]
