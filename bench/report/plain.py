"""Blocks as plain text, for a terminal: names as they are, nothing escaped."""

from __future__ import annotations

from collections.abc import Iterable

from bench.report.blocks import Block, Break, Bullets, Inline, Paragraph, Text


def render(blocks: Iterable[Block]) -> str:
    """Write paragraphs and lists.

    Raises:
        TypeError: for any other block.

    """
    return "\n\n".join(_block(block) for block in blocks)


def _block(block: Block) -> str:
    match block:
        case Paragraph(words):
            return _text(words)
        case Bullets(items):
            return "\n".join(f"- {_text(item)}" for item in items)
        case _:
            raise TypeError(f"a terminal shows no {type(block).__name__}")


def _text(words: Text) -> str:
    return "".join(map(_inline, words if isinstance(words, tuple) else (words,)))


def _inline(part: Inline) -> str:
    if isinstance(part, Break):
        return "\n  "
    return part if isinstance(part, str) else part.text
