"""Transfer as a heat map: attacks down, pairs of source and target across."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.figures.style import save
from bench.statistics import Estimate

_DARK = 0.55
"""Above this share, numbers are white."""

Pair = tuple[str, str]


def heat_map(rates: Mapping[tuple[str, Pair], Estimate], path: Path) -> Path:
    """Draw a rate of each attack for each pair: its percentage, and n in small under it.

    Args:
        rates: by (attack, (source, target)); a place may be missing.
        path: of the SVG file; a PNG lies beside it.

    """
    from matplotlib.figure import Figure

    attacks: Sequence[str] = list(dict.fromkeys(attack for attack, _ in rates))
    pairs: Sequence[Pair] = sorted(dict.fromkeys(pair for _, pair in rates))
    figure = Figure(
        figsize=(2.4 + 0.62 * len(pairs), 1.8 + 0.36 * len(attacks)), layout="constrained"
    )
    axes = figure.subplots()
    found = [[rates.get((attack, pair)) for pair in pairs] for attack in attacks]
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
    axes.set_yticks(range(len(attacks)), attacks, fontsize=8)
    labels = [f"{source} to\n{target}" for source, target in pairs]
    axes.set_xticks(range(len(pairs)), labels, rotation=45, ha="right", fontsize=7)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return save(figure, path)
