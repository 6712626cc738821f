"""Blocks on a terminal: nothing is escaped, and nothing else than text is shown."""

from __future__ import annotations

import pytest

from bench.report import plain
from bench.report.blocks import Break, Bullets, Heading, Paragraph, Strong


def test_names_are_printed_as_they_are() -> None:
    blocks = [
        Paragraph("simple_cnn/pgd~large-eps: $5 | *all*"),
        Bullets(((Strong("leaked"), ": a_b", Break(), "(of c_d)"), "two")),
    ]
    assert plain.render(blocks) == (
        "simple_cnn/pgd~large-eps: $5 | *all*\n\n- leaked: a_b\n  (of c_d)\n- two"
    )


def test_a_heading_is_refused() -> None:
    with pytest.raises(TypeError, match="no Heading"):
        plain.render([Heading("Audit")])
