"""How Markdown shows a figure: the SVG, with a link to the PNG."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from urllib.parse import quote

from bench.report.files import file_name
from bench.tables.markup import markdown

FOLDER = "figures"
"""Beside the page."""


def named(figure: str, *names: str) -> str:
    """Return the file's name of a figure of things, such as a model variant under an attack."""
    return f"{figure}-{file_name(*names)}"


def embedded(path: Path, words: str, *, width: int = 720) -> Iterator[str]:
    """Write the lines that show a figure, which lies in :data:`FOLDER` beside the page."""
    vector, raster = (f"{FOLDER}/{quote(name)}" for name in (path.name, f"{path.stem}.png"))
    yield f'<img src="{vector}" alt="{escape(" ".join(words.split()))}" width="{width}">'
    yield ""
    yield f"{markdown(words)} ([SVG]({vector}), [PNG]({raster}))"
    yield ""
