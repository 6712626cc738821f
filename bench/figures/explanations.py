"""Galleries of explanations: the image, each explainer's heatmap, and the two together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.figures.style import save, show

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_OPACITY = 0.55


@dataclass(frozen=True)
class Explained:
    """An image of a gallery: uint8 (height, width, channel), its words, a heatmap an explainer."""

    image: NDArray[np.uint8]
    words: str
    heatmaps: Sequence[NDArray[np.float32]]


def gallery(shown: Sequence[Explained], explainers: Sequence[str], path: Path) -> Path:
    """Draw a gallery: a row for each image, two columns for each explainer.

    Each heatmap spans its own range of colours: maps have no common unit.

    Args:
        shown: the images.
        explainers: their names, in the order of the heatmaps.
        path: of the SVG file; a PNG lies beside it.

    """
    from matplotlib.figure import Figure

    columns = 2 + 2 * len(explainers)
    figure = Figure(figsize=(1.1 + 0.92 * (columns - 1), 0.94 * len(shown) + 0.4))
    grid = figure.subplots(
        len(shown),
        columns,
        squeeze=False,
        width_ratios=[1.15] + [1] * (columns - 1),
        gridspec_kw={"wspace": 0.06, "hspace": 0.06, "left": 0.0, "right": 0.995},
    )
    figure.subplots_adjust(top=1 - 0.34 / figure.get_figheight(), bottom=0.01)
    for row, one in zip(grid, shown, strict=True):
        for axes in row:
            axes.set_axis_off()
        row[0].text(0.97, 0.5, one.words, ha="right", va="center", fontsize=7)
        show(row[1], one.image)
        for number, heatmap in enumerate(one.heatmaps):
            scaled = _scaled(heatmap)
            row[2 + 2 * number].imshow(scaled, cmap="inferno", vmin=0, vmax=1)
            show(row[3 + 2 * number], one.image)
            row[3 + 2 * number].imshow(scaled, cmap="inferno", vmin=0, vmax=1, alpha=_OPACITY)
    grid[0][1].set_title("image", fontsize=7, pad=3)
    for number, name in enumerate(explainers):
        grid[0][2 + 2 * number].set_title(name, fontsize=7, pad=3)
        grid[0][3 + 2 * number].set_title("on image", fontsize=7, pad=3)
    return save(figure, path)


def _scaled(heatmap: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = heatmap.min(), heatmap.max()
    if high <= low:
        return heatmap * 0
    scaled: NDArray[np.float32] = (heatmap - low) / (high - low)
    return scaled
