"""Distances of the nearest adversarial images: the share of images fooled within a radius."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.figures.style import DASHES, LEGEND_LINE, colour, plain, save
from bench.records import Norm, write_name

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Reach:
    """What one attack needed on one model: a size for each image, infinite where it failed."""

    model: str
    attack: str
    sizes: NDArray[np.float64]


def reach(found: Sequence[Reach], norm: Norm, path: Path) -> Path:
    """Draw, for attacks of one norm, the share of the images that are fooled within each radius.

    Args:
        found: one line each, of one image at least.
        norm: what sizes are measured in.
        path: of the SVG file; a PNG is written beside it.

    """
    from matplotlib.figure import Figure

    height = max(3.2, LEGEND_LINE * len(found) + 0.4)
    figure = Figure(figsize=(6.4, height), layout="constrained")
    axes = figure.subplots()
    models = list(dict.fromkeys(line.model for line in found))
    attacks = list(dict.fromkeys(line.attack for line in found))
    finite = np.concatenate([line.sizes[np.isfinite(line.sizes)] for line in found])
    furthest = float(finite.max()) * 1.05 if finite.size else 1.0
    for line in found:
        sizes = np.sort(line.sizes[np.isfinite(line.sizes)])
        shares = np.arange(1, len(sizes) + 1) / len(line.sizes)
        axes.step(
            [0.0, *sizes.tolist(), furthest],
            [0.0, *(100 * shares).tolist(), 100 * len(sizes) / len(line.sizes)],
            DASHES[attacks.index(line.attack) % len(DASHES)],
            where="post",
            color=colour(models.index(line.model)),
            linewidth=1.4,
            label=f"{line.model}, {write_name(line.attack)}",
        )
    axes.set_xlim(0, furthest)
    axes.set_ylim(-3, 103)
    axes.set_xlabel(f"{norm} of the perturbation" + (", pixels" if norm == "l0" else ""))
    axes.set_ylabel("images fooled, %")
    plain(axes)
    axes.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return save(figure, path)
