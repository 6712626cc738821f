"""Figures for papers and pages, drawn from the matrix: SVG, colour-blind safe, no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import UsageError
from bench.matrix import Entry, Matrix
from bench.metrics import METRICS
from bench.statistics import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Source: Okabe and Ito 2008, "Color universal design"."""
DASHES = ("-", "--", ":", "-.")


def curves(matrix: Matrix, metric: str, groups: list[str], path: Path) -> Path:
    """Draw a rate over eps: one line for each model and group of attacks, with its 95 % band.

    Args:
        matrix: of one run.
        metric: the name of a rate.
        groups: attacks whose grids go over eps, as the suite names them.
        path: of the SVG file.

    Raises:
        UsageError: where nothing can be drawn.

    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    lines = _lines(matrix, metric, groups)
    if not lines:
        raise UsageError.of("figure", f"no cell of {', '.join(groups)} has an eps and a {metric}")
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.subplots()
    models = list(dict.fromkeys(model for model, _ in lines))
    for (model, group), points in lines.items():
        colour = COLOURS[models.index(model) % len(COLOURS)]
        _draw(axes, points, colour, DASHES[groups.index(group) % len(DASHES)], f"{model}, {group}")
    axes.set_xlabel("eps, in pixels of [0, 1]")
    axes.set_ylabel(f"{metric.replace('_', ' ')}, %")
    axes.set_ylim(-3, 103)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#dddddd", linewidth=0.7)
    axes.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    path.parent.mkdir(parents=True, exist_ok=True)
    with rc_context({"svg.hashsalt": "bench"}):  # the same figure is the same file
        figure.savefig(path, metadata={"Date": None})
    return path


def _lines(
    matrix: Matrix, metric: str, groups: list[str]
) -> dict[tuple[str, str], list[tuple[float, Estimate]]]:
    lines: dict[tuple[str, str], list[tuple[float, Estimate]]] = {}
    for entry in matrix.entries:
        eps = entry.value("eps")
        group = str(entry.value("group"))
        if entry.kind != "attack" or entry.state != "done" or group not in groups:
            continue
        found = matrix.estimate(entry, METRICS[metric])
        if isinstance(eps, int | float) and isinstance(found, Estimate) and found.n:
            lines.setdefault((_model(entry), group), []).append((float(eps), found))
    return {name: sorted(points, key=lambda point: point[0]) for name, points in lines.items()}


def _model(entry: Entry) -> str:
    return entry.coordinates.model


def _draw(
    axes: Axes, points: list[tuple[float, Estimate]], colour: str, dash: str, label: str
) -> None:
    eps = [point for point, _ in points]
    found = [estimate for _, estimate in points]
    axes.plot(
        eps,
        [100 * (e.value or 0.0) for e in found],
        dash,
        color=colour,
        marker="o",
        markersize=3.5,
        linewidth=1.6,
        label=label,
    )
    axes.fill_between(
        eps,
        [100 * (e.low or 0.0) for e in found],
        [100 * (e.high or 0.0) for e in found],
        color=colour,
        alpha=0.12,
        linewidth=0,
    )
