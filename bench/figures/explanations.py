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
        path: of the SVG file; a PNG is written beside it.

    """
    from matplotlib.figure import Figure

    titles = ["image", *(title for name in explainers for title in (name, "on image"))]
    width = _WORDS + _CELL * len(titles)
    height = _TITLES + _ROW * len(shown)
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))  # one for all: each more costs a tenth of a second
    axes.set_axis_off()
    for column, title in enumerate(titles):
        middle = _WORDS + _CELL * (column + 0.5)
        axes.text(middle, height - _TITLES / 2, title, fontsize=7, ha="center", va="center")
    for row, one in enumerate(shown):
        middle = height - _TITLES - _ROW * (row + 0.5)
        axes.text(_WORDS - _GAP, middle, one.words, ha="right", va="center", fontsize=7)
        cells = [_place(column, middle, one.image) for column in range(len(titles))]
        show(axes, one.image, cells[0])
        for number, heatmap in enumerate(one.heatmaps):
            map_alone, map_above = cells[1 + 2 * number], cells[2 + 2 * number]
            show(axes, one.image, map_above)
            for place, opacity in ((map_alone, 1.0), (map_above, _OPACITY)):
                axes.imshow(
                    _scaled(heatmap), cmap="inferno", vmin=0, vmax=1, alpha=opacity, extent=place
                )
    axes.set(xlim=(0, width), ylim=(0, height))
    return save(figure, path)


_WORDS, _TITLES, _CELL, _ROW, _GAP = 1.08, 0.4, 0.92, 0.94, 0.06
"""Inches: of the words at the left, the titles, a column, a row, and between columns."""


def _place(
    column: int, middle: float, image: NDArray[np.uint8]
) -> tuple[float, float, float, float]:
    """Return left, right, bottom and top of a picture: as large as fits, in its own proportions."""
    high, wide = ((_CELL - _GAP) * side / max(image.shape[:2]) for side in image.shape[:2])
    across = _WORDS + _CELL * (column + 0.5)
    return (across - wide / 2, across + wide / 2, middle - high / 2, middle + high / 2)


def _scaled(heatmap: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = heatmap.min(), heatmap.max()
    if high <= low:
        return heatmap * 0
    scaled: NDArray[np.float32] = (heatmap - low) / (high - low)
    return scaled
