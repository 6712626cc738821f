"""Blocks as GitHub's Markdown: the one place where names are escaped for it.

The layout is in ``templates/page.md.jinja``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

from tabulate import tabulate

from bench.report.blocks import Block, Break, Code, Inline, Link, Strong, Table, Text
from bench.tables import markup

if TYPE_CHECKING:
    from jinja2 import Template


def render(blocks: Iterable[Block]) -> str:
    """Write blocks as a Markdown page; it ends with a line break."""
    return _template().render(blocks=list(blocks)).strip("\n") + "\n"


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(  # noqa: S701 (the filters escape, for Markdown)
        loader=PackageLoader("bench.report"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {
        "text": text,
        "paragraph": paragraph,
        "table": _table,
        "address": quote,
        "attribute": _attribute,
    }
    return environment.get_template("page.md.jinja")


def text(words: Text) -> str:
    """Write a text inside a line."""
    return _written(words, markup.markdown_inline)


def paragraph(words: Text) -> str:
    """Write a text at the start of a line."""
    parts = words if isinstance(words, tuple) else (words,)
    first, rest = parts[:1], parts[1:]
    return _written(first, markup.markdown) + _written(rest, markup.markdown_inline)


def _written(words: Text, escaped: Callable[[str], str]) -> str:
    parts = words if isinstance(words, tuple) else (words,)
    return "".join(_inline(part, escaped) for part in parts)


def _inline(part: Inline, escaped: Callable[[str], str]) -> str:
    match part:
        case Strong(words):
            return f"**{markup.markdown_inline(words)}**"
        case Code(words):
            return _code(words)
        case Link(words, path):
            inside = re.sub(r"(?<!\\)[\[\]]", r"\\\g<0>", markup.markdown_inline(words))
            return f"[{inside}]({quote(path)})"
        case Break():
            return "\n  "
        case _:
            return escaped(part)


def _code(words: str) -> str:
    """Write a code span, between as many backticks as it does not hold."""
    held = max((len(run) for run in re.findall("`+", words)), default=0)
    fence = "`" * (held + 1)
    gap = " " if words.startswith("`") or words.endswith("`") else ""
    return f"{fence}{gap}{' '.join(words.split())}{gap}{fence}"


def _table(table: Table) -> str:
    headers, *rows = ([_cell(cell) for cell in row] for row in (table.headers, *table.rows))
    return tabulate(
        rows,
        headers,
        tablefmt="github",
        disable_numparse=True,
        colalign=table.sides if rows else None,
    )


def _cell(words: Text) -> str:
    """Write a text in a table's cell, where a bar would end it, in a code span too."""
    return text(words).replace("|", "\\|")


def _attribute(words: str) -> str:
    return escape(" ".join(words.split()))
