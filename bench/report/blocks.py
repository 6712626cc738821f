"""What a report consists of: a list of frozen values, which Markdown and other forms render.

Texts are plain: whoever renders them escapes them. Knows nothing of models and metrics.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias


@dataclass(frozen=True)
class Strong:
    """Words that are emphasised."""

    text: str


@dataclass(frozen=True)
class Code:
    """A literal: a name in a suite, a digest."""

    text: str


@dataclass(frozen=True)
class Link:
    """Words that lead to a file beside the page, or to a folder."""

    text: str
    path: str


@dataclass(frozen=True)
class Break:
    """The end of a line inside a text."""


Inline: TypeAlias = str | Strong | Code | Link | Break
Text: TypeAlias = Inline | tuple[Inline, ...]
Side: TypeAlias = Literal["left", "right"]


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the page's own."""

    kind: ClassVar = "heading"
    text: Text
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of text."""

    kind: ClassVar = "paragraph"
    text: Text


@dataclass(frozen=True)
class Prose:
    """Markdown that a suite's author wrote: the only text that is not escaped."""

    kind: ClassVar = "prose"
    markdown: str


@dataclass(frozen=True)
class Table:
    """Cells under headers, and the side that each column is aligned to."""

    kind: ClassVar = "table"
    headers: tuple[Text, ...]
    rows: tuple[tuple[Text, ...], ...]
    sides: tuple[Side, ...]

    @classmethod
    def of(
        cls, headers: Sequence[Text], rows: Iterable[Sequence[object]], *, left: int | None = None
    ) -> Table:
        """Build a table of values that can be written as text.

        Args:
            headers: of the columns.
            rows: of cells: texts, or values that are written as ``str`` does.
            left: how many columns are aligned left, the others right; None: all.

        """
        count = len(headers) if left is None else left
        sides = tuple[Side, ...](
            "left" if place < count else "right" for place in range(len(headers))
        )
        return cls(tuple(headers), tuple(tuple(map(_text, row)) for row in rows), sides)


def _text(value: object) -> Text:
    return value if isinstance(value, str | tuple | Strong | Code | Link | Break) else str(value)


@dataclass(frozen=True)
class Figure:
    """A drawing: an SVG file with a PNG file of the same name beside it.

    Attributes:
        path: of the SVG file, from the page's folder, with slashes.
        words: what it shows.
        width: in pixels.

    """

    kind: ClassVar = "figure"
    path: str
    words: str
    width: int = 720

    @property
    def raster(self) -> str:
        """The path of the PNG file."""
        return f"{self.path.removesuffix('.svg')}.png"


@dataclass(frozen=True)
class Bullets:
    """A list."""

    kind: ClassVar = "bullets"
    items: tuple[Text, ...]


@dataclass(frozen=True)
class Details:
    """Blocks that are folded away under a line."""

    kind: ClassVar = "details"
    summary: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Preformatted:
    """Lines as they are typed, such as a command."""

    kind: ClassVar = "preformatted"
    text: str


Block: TypeAlias = Heading | Paragraph | Prose | Table | Figure | Bullets | Details | Preformatted
