"""Blocks are frozen values, and Markdown shows each of them: texts as text, wherever they stand."""

from __future__ import annotations

import dataclasses
import pickle
from typing import get_args

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from bench.report import blocks
from bench.report.blocks import (
    Block,
    Break,
    Bullets,
    Code,
    Details,
    Figure,
    Heading,
    Link,
    Paragraph,
    Preformatted,
    Prose,
    Strong,
    Table,
)
from bench.report.markdown import render

NAMES = ("a|b", "<b>", "$x$", "[l](x)", "5*6*7", "`tick`", "# one", "1. one", "猫")
PAGE: list[Block] = [
    Heading("Head"),
    Paragraph(("Bold: ", Strong("one"), ".")),
    Prose("Of the *author*."),
    Table.of(["name", "n"], [["a", 1]], left=1),
    Figure("figures/a b.svg", "What it shows", 100),
    Bullets(("one", ("two", Break(), "below"))),
    Details("More", (Paragraph("inside"),)),
    Preformatted("bench run x\n  --y"),
]
WRITTEN = """\
## Head

Bold: **one**.

Of the *author*.

| name   |   n |
|--------|-----|
| a      |   1 |

<img src="figures/a%20b.svg" alt="What it shows" width="100">

What it shows ([SVG](figures/a%20b.svg), [PNG](figures/a%20b.png))

- one
- two
  below

<details><summary>More</summary>

inside

</details>

    bench run x
      --y
"""


def test_each_kind_of_block_has_its_form() -> None:
    assert {type(block) for block in PAGE} == set(get_args(blocks.Block))
    assert render(PAGE) == WRITTEN


@pytest.mark.parametrize("block", PAGE, ids=lambda block: block.kind)
def test_a_block_is_frozen_and_the_same_after_pickling(block: Block) -> None:
    assert pickle.loads(pickle.dumps(block)) == block
    with pytest.raises(dataclasses.FrozenInstanceError):
        block.kind = "another"  # type: ignore[misc]


def tokens(*parts: Block) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(render(parts))


def words(token: Token) -> str:
    """What is read, where names are text or code."""
    kinds = {"text", "text_special", "strong_open", "strong_close", "code_inline", "softbreak"}
    assert {child.type for child in token.children or []} <= kinds, token.content
    return "".join(child.content for child in token.children or [])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", [str, Strong, Code])
def test_a_name_is_read_as_it_is_in_every_block(name: str, form: type) -> None:
    text = form(name)
    for block, kind in (
        (Heading(text), "heading_open"),
        (Paragraph(text), "paragraph_open"),
        (Bullets((text,)), "bullet_list_open"),
        (Details("more", (Paragraph((text,)),)), "html_block"),
    ):
        found = tokens(block)
        assert found[0].type == kind
        assert [words(each) for each in found if each.type == "inline"] == [name]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", [str, Strong])
def test_a_name_is_one_cell(name: str, form: type) -> None:
    found = tokens(Table.of([name, "n"], [[form(name), 2], [(form(name), " x"), 3]]))
    cells = [words(each) for each in found if each.type == "inline"]
    assert cells == [name, "n", name, "2", f"{name} x", "3"]


def test_a_link_leads_to_a_file_whatever_it_is_called() -> None:
    [inline] = [each for each in tokens(Paragraph(Link("a]b", "a (b)%.csv"))) if each.children]
    assert inline.children is not None
    assert inline.children[0].attrs == {"href": "a%20%28b%29%25.csv"}


def test_a_table_without_rows_has_its_headers() -> None:
    assert render([Table.of(["a", "b"], [])]).startswith("| a   | b   |")
