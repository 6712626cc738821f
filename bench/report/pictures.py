"""How Markdown shows a figure: the SVG, with a link to the PNG."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

FOLDER = "figures"
"""Beside the page."""


def embedded(path: Path, words: str, *, width: int = 720) -> Iterator[str]:
    """Write the lines that show a figure, which lies in :data:`FOLDER` beside the page."""
    file = f"{FOLDER}/{path.name}"
    yield f'<img src="{file}" alt="{words}" width="{width}">'
    yield ""
    yield f"{words} ([SVG]({file}), [PNG]({FOLDER}/{path.stem}.png))"
    yield ""
