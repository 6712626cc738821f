"""Names of classes are text everywhere: in tables, paragraphs, attributes and figures."""

from __future__ import annotations

import warnings
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from markdown_it import MarkdownIt
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from planted import Planted

from bench.figures import style
from bench.records import EvaluateRecord, Result
from bench.report import markdown, pictures
from bench.report import page as pages

NAMES = ["$5_to_$10", "a|b", "<b>bold", "café", "猫", "100%_{x}^2$", '[link](x) "quoted"', "🐱"]


@pytest.fixture
def page(tmp_path: Path) -> str:
    """A page of a model that takes each class once for the next."""
    planted = Planted(tmp_path)
    planted.classes = NAMES
    pairs = [(i, j % len(NAMES)) for i in range(len(NAMES)) for j in (i, i, i + 1)]
    records = [EvaluateRecord(f"test/{n}", *pair, 0.5) for n, pair in enumerate(pairs)]
    wrong = [r.image for r in records if r.label != r.prediction]
    images = np.random.default_rng(0).integers(0, 256, (len(wrong), 8, 8, 3), np.uint8)
    summary = {"images": len(records), "examples": wrong}
    result = Result(records=records, arrays={"examples": images}, summary=summary)
    planted.put("evaluate", "net", result)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        page = pages.write(planted.matrix, tmp_path / "page").read_text(encoding="utf-8")
    assert not [str(each.message) for each in seen]
    return page


def tables(page: str) -> list[list[list[str]]]:
    """The texts of a page's tables, by row, as a reader of Markdown finds them."""
    found: list[list[list[str]]] = []
    for token in MarkdownIt("commonmark").enable("table").parse(page):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and token.level == 4:
            children = token.children or []
            assert {child.type for child in children} <= {"text", "text_special"}, token.content
            found[-1][-1].append("".join(child.content for child in children))
    return found


def test_each_class_is_one_cell_of_a_row(page: str) -> None:
    by_class = next(rows for rows in tables(page) if rows[0][:2] == ["class", "precision"])
    assert [row[0] for row in by_class[1:]] == [*NAMES, "macro mean"]
    assert {len(row) for row in by_class} == {5}
    assert [row[4] for row in by_class[1:]] == ["3"] * len(NAMES) + [str(3 * len(NAMES))]
    matrix = next(rows for rows in tables(page) if rows[0] == ["", *NAMES])
    assert {len(row) for row in matrix} == {1 + len(NAMES)}
    confused = next(rows for rows in tables(page) if rows[0][:2] == ["true", "predicted as"])
    assert sorted(row[0] for row in confused[1:]) == sorted(NAMES)
    counts = next(rows for rows in tables(page) if rows[0][0] == "class" and rows[0][1] == "test")
    assert [row[0] for row in counts[1:]] == [*NAMES, "all"]


def test_figures_show_names_as_they_are(page: str, tmp_path: Path) -> None:
    text = (tmp_path / "page" / "figures" / "confusion-net.svg").read_text(encoding="utf-8")
    for name in NAMES:
        assert f"<!-- {name.replace('<', '&lt;').replace('>', '&gt;')} -->" in text, name


def test_an_attribute_of_a_picture_ends_where_it_should() -> None:
    found: list[dict[str, str | None]] = []

    class Images(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append(dict(attrs) | {"tag": tag})

    words = 'a "quoted" <b>bold\nname & $x$'
    [line, *_] = markdown.render([pictures.embedded(Path("x.svg"), words)]).splitlines()
    Images().feed(line)
    [image] = found
    assert image["tag"] == "img"
    assert image["alt"] == 'a "quoted" <b>bold name & $x$'


def test_signs_without_a_font_are_boxes_and_warn_nobody(tmp_path: Path) -> None:
    figure = Figure(figsize=(2, 1))
    figure.text(0.1, 0.5, "\U000e01ef \ue123 猫 $x_$")
    style.save(figure, tmp_path / "strange")  # warnings are errors here
    assert ET.parse(tmp_path / "strange.svg").getroot().tag.endswith("svg")


def test_control_characters_leave_a_figure_well_formed(tmp_path: Path) -> None:
    figure = Figure(figsize=(2, 1))
    axes = figure.subplots()
    axes.set_xticks([0, 1], labels=["esc\x1b[31m", "--x-->\x00\ufffe"])
    style.save(figure, tmp_path / "steered")
    assert ET.parse(tmp_path / "steered.svg").getroot().tag.endswith("svg")


def test_other_scripts_are_drawn_in_an_installed_font_that_has_them() -> None:
    """STIX comes with matplotlib and has signs that the usual font lacks."""
    usual, stix = (
        get_font(findfont(name)).get_charmap() for name in ("DejaVu Sans", "STIXGeneral")
    )
    sign = chr(min(stix.keys() - usual.keys()))
    assert style._fonts_for(frozenset("abc$_")) == ()
    [family] = style._fonts_for(frozenset(f"a{sign}"))
    assert ord(sign) in get_font(findfont(family)).get_charmap()
    assert style._fonts_for(frozenset("\U000e0fff")) == ()  # no font has it
