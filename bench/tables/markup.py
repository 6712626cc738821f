"""Names and messages as plain text in Markdown and LaTeX: what would be markup is escaped.

It does not know what a text means.
"""

from __future__ import annotations

import re

from bench.records import visible, write_name

_ALWAYS = re.compile(r"[\\`*~$]")
_EMPHASIS = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
"""An underscore inside a word is no markup."""

_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_ENTITY = re.compile(r"&(?=#?\w+;)")
_LINK = re.compile(r"\[(?=[^\[\]]*\][(\[:])|\](?=[(\[:])|!(?=\[)")
"""Brackets of intervals and footnotes are no links: a space or nothing follows them."""

_BLOCK = re.compile(r"^(?:\#(?=#*(?:\s|$))|>|[+-](?=\s|$)|[=-](?=[=-]*$))")
"""What at the start of a paragraph is a heading, a quotation, an item of a list, or a line."""

_NUMBER = re.compile(r"^(\d+)([.)])(?=\s|$)")


def markdown(text: str) -> str:
    r"""Write a text for a paragraph of GitHub's Markdown, where it is shown as it is.

    >>> markdown("a | b <b> [c](d) 5_to_10 p < 0.05 [0.1, 0.2] (20)")
    'a | b \\<b> \\[c\\](d) 5_to_10 p < 0.05 [0.1, 0.2] (20)'
    """
    text = _BLOCK.sub(lambda match: f"\\{match[0]}", markdown_inline(text))
    return _NUMBER.sub(r"\1\\\2", text)


def markdown_inline(text: str) -> str:
    """Write a text for Markdown inside a line, after other text."""
    text = _one_line(text)
    for pattern in (_ALWAYS, _EMPHASIS, _TAG, _ENTITY, _LINK):
        text = pattern.sub(lambda match: f"\\{match[0]}", text)
    return text


def markdown_cell(text: str) -> str:
    r"""Write a text for one cell of a Markdown table.

    >>> markdown_cell("a|b")
    'a\\|b'
    """
    return markdown_inline(text).replace("|", "\\|")


_LATEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}


def latex(text: str) -> str:
    r"""Write a text for a paragraph in LaTeX.

    >>> latex("100%_{x}^2")
    '100\\%\\_\\{x\\}\\textasciicircum{}2'
    """
    return "".join(_LATEX.get(sign, sign) for sign in _one_line(text))


def latex_cell(text: str) -> str:
    """Write a text for one cell of a LaTeX table.

    A bracket or an asterisk at its start would be an option of the line break before it.

    >>> latex_cell("[link](x)")
    '{[}link](x)'
    """
    text = latex(text)
    return f"{{{text[0]}}}{text[1:]}" if text.startswith(("[", "*")) else text


def _one_line(text: str) -> str:
    return write_name(visible(re.sub(r"\s*[\r\n]\s*", " ", text)))
