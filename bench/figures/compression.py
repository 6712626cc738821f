"""What compression does: lines over sparsity, bars over layers, what each variant trades."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.figures.style import COLOURS, DASHES, HATCHES, MARKERS, colour, plain, save, shortened
from bench.statistics import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import ErrorbarContainer


@dataclass(frozen=True)
class Line:
    """One line over sparsity: a point for each variant, its interval a bar.

    ``shade`` numbers its colour and its marker: the same thing has the same in every panel.
    """

    label: str
    points: Sequence[tuple[float, Estimate]]
    shade: int = 0
    factor: float = 1.0


@dataclass(frozen=True)
class Panel:
    """Lines that share an axis."""

    ylabel: str
    lines: Sequence[Line]
    from_zero: bool = False


_LEGEND = 0.22
"""Height of a line of the legend, which is above the panels, in inches."""

_APART = 0.7
"""Points at the same sparsity are moved apart, in percent: their bars would hide each other."""


def over_sparsity(panels: Sequence[Panel], path: Path) -> Path:
    """Draw panels, two a row, each over the share of zeros.

    Args:
        panels: one or more.
        path: of the SVG file; a PNG is written beside it.

    """
    from matplotlib.figure import Figure

    across = min(2, len(panels))
    down = -(-len(panels) // across)
    every = sorted((line for panel in panels for line in panel.lines), key=lambda it: it.shade)
    labels = list(dict.fromkeys(line.label for line in every))
    height = 3.1 * down + _LEGEND * -(-len(labels) // across)
    figure = Figure(figsize=(4.4 * across, height), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False)
    handles: dict[str, ErrorbarContainer] = {}
    count = 1 + every[-1].shade
    for axes, panel in zip(grid.flat, panels, strict=False):
        for line in panel.lines:
            drawn = _line(axes, line, _APART * (line.shade - (count - 1) / 2))
            handles.setdefault(line.label, drawn)
        axes.set_xlabel("sparsity of Conv and Linear weights, %")
        axes.set_ylabel(panel.ylabel)
        axes.set_xlim(-4, 104)
        if panel.from_zero:
            axes.set_ylim(bottom=0)
        plain(axes)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_visible(False)
    figure.legend(
        handles=[handles[label] for label in labels],
        frameon=False,
        fontsize="small",
        loc="outside upper left",
        ncols=across,
    )
    return save(figure, path)


def _line(axes: Axes, line: Line, apart: float) -> ErrorbarContainer:
    points = sorted(line.points, key=lambda point: point[0])
    values = [line.factor * (each.value or 0.0) for _, each in points]
    return axes.errorbar(
        [100 * sparsity + apart for sparsity, _ in points],
        values,
        yerr=_arms([each for _, each in points], line.factor),
        color=colour(line.shade),
        linestyle=DASHES[line.shade // len(COLOURS) % len(DASHES)],
        marker=MARKERS[line.shade % len(MARKERS)],
        markersize=4,
        linewidth=1.3,
        elinewidth=0.8,
        label=line.label,
    )


def _arms(estimates: Sequence[Estimate], factor: float) -> list[list[float]]:
    """Return how far intervals reach down and up; not at all where there is none."""
    down, up = [], []
    for each in estimates:
        value = each.value or 0.0
        down.append(0.0 if each.low is None else factor * max(0.0, value - each.low))
        up.append(0.0 if each.high is None else factor * max(0.0, each.high - value))
    return [down, up]


def bars(
    names: Sequence[str], series: Mapping[str, Sequence[float]], xlabel: str, path: Path
) -> Path:
    """Draw a group of bars for each layer, the first on top.

    Args:
        names: of the layers.
        series: by what the legend calls it, a value for each layer.
        xlabel: what the values are.
        path: of the SVG file; a PNG is written beside it.

    """
    from matplotlib.figure import Figure

    height = 0.7 + _LEGEND * len(series) + len(names) * max(0.22, 0.11 * len(series))
    figure = Figure(figsize=(6.4, height), layout="constrained")
    axes = figure.subplots()
    thick = 0.8 / len(series)
    for index, (label, values) in enumerate(series.items()):
        places = [row + (index - (len(series) - 1) / 2) * thick for row in range(len(names))]
        axes.barh(
            places,
            values,
            height=thick,
            color=colour(index),
            hatch=HATCHES[index // len(COLOURS) % len(HATCHES)],
            edgecolor="white",
            linewidth=0.3,
            label=label,
        )
    axes.set_yticks(range(len(names)), shortened(names), fontsize="small")
    axes.invert_yaxis()
    axes.set_xlabel(xlabel)
    plain(axes)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color="#dddddd", linewidth=0.7)
    axes.axvline(0, color="#666666", linewidth=0.7)
    figure.legend(frameon=False, fontsize="small", loc="outside upper left")
    return save(figure, path)


@dataclass(frozen=True)
class Trade:
    """A variant: accuracy, robust accuracy, latency, and whether no other is as good in all."""

    name: str
    accuracy: Estimate
    robustness: Estimate
    latency_ms: Estimate
    is_on_front: bool


def trades(points: Sequence[Trade], attack: str, batch: int, path: Path) -> Path:
    """Draw a row for each variant, and in it a point for each of the three figures.

    Args:
        points: the variants, the first on top; a filled one is on the front of all three.
        attack: of the robust accuracy.
        batch: size of the batch that was timed.
        path: of the SVG file; a PNG is written beside it.

    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 0.9 + 0.26 * len(points)), layout="constrained")
    columns: tuple[tuple[str, float, list[Estimate]], ...] = (
        ("clean accuracy, %", 100, [point.accuracy for point in points]),
        (f"robust accuracy, {attack}, %", 100, [point.robustness for point in points]),
        (f"latency, batch {batch}, ms", 1, [point.latency_ms for point in points]),
    )
    rows = range(len(points))
    grid = figure.subplots(1, len(columns), sharey=True)
    for index, (axes, (xlabel, factor, estimates)) in enumerate(zip(grid, columns, strict=True)):
        arms = _arms(estimates, factor)
        for row, point in enumerate(points):
            axes.errorbar(
                factor * (estimates[row].value or 0.0),
                row,
                xerr=[[arms[0][row]], [arms[1][row]]],
                color=colour(index),
                marker="o",
                markersize=6,
                markerfacecolor=colour(index) if point.is_on_front else "white",
                elinewidth=0.8,
            )
        axes.set_xlabel(xlabel)
        plain(axes)
        axes.grid(axis="x", color="#dddddd", linewidth=0.7)
    grid[-1].set_xlim(left=0)
    grid[0].set_yticks(rows, shortened([point.name for point in points]), fontsize="small")
    grid[0].set_ylim(len(points) - 0.5, -0.5)
    return save(figure, path)
