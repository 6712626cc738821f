"""What a run leaves for people: the page, the CSV files, figures, lines on the console."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

import bench
from bench import console
from bench.errors import UsageError
from bench.figures import curves
from bench.report import markdown


@pytest.fixture
def outcome(tiny: dict[str, Any], tmp_path: Path) -> bench.Outcome:
    tiny["description"] = "What it is for."
    tiny["attacks"]["raises"] = {}
    tiny["tables"] = {"one": {"metric": "robust_accuracy", "title": "One table", "intervals": True}}
    return bench.run(tiny, store=tmp_path / "store", reports=tmp_path / "reports")


def test_the_page_is_rendered_from_the_store(outcome: bench.Outcome, tmp_path: Path) -> None:
    folder = tmp_path / "reports" / "tiny"
    page = (folder / "README.md").read_text()
    table = outcome.table("robust_accuracy", intervals=True)
    assert table.render("github").partition("\n\n")[0] in page
    for words in (
        "# tiny",
        "What it is for.",
        "## One table",
        "95 % Wilson interval",
        "failed: RuntimeError: lost my way",
        "## Missing",
        "4 of 24 cells have no result",
        "| north   |",
        "drawn by seed 7",
        "- threads: 1",
        "- memory_format: channels_last",
    ):
        assert words in page, words
    again = markdown.write(bench.open_last(store=tmp_path / "store").matrix, tmp_path / "again")
    assert again.read_text() == page


def test_the_csv_holds_plain_numbers(outcome: bench.Outcome, tmp_path: Path) -> None:
    text = (tmp_path / "reports" / "tiny" / "one.csv").read_text()
    rows = list(csv.DictReader(io.StringIO(text)))
    frame = outcome.table("robust_accuracy").frame()
    assert len(rows) == len(frame)
    for row, (_, known) in zip(rows, frame.iterrows(), strict=True):
        assert row["attack"] == known["attack"]
        if row["value"]:
            assert float(row["value"]) == known["value"]
            assert 0 <= float(row["low"]) <= float(row["value"]) <= float(row["high"]) <= 1
        else:
            assert row["note"]


def test_a_figure_draws_each_model_s_curve(outcome: bench.Outcome, tmp_path: Path) -> None:
    path = curves.success(outcome.matrix, "success_rate", ["fgsm"], tmp_path / "figure.svg")
    assert ET.parse(path).getroot().tag.endswith("svg")
    again = curves.success(outcome.matrix, "success_rate", ["fgsm"], tmp_path / "again.svg")
    assert again.read_bytes() == path.read_bytes()
    lines = curves._lines(outcome.matrix, "success_rate", ["fgsm"])
    assert set(lines) == {("linear", "fgsm"), ("gaudy", "fgsm")}
    told = outcome.table("success_rate", where={"group": "fgsm", "model": "linear"}).frame()
    assert [point.value for _, point in lines["linear", "fgsm"]] == list(told["value"])
    with pytest.raises(UsageError, match="no cell of nobody"):
        curves.success(outcome.matrix, "success_rate", ["nobody"], path)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "0 s"), (59.4, "59 s"), (60, "1 min 00 s"), (75, "1 min 15 s"), (7325, "2 h 02 min")],
)
def test_durations(seconds: float, words: str) -> None:
    assert console.duration(seconds) == words


def test_lines_tell_what_was_computed(
    tiny: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for expected in (20, 0):
        bench.run(tiny, store=tmp_path / "s", reports=None, observer=console.Lines())
        lines = capsys.readouterr().err.splitlines()
        assert lines[0] == f"tiny: 20 cells, {20 - expected} in the store"
        assert len([line for line in lines if "] done " in line]) == expected
    assert "[20/20] done transfer" not in lines


def test_tables_of_an_earlier_run_do_not_stay(outcome: bench.Outcome, tmp_path: Path) -> None:
    folder = tmp_path / "reports" / "tiny"
    (folder / "old.csv").write_text("of another run")
    markdown.write(outcome.matrix, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "figures", "one.csv"]
    page = (folder / "README.md").read_text()
    assert "eps=0.2, alpha=0.05, steps=5, random_start=True" in page  # what pgd was
    assert "| gaudy   | trained   |" in page


def test_a_notebook_gets_records_with_parameters_and_the_images(outcome: bench.Outcome) -> None:
    frame = outcome.frame()
    rows = frame[(frame["kind"] == "attack") & (frame["attack"] == "pgd")]
    assert set(rows["eps"]) == {0.2}
    assert set(rows["steps"]) == {5}
    images = outcome.adversarial_images("linear/pgd")
    assert images.shape == (20, 3, 8, 8)
    with pytest.raises(UsageError, match="did you mean 'linear/pgd'"):
        outcome.adversarial_images("linear/pdg")
    assert repr(outcome).startswith("<Outcome of ")
