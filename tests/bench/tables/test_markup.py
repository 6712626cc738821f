"""Names are text: a Markdown reader shows them as they are, and LaTeX sets them so."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from bench.tables.markup import latex, latex_cell, markdown, markdown_cell

READER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])

NAMES = (
    *("$5_to_$10", "a|b", "<b>bold", "café", "猫", "100%_{x}^2$", "[link](x)", "🐱", "![x](y)"),
    *("[x][y]", "[x]: y", "*em*", "_em_", "__init__", "`code`", "``", "~~gone~~", "\\", "a\\|b"),
    *("&lt;", "&#65;", "# one", "- one", "+ one", "1. one", "2) one", "> one", "---", "===", "+"),
    *(
        "<!-- x -->",
        "</td>",
        "<https://x.y>",
        "5_to_10",
        "a b",
        "p < 0.05",
        "[0.1, 0.2] (20)",
        "1.",
    ),
)


def shown(tokens: list[Token]) -> str:
    """What a reader sees of inline tokens; markup would be another kind of token."""
    kinds = {child.type for token in tokens for child in token.children or []}
    assert kinds <= {"text", "text_special"}, kinds
    return "".join(child.content for token in tokens for child in token.children or [])


@pytest.mark.parametrize("name", NAMES)
def test_a_paragraph_shows_a_name_as_it_is(name: str) -> None:
    tokens = READER.parse(markdown(name))
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    assert shown([tokens[1]]) == name


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_one_cell_of_a_table(name: str) -> None:
    text = f"| {markdown_cell(name)} | n |\n|---|---|\n| {markdown_cell(name)} | 2 |\n"
    tokens = READER.parse(text)
    cells = [token for token in tokens if token.type == "inline"]
    assert [shown([cell]) for cell in cells] == [name, "n", name, "2"]


def test_what_is_no_markup_stays_as_it_is() -> None:
    for text in (
        "clean_accuracy",
        "90.0 % [81.2, 95.1] (100) [a]",
        "p < 0.05, (Holm)",
        "0.5",
        "-1",
    ):
        assert markdown(text) == markdown_cell(text) == text


def test_a_line_break_in_a_name_ends_no_row() -> None:
    assert markdown_cell("a\n b") == "a b"


def test_what_steers_a_terminal_or_turns_a_line_is_written_out() -> None:
    assert (
        shown(READER.parse(markdown("a\x1b[31m\u202eb\x0b\u2028"))) == r"a\x1b[31m\u202eb\x0b\u2028"
    )
    assert latex("a\x07") == r"a\textbackslash{}x07"


@pytest.mark.parametrize("write", [markdown, markdown_cell, latex, latex_cell])
def test_a_radius_is_written_as_it_was_wherever_it_stands(write: Callable[[str], str]) -> None:
    for text, written in {
        "net/fgsm@eps=0.0313725: 3 of 12 images": "net/fgsm@eps=8/255: 3 of 12 images",
        "(concerns net/fgsm@eps=0.0313725)": "(concerns net/fgsm@eps=8/255)",
        "3 steps of 0.00784314 do not reach 0.0313725": "3 steps of 2/255 do not reach 8/255",
        "budget=linf 0.0313725": "budget=linf 8/255",
        "a mean of 0.0313726": "a mean of 0.0313726",
    }.items():
        assert write(text) == written


def test_latex_sets_what_is_special_to_it() -> None:
    assert latex("a & b_{1} #2 $3 50%") == r"a \& b\_\{1\} \#2 \$3 50\%"
    assert latex("<~^\\|>") == (
        r"\textless{}\textasciitilde{}\textasciicircum{}\textbackslash{}\textbar{}\textgreater{}"
    )
    assert latex_cell("[link](x)") == "{[}link](x)"  # after \\ it would be how far to skip
    assert latex_cell("1 [2]") == latex("1 [2]") == "1 [2]"
