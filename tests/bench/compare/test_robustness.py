"""Robustness side by side: each attack, each budget, and tests that are one family."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
from planted import Planted

from bench import statistics
from bench.audit import Audit, Finding
from bench.compare.robustness import UNATTACKED, WORST, robustness
from bench.compare.robustness_table import compared
from bench.report import markdown
from bench.report import robustness as section_of

COUNT = 100


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    """Two models: fgsm leaves them alike, pgd does not; one image less was judged on the second."""
    planted = Planted(tmp_path)
    for model, wrong, pgd, n in (("one", 3, 90, COUNT), ("two", 5, 60, COUNT - 1)):
        planted.evaluate(model, [i >= wrong for i in range(COUNT)])
        planted.attack(model, "fgsm", [i < 40 for i in range(n)])
        planted.attack(model, "pgd", [i < pgd for i in range(n)])
        planted.attack(model, "noise", [False] * n)
    return planted


def test_every_attack_and_budget_has_a_line(planted: Planted) -> None:
    lines = robustness(planted.comparison)
    assert [(line.attack, line.budget) for line in lines] == [
        (UNATTACKED, ""),
        *((name, "linf 0.1") for name in ("fgsm", "pgd", "noise", WORST)),
    ]
    worst = lines[-1]
    assert worst.estimates["one"].value == 0.1
    assert worst.notes["one"] == "decided by pgd"


def test_the_family_is_all_tests_and_images_are_the_common_ones(planted: Planted) -> None:
    """Oracle: McNemar on the 99 images that both were judged on, Holm over five tests."""
    tests = [line.tests[0] for line in robustness(planted.comparison)]
    flat = [
        ([i >= a for i in range(n)], [i >= b for i in range(n)])
        for a, b, n in ((3, 5, 100), (40, 40, 99), (90, 60, 99), (0, 0, 99), (90, 60, 99))
    ]
    raw = [statistics.mcnemar(*pair).p_value for pair in flat]
    assert [test.p_value for test in tests] == pytest.approx(statistics.holm(raw))
    assert [test.difference.n for test in tests] == [100, 99, 99, 99, 99]
    assert {test.name for test in tests} == {"McNemar's exact test"}


@pytest.mark.parametrize("form", ["github", "latex"])
def test_models_are_columns_and_differences_stand_beside_them(planted: Planted, form: str) -> None:
    text = compared(planted.comparison).render(form)
    row = next(line for line in text.splitlines() if "pgd" in line and "linf 0.1" in line)
    assert "-30.3 points [" in row
    assert re.search(r"\], p = [\d.]+e-\d\d", row)
    assert "one - two" in text
    assert "decided by pgd" in text
    assert ("toprule" in text) is (form == "latex")


def test_csv_and_json_hold_plain_numbers(planted: Planted) -> None:
    sheet = compared(planted.comparison)
    records = json.loads(sheet.render("json"))["records"]
    assert len(records) == 5 * 3
    assert len(list(csv.DictReader(io.StringIO(sheet.render("csv"))))) == len(records)
    [apart] = [r for r in records if r["attack"] == "pgd" and r["minus"]]
    assert (apart["model"], apart["minus"]) == ("one", "two")
    assert apart["value"] == pytest.approx(-30 / 99)
    assert 0 < apart["p_value"] < 1e-6


def test_many_differences_are_a_table_of_their_own(planted: Planted) -> None:
    for model in ("three", "four"):
        planted.attack(model, "pgd", [i < 50 for i in range(COUNT)])
    sheet = compared(planted.comparison)
    estimates, differences = sheet.grids
    assert list(estimates.headers) == ["attack", "budget", "one", "two", "three", "four"]
    assert list(differences.headers)[2:] == ["model", "minus", "difference"]
    assert len(sheet.records) == sum(1 for _ in sheet.records)


def test_marks_stand_on_the_figures(planted: Planted) -> None:
    comparison = planted.comparison
    metrics = frozenset({"robust_accuracy"})
    mark = Finding("weak", ("attack one/pgd",), metrics, "a mark", {}, None, is_mark=True)
    comparison.__dict__["audited"] = Audit((), {}, (), (mark,))
    sheet = compared(comparison)
    marked = {r["attack"] for r in sheet.records if r["marks"] == "weak"}
    assert marked == {"pgd", WORST}  # which pgd decides
    assert any(line.endswith("] a mark") for line in sheet.remarks)


def test_the_page_has_it_where_there_are_two_models(planted: Planted, tmp_path: Path) -> None:
    page = markdown.render(section_of.section(planted.matrix, tmp_path))
    assert "## Robustness side by side" in page
    assert "one - two" in page
    alone = Planted(tmp_path / "alone")
    alone.attack("one", "pgd", [True])
    assert not list(section_of.section(alone.matrix, tmp_path))


def test_an_attack_that_failed_is_withheld_with_the_reason(planted: Planted) -> None:
    planted.attack("one", "bim", [], state="failed", reason="boom")
    planted.attack("two", "bim", [i < 40 for i in range(99)])
    text = str(compared(planted.comparison))
    assert "withheld [" in text
    assert "boom" in text
