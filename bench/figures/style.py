"""How figures look, and how they are written: the same figure is the same file."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.records import visible

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

COLOURS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"),
    *("#332288", "#882255", "#999933", "#44AA99", "#AA4499", "#777777"),
)
"""Source: Okabe and Ito 2008, "Color universal design"; for more than six, Tol's muted ones."""

DASHES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D", "v", "P")
LEGEND_LINE = 0.22
"""The height of a line of a legend, in inches."""
HATCHES = ("", "////", "....", "xxxx")

_DPI = 200


def colour(index: int) -> str:
    """Return the colour of the n-th thing."""
    return COLOURS[index % len(COLOURS)]


def show(
    axes: Axes, image: NDArray[np.uint8], extent: tuple[float, float, float, float] | None = None
) -> None:
    """Show an image, (height, width, channel); other than one or three channels, their mean.

    Args:
        axes: where.
        image: what.
        extent: left, right, bottom and top of it; all of the axes where not given.

    """
    if image.shape[2] not in (1, 3):
        image = image.mean(2, keepdims=True).astype(image.dtype)
    drawn = image.squeeze(2) if image.shape[2] == 1 else image
    axes.imshow(drawn, cmap="gray", vmin=0, vmax=255, extent=extent)


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
    path.parent.mkdir(parents=True, exist_ok=True)
    vector = path.with_name(f"{path.name.removesuffix('.svg')}.svg")
    with _names_as_text(figure):
        figure.savefig(vector, metadata={"Date": None})
        drawn = visible(vector.read_text(encoding="utf-8"))  # names are in comments, too
        vector.write_text(_numbered(drawn), encoding="utf-8")
        figure.savefig(vector.with_suffix(".png"), dpi=_DPI, metadata={"Software": None})
    return vector


def shortened(names: Sequence[str]) -> list[str]:
    """Return names as they fit beside a figure: long ones without their middle, all different."""
    found: list[str] = []
    for name in names:
        short, number = _cut(name, _LONGEST_NAME), 1
        while short in found:
            number += 1
            short = f"{_cut(name, _LONGEST_NAME - 5)} ({number})"
        found.append(short)
    return found


def _cut(text: str, longest: int | None = None) -> str:
    """Leave the middle of a line out, where it is long."""
    most = _LONGEST if longest is None else longest
    if len(text) <= most:
        return text
    return f"{text[: most * 2 // 3]}…{text[len(text) - most + most * 2 // 3 + 1 :]}"


_LONGEST, _LONGEST_NAME = 60, 24
"""Signs of a line in a figure, and of a name beside an axis."""


@contextmanager
def _names_as_text(figure: Figure) -> Iterator[None]:
    """Show words as they are: a dollar sign starts no formula, other scripts have their fonts.

    A sign that no installed font has is an empty box.
    """
    from matplotlib import rc_context
    from matplotlib.text import Text

    texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    for text in texts:
        text.set_text("\n".join(map(_cut, text.get_text().split("\n"))))
    signs = frozenset(sign for text in texts for sign in text.get_text() if not sign.isspace())
    family = [_FONT, *_fonts_for(signs)]
    for text in texts:
        text.set_parse_math(False)
        text.set_fontfamily(family)
    settings: dict[Any, Any] = {"text.usetex": False, "text.parse_math": False}
    settings |= {"font.family": family, "svg.hashsalt": "bench"}
    with rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"(?s).*Glyph \d+ .* missing from", UserWarning)
        warnings.filterwarnings(
            "ignore", r"(?s).*Matplotlib currently does not support", UserWarning
        )
        yield


_FONT = "DejaVu Sans"
"""Comes with matplotlib: figures look the same on every machine."""


@cache
def _fonts_for(signs: frozenset[str]) -> tuple[str, ...]:
    """Choose installed fonts for the signs that the usual one lacks, as few as it takes."""
    from matplotlib.font_manager import findfont, fontManager, get_font

    lacking = {ord(sign) for sign in signs} - set(get_font(findfont(_FONT)).get_charmap())
    chosen: list[str] = []
    for entry in sorted(fontManager.ttflist, key=lambda it: (it.style != "normal", it.name)):
        if not lacking:
            break
        if entry.name in chosen or "Last Resort" in entry.name:
            continue
        try:
            font = get_font(entry.fname)
            found = lacking & set(font.get_charmap()) if font.scalable else set()
        except (OSError, RuntimeError):  # a broken file, or one of a kind that cannot be drawn
            continue
        if found:
            chosen.append(entry.name)
            lacking -= found
    return tuple(chosen)


def _numbered(text: str) -> str:
    """Name clip paths by the order they come in: their own names are of places in memory."""
    names = dict.fromkeys(re.findall(r'<clipPath id="(\w+)"', text))
    found = {name: f"clip{number}" for number, name in enumerate(sorted(names, key=text.index))}
    return re.sub(
        r'(?<=url\(#)\w+(?=\))|(?<=<clipPath id=")\w+(?=")',
        lambda match: found.get(match[0], match[0]),
        text,
    )
