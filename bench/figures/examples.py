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
        """What the perturbation is multiplied by to be seen: the largest that fits, to 100."""
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
        path: of the SVG file; a PNG lies beside it.

    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2, 1.45 * len(shown) + 0.2), layout="constrained")
    grid = figure.subplots(len(shown), 3, squeeze=False)
    for row, example in zip(grid, shown, strict=True):
        words = (example.before, example.after, f"perturbation\nx {example.factor}")
        for axes, picture, told in zip(row, example.pictures, words, strict=True):
            show(axes, picture)
            axes.set_axis_off()
            axes.set_title(told, fontsize=7, pad=2)
    return save(figure, path)
