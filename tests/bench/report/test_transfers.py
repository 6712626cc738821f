"""What the page says of transfer, against counts by hand."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from bench.audit import known
from bench.figures.transfer import heat_map
from bench.matrix import Matrix
from bench.report import markdown, transfers
from bench.statistics import Estimate


def test_the_page_shows_the_map_and_only_what_can_be_distinguished(
    transferred: Matrix, tmp_path: Path
) -> None:
    page = markdown.render(transfers.section(transferred, tmp_path, audited=known(transferred)))
    assert (tmp_path / "transfer.svg").is_file()
    assert "10 pairs of transfers differ in one property" in page
    rows = [line for line in page.splitlines() if line.startswith("|")][2:]
    assert all(float(row.split("|")[-2]) < 0.05 for row in rows)


def test_many_pairs_have_a_panel_for_each_attack(tmp_path: Path) -> None:
    names = ["a", "b", "c", "d", "e"]
    pairs = [(one, other) for one in names for other in names if one != other]
    rates = {
        (attack, pair): Estimate(0.5, 0.4, 0.6, 20)
        for attack in ("fgsm", "pgd", "pgd-targeted")
        for pair in pairs
    }
    text = heat_map(rates, tmp_path / "many").read_text(encoding="utf-8")
    assert text.count("<!-- made on -->") == 3
    assert text.count("<!-- 50 -->") == len(rates)
    with Image.open(tmp_path / "many.png") as picture:
        width, height = picture.size
    assert 0.4 < width / height < 2.5  # 20 pairs in a row would be a ribbon
    few = {key: rate for key, rate in rates.items() if key[1][0] == "a"}
    assert "<!-- made on -->" not in heat_map(few, tmp_path / "few").read_text(encoding="utf-8")
