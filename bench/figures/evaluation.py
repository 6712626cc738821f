"""The confusion matrix, and images of the most frequent confusions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.figures.style import save, shortened, show

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_INCHES, _USUAL = 0.06, 12
"""Of a sign beside the axes, and how many of them fit into the usual figure."""

_DARK = 0.55
"""Above this share of a row, numbers are white."""


def confusion(counts: NDArray[np.float64], classes: Sequence[str], title: str, path: Path) -> Path:
    """Draw a confusion matrix: counts as numbers, shares of each class as shades.

    Args:
        counts: images by (class, predicted class).
        classes: their names.
        title: over the figure.
        path: of the SVG file; a PNG is written beside it.

    """
    from matplotlib.figure import Figure

    support = counts.sum(1, keepdims=True)
    shares = counts / support.clip(1)
    classes = shortened(classes)
    size = 1.6 + 0.42 * len(classes) + _INCHES * max(0, max(map(len, classes), default=0) - _USUAL)
    figure = Figure(figsize=(size + 0.6, size), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row in range(len(classes)):
        for column in range(len(classes)):
            if counts[row, column]:
                axes.text(
                    column,
                    row,
                    f"{counts[row, column]:.0f}",
                    ha="center",
                    va="center",
                    fontsize=7,
                    color="white" if shares[row, column] > _DARK else "#333333",
                )
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right", fontsize=8)
    axes.set_yticks(range(len(classes)), classes, fontsize=8)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(title, fontsize=9)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return save(figure, path)


def examples(
    images: NDArray[np.uint8],
    captions: Sequence[str],
    rows: Sequence[tuple[str, int]],
    path: Path,
) -> Path:
    """Draw images in rows.

    Args:
        images: uint8, (image, height, width, channel), row after row.
        captions: one under each image.
        rows: for each row its words and how many images it has.
        path: of the SVG file; a PNG is written beside it.

    """
    from matplotlib.figure import Figure

    widest = max(count for _, count in rows)
    figure = Figure(figsize=(1.7 + 0.85 * widest, 1.0 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), widest + 1, squeeze=False, width_ratios=[1.7] + [1] * widest)
    position = 0
    for (words, count), line in zip(rows, grid, strict=True):
        for axes in line:
            axes.set_axis_off()
        line[0].text(1, 0.5, words, ha="right", va="center", fontsize=8)
        for axes in line[1 : count + 1]:
            show(axes, images[position])
            axes.set_title(captions[position], fontsize=6.5, pad=2)
            position += 1
    return save(figure, path)
