"""From the matrix to tables that people read: GitHub Markdown, CSV, JSON, LaTeX, plain text.

A table is a metric, or several, laid out over rows and columns. Each place holds one cell's figure
with its n, or says why there is none. No torch.
"""

from bench.tables.layout import METRIC, judged
from bench.tables.placing import build, on_targets
from bench.tables.sheet import Grid, Sheet
from bench.tables.table import FORMATS, Format, Place, Table
from bench.tables.words import DASH, class_distribution, figure, number, text_of

__all__ = [
    "DASH",
    "FORMATS",
    "METRIC",
    "Format",
    "Grid",
    "Place",
    "Sheet",
    "Table",
    "build",
    "class_distribution",
    "figure",
    "judged",
    "number",
    "on_targets",
    "text_of",
]
