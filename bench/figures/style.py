"""How figures look, and how they are written: the same figure is the same file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Source: Okabe and Ito 2008, "Color universal design"."""

DASHES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D", "v", "P")

_DPI = 200


def colour(index: int) -> str:
    """Return the colour of the n-th thing."""
    return COLOURS[index % len(COLOURS)]


def plain(axes: Axes) -> None:
    """Take away what carries nothing, and draw thin lines to read values by."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as SVG and as PNG; returns the SVG's path.

    Args:
        figure: what was drawn.
        path: without its suffix, or with that of the SVG file.

    """
    from matplotlib import rc_context

    path.parent.mkdir(parents=True, exist_ok=True)
    vector = path.with_name(f"{path.name.removesuffix('.svg')}.svg")
    with rc_context({"svg.hashsalt": "bench"}):
        figure.savefig(vector, metadata={"Date": None})
    figure.savefig(vector.with_suffix(".png"), dpi=_DPI, metadata={"Software": None})
    return vector
