"""Lines over eps, and over the epochs of a training."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from bench.errors import UsageError
from bench.figures.style import DASHES, LEGEND_LINE, colour, plain, save
from bench.matrix import Entry, Matrix
from bench.metrics import METRICS
from bench.records import write_name
from bench.statistics import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_Lines: TypeAlias = "dict[tuple[str, str], list[tuple[float, Estimate]]]"
"""Points, by model and by what its attacks share besides the eps."""


def success(matrix: Matrix, metric: str, groups: list[str], path: Path) -> Path:
    """Draw a rate over eps: one line for each model and group of attacks, with its 95 % band.

    Args:
        matrix: of one run.
        metric: the name of a rate.
        groups: attacks whose grids go over eps, as the suite names them.
        path: of the SVG file; a PNG is written beside it.

    Raises:
        UsageError: where nothing can be drawn.

    """
    from matplotlib.figure import Figure

    lines = _lines(matrix, metric, groups)
    if not lines:
        raise UsageError.of("figure", f"no cell of {', '.join(groups)} has an eps and a {metric}")
    models, named = (list(dict.fromkeys(names)) for names in zip(*lines, strict=True))
    shades = {model: colour(place) for place, model in enumerate(models)}
    if len(lines) > _CROWDED and len(named) > 1:
        return save(_panels(lines, named, shades, metric), path)
    height = max(3.4, LEGEND_LINE * len(lines) + 0.4)
    figure = Figure(figsize=(6.4, height), layout="constrained")
    axes = figure.subplots()
    for (model, line), points in lines.items():
        dash = DASHES[named.index(line) % len(DASHES)]
        _draw(axes, points, shades[model], dash, f"{model}, {line}")
    _finish(axes, metric)
    axes.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return save(figure, path)


_CROWDED = 8
"""More lines than these are drawn apart, a panel for each group of attacks."""


def _panels(lines: _Lines, named: list[str], shades: dict[str, str], metric: str) -> Figure:
    """Draw a panel for each group of attacks, with one legend of the models for all."""
    from matplotlib.figure import Figure

    columns = min(2, len(named))
    rows = math.ceil(len(named) / columns)
    height = max(2.8 * rows, LEGEND_LINE * len(shades) + 0.4)
    figure = Figure(figsize=(3.6 * columns + 2.2, height), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True).flatten()
    known: dict[str, Any] = {}
    for axes, name in zip(grid, named, strict=False):
        for (model, line), points in lines.items():
            if line == name:
                _draw(axes, points, shades[model], "-", model, band=0.05)
        _finish(axes, metric)
        axes.set_title(name, fontsize="medium", loc="left")
        known |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    for axes in grid[len(named) :]:
        axes.set_visible(False)
    figure.legend(
        list(known.values()),
        list(known),
        frameon=False,
        fontsize="small",
        loc="outside right center",
    )
    return figure


def _finish(axes: Axes, metric: str) -> None:
    axes.set_xlabel("eps, in pixels of [0, 1]")
    axes.set_ylabel(f"{metric.replace('_', ' ')}, %")
    axes.set_ylim(-3, 103)
    plain(axes)


def _lines(matrix: Matrix, metric: str, groups: list[str]) -> _Lines:
    """Put the points of lines together: of replicas their mean, of a grid each other parameter."""
    cells: dict[tuple[str, str, str], list[Entry]] = {}
    for entry in matrix.entries:
        if entry.kind == "attack" and str(entry.value("group")) in groups:
            name = (_model(entry), str(entry.value("group")), str(entry.coordinates.attack))
            cells.setdefault(name, []).append(entry)
    lines: _Lines = {}
    for (model, group, attack), entries in cells.items():
        if any(entry.state != "done" for entry in entries):  # as in tables: what is left is biased
            continue
        eps = entries[0].value("eps")
        found = matrix.estimate(entries, METRICS[metric])
        if isinstance(eps, int | float) and isinstance(found, Estimate) and found.n:
            line = _without_eps(attack, group)
            lines.setdefault((model, line), []).append((float(eps), found))
    return {name: sorted(points, key=lambda point: point[0]) for name, points in lines.items()}


def _without_eps(attack: str, group: str) -> str:
    """Name what the points of a line share: ``pgd@steps=5`` of ``pgd@eps=0.1,steps=5``."""
    varied = attack.removeprefix(group).lstrip("@").split(",")
    others = [word for word in varied if word and not word.startswith(("eps=", "max_epsilon="))]
    return write_name("@".join([group, ",".join(others)])) if others else group


def _model(entry: Entry) -> str:
    return entry.coordinates.model_variant


def _draw(
    axes: Axes,
    points: list[tuple[float, Estimate]],
    shade: str,
    dash: str,
    label: str,
    band: float = 0.12,
) -> None:
    eps = [point for point, _ in points]
    found = [estimate for _, estimate in points]
    axes.plot(
        eps,
        [100 * (e.value or 0.0) for e in found],
        dash,
        color=shade,
        marker="o",
        markersize=3.5,
        linewidth=1.6,
        label=label,
    )
    axes.fill_between(
        eps,
        [100 * ((e.value if e.low is None else e.low) or 0.0) for e in found],
        [100 * ((e.value if e.high is None else e.high) or 0.0) for e in found],
        color=shade,
        alpha=band,
        linewidth=0,
    )


def training(matrix: Matrix, path: Path) -> Path | None:
    """Draw loss and accuracy over the epochs, a line for each training; None without trainings.

    Solid: on the augmented training batches. Dashed: on held-out images, where a recipe looks at
    them; the kept epoch is marked there.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    entries = [e for e in matrix.entries if e.kind == "train" and e.state == "done"]
    if not entries:
        return None
    models = list(dict.fromkeys(_model(entry) for entry in entries))
    figure = Figure(figsize=(7.4, 3.0), layout="constrained")
    panels = figure.subplots(1, 2)
    named: set[str] = set()
    for entry in entries:
        summary: Any = matrix.stored(entry).summary
        shade = colour(models.index(_model(entry)))
        label = _model(entry) if _model(entry) not in named else None
        named.add(_model(entry))
        for axes, name, factor in zip(panels, ("loss", "accuracy"), (1, 100), strict=True):
            _trace(axes, summary, name, factor, shade, label)
    panels[0].set_ylabel("loss")
    panels[1].set_ylabel("accuracy, %")
    for axes in panels:
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        plain(axes)
    panels[1].set_ylim(top=min(panels[1].get_ylim()[1], 100.5))
    panels[1].legend(frameon=False, fontsize="small", loc="lower right")
    return save(figure, path)


def _trace(axes: Axes, summary: Any, name: str, factor: int, shade: str, label: str | None) -> None:
    epochs = summary["epochs"]
    numbers = [epoch["epoch"] for epoch in epochs]
    style = ".-" if len(epochs) == 1 else "-"  # a line through one point is none
    values = [factor * epoch[name] for epoch in epochs]
    axes.plot(numbers, values, style, color=shade, linewidth=1.2, label=label)
    held = [epoch[f"valid_{name}"] for epoch in epochs]
    if None not in held:
        axes.plot(numbers, [factor * value for value in held], "--", color=shade, linewidth=0.9)
        kept = summary["kept_epoch"]
        axes.plot([kept], [factor * held[kept - 1]], "o", color=shade, markersize=4)
