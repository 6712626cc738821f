"""Figures of a page: their folder, and the names of their files."""

from __future__ import annotations

from pathlib import Path

from bench.report.blocks import Figure
from bench.report.files import file_name

FOLDER = "figures"
"""Beside the page."""


def named(figure: str, *names: str) -> str:
    """Return the file's name of a figure of things, such as a model variant under an attack."""
    return f"{figure}-{file_name(*names)}"


def embedded(path: Path, words: str, *, width: int = 720) -> Figure:
    """Return the block that shows a figure, which is in :data:`FOLDER` beside the page."""
    return Figure(f"{FOLDER}/{path.name}", words, width)
