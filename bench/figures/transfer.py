"""Transfer as a heat map: attacks down, pairs of source and target across."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.figures.style import save, shortened
from bench.records import write_name
from bench.statistics import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DARK = 0.55
"""Above this share, numbers are white."""

Pair = tuple[str, str]


Cells = Mapping[tuple[str, str], Estimate]

_MANY = 12
"""More pairs than these make a panel for each attack: sources down, targets across."""


def heat_map(rates: Mapping[tuple[str, Pair], Estimate], path: Path) -> Path:
    """Draw a rate of each attack for each pair: its percentage, and n in small under it.

    Attacks are rows, pairs columns; of many pairs each attack has a panel of its own.

    Args:
        rates: by (attack, (source, target)); a place may be missing.
        path: of the SVG file; a PNG is written beside it.

    """
    from matplotlib.figure import Figure

    attacks: Sequence[str] = list(dict.fromkeys(attack for attack, _ in rates))
    pairs: Sequence[Pair] = sorted(dict.fromkeys(pair for _, pair in rates))
    if len(pairs) > _MANY:
        return save(_panels(rates, attacks, pairs), path)
    figure = Figure(
        figsize=(2.4 + 0.62 * len(pairs), 1.8 + 0.36 * len(attacks)), layout="constrained"
    )
    labels = {pair: f"{pair[0]} to\n{pair[1]}" for pair in pairs}
    cells = {(attack, labels[pair]): rate for (attack, pair), rate in rates.items()}
    _draw(figure.subplots(), cells, attacks, list(labels.values()))
    return save(figure, path)


def _panels(
    rates: Mapping[tuple[str, Pair], Estimate], attacks: Sequence[str], pairs: Sequence[Pair]
) -> Figure:
    """Draw for each attack the sources down and the targets across."""
    from matplotlib.figure import Figure

    sources, targets = (list(dict.fromkeys(names)) for names in zip(*pairs, strict=True))
    targets.sort()
    width, height = 1.9 + 0.5 * len(targets), 1.9 + 0.36 * len(sources)
    columns = min(2, len(attacks))
    rows = math.ceil(len(attacks) / columns)
    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes, attack in zip(grid, attacks, strict=False):
        _draw(
            axes, {pair: r for (name, pair), r in rates.items() if name == attack}, sources, targets
        )
        axes.set_title(write_name(attack), fontsize="medium", loc="left")
        axes.set_ylabel("made on", fontsize=8)
        axes.set_xlabel("judged on", fontsize=8)
    for axes in grid[len(attacks) :]:
        axes.set_visible(False)
    return figure


def _draw(axes: Axes, cells: Cells, rows: Sequence[str], columns: Sequence[str]) -> None:
    found = [[cells.get((row, column)) for column in columns] for row in rows]
    shares = [[math.nan if e is None or e.value is None else e.value for e in row] for row in found]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row, estimates in enumerate(found):
        for column, estimate in enumerate(estimates):
            if estimate is None or estimate.value is None:
                continue
            shade = "white" if estimate.value > _DARK else "#333333"
            for lower, words, size in (
                (-0.14, f"{100 * estimate.value:.0f}", 8),
                (0.27, f"of {estimate.n}", 5),
            ):
                axes.text(
                    column, row + lower, words, ha="center", va="center", color=shade, fontsize=size
                )
    axes.set_yticks(range(len(rows)), shortened([write_name(row) for row in rows]), fontsize=8)
    axes.set_xticks(range(len(columns)), shortened(columns), rotation=45, ha="right", fontsize=7)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
