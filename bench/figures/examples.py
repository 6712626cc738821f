"""Adversarial images to look at: the original, the image, and the perturbation made visible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.figures.style import save, show

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Example:
    """One image before and after: float (channel, height, width) in [0, 1], and words for each."""

    original: NDArray[np.float32]
    adversarial: NDArray[np.float32]
    before: str
    after: str

    @property
    def factor(self) -> int:
        """What the perturbation is multiplied by to be seen: the largest that fits, 100 at most."""
        largest = float(np.abs(np.nan_to_num(self.adversarial) - self.original).max())
        return int(min(100, max(1, 0.5 / largest))) if largest > 0 else 1

    @property
    def pictures(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
        """The original, the adversarial image, and the perturbation times the factor on grey."""
        perturbation = self.adversarial - self.original
        return (
            _bytes(self.original),
            _bytes(self.adversarial),
            _bytes(0.5 + self.factor * perturbation),
        )


def _bytes(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return an image as uint8 (height, width, channel); what is no number is black."""
    pixels: NDArray[np.uint8] = (255 * np.nan_to_num(image).clip(0, 1)).round().astype(np.uint8)
    return pixels.transpose(1, 2, 0)


def gallery(shown: Sequence[Example], path: Path) -> Path:
    """Draw a row for each example: original, adversarial image, perturbation.

    Args:
        shown: one or more.
        path: of the SVG file; a PNG is written beside it.

    """
    from matplotlib.figure import Figure

    width, height = 3 * _COLUMN, _ROW * len(shown)
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))  # one for all: each more costs a tenth of a second
    axes.set_axis_off()
    for row, example in enumerate(shown):
        words = (example.before, example.after, f"perturbation\nx {example.factor}")
        for column, (picture, caption) in enumerate(zip(example.pictures, words, strict=True)):
            middle, bottom = _COLUMN * (column + 0.5), height - _ROW * (row + 1) + _GAP
            high, wide = (_SIDE * side / max(picture.shape[:2]) for side in picture.shape[:2])
            show(axes, picture, (middle - wide / 2, middle + wide / 2, bottom, bottom + high))
            axes.text(middle, bottom + high + _GAP, caption, fontsize=7, ha="center", va="bottom")
    axes.set(xlim=(0, width), ylim=(0, height))
    return save(figure, path)


_COLUMN, _ROW, _SIDE, _GAP = 1.4, 1.45, 1.1, 0.03
"""Inches: of a picture with its words, of the picture alone, and between."""
