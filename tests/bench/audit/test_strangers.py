"""Rules that other packages offer: heard like any other, and broken at their own cost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planted import Planted

import bench
from bench.api import Case, Evidence, Rule
from bench.audit import RULES, Audit, audit, known, noted
from bench.commands import catalog
from bench.errors import PluginError
from bench.store import Store


def test_a_stranger_s_rule_stands_under_the_numbers_that_it_concerns(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    """A model that learned almost nothing, and says so with the usual confidence, is found out."""
    tiny["models"] = {"linear": {"train": {"epochs": 1, "batch_size": 16, "lr": 1e-6}}}
    tiny |= {"attacks": {"fgsm": {"eps": 0.05}}, "transfer": {}}
    outcome = bench.run(tiny, store=tmp_path / "store", reports=tmp_path / "reports")
    [finding] = [f for f in known(outcome.matrix).findings if f.rule == "too-confident"]
    assert finding.cells == ("evaluate linear",)
    for metric in ("clean_accuracy", "overconfidence"):
        assert finding.sentence in str(outcome.table(metric, rows=["model"])), metric
    page = next((tmp_path / "reports").rglob("*.md")).read_text(encoding="utf-8")
    assert f"**too-confident**: {finding.sentence}" in page
    assert "| too-confident " in page


def test_a_rule_that_fails_is_a_gap_and_the_others_look(plugins: Path, planted: Planted) -> None:
    planted.attack("net", "pgd", [True] * 40, broken={0: "over budget"})
    found = audit(planted.matrix)
    gaps = dict(found.gaps)
    assert gaps["stumbles"] == "raised ZeroDivisionError: no luck"
    assert "mute: lacks sees, matters, needs" in gaps["mute"]
    assert [finding.rule for finding in found.findings] == ["over-budget"]


class _Odd(Rule):
    """A rule that gives what it is made with."""

    name = "odd"
    sees = matters = needs = "anything"

    def __init__(self, look: Callable[[], Any]) -> None:
        self._look = look

    def look(self, evidence: Evidence) -> Any:
        """Give it."""
        return self._look()


def _case(**odd: Any) -> list[Case]:
    whole = {"cells": ("a",), "sentence": "b", "figures": {}, "p_value": None, "is_material": True}
    return [Case(**{**whole, **odd})]


@pytest.mark.parametrize(
    ("look", "gap"),
    [
        (lambda: "findings", "expected cases"),
        (lambda: None, "not iterable"),
        (lambda: [None], "expected cases"),
        (lambda: _case(cells="evaluate net"), "expected a tuple of labels"),
        (lambda: _case(p_value=float("nan")), "expected 0 to 1"),
        (lambda: _case(p_value=2), "expected 0 to 1"),
        (lambda: _case(figures={"n": np.int64(3)}), "int64"),
        (lambda: _case(figures={"n": float("nan")}), "Out of range"),
        (lambda: _case(metrics=3), "not iterable"),
        (lambda: (_ for _ in ()).throw(PluginError.of("here", "is lost")), "here: is lost"),
    ],
)
def test_a_rule_that_gives_no_cases_is_a_gap(
    planted: Planted, look: Callable[[], Any], gap: str
) -> None:
    """Its run still ends, is audited by the other rules, and can be noted and read again."""
    planted.attack("net", "pgd", [True] * 40, broken={0: "over budget"})
    found = audit(planted.matrix, [_Odd(look), RULES["over-budget"]])
    assert gap in dict(found.gaps)["odd"]
    assert [finding.rule for finding in found.findings] == ["over-budget"]
    assert Audit.of(json.loads(json.dumps(found.plain))).findings == found.findings


def test_findings_of_other_rules_are_looked_for_anew(plugins: Path, planted: Planted) -> None:
    """A run that was audited before a rule was installed, and after."""
    planted.evaluate("net", [True] * 10 + [False] * 30)  # all of them with a confidence of 0.75
    before = audit(planted.matrix, [rule for n, rule in RULES.items() if n != "too-confident"])
    written: dict[str, Any] = noted(before)
    del written["revision"]["too-confident"]
    matrix = planted.matrix
    matrix.run["audit"] = written
    assert "too-confident" in {finding.rule for finding in known(matrix).findings}
    matrix.run["audit"] = noted(before)  # as if it had been there
    assert "too-confident" not in {finding.rule for finding in known(matrix).findings}


def test_rules_are_listed_and_described(plugins: Path, tmp_path: Path) -> None:
    text = " ".join(catalog.installed("rules").split())
    assert "too-confident bench-test-plugins 1.2.3 a model is surer of its predictions" in text
    assert "'mute' of bench-test-plugins 1.2.3: mute: lacks sees, matters, needs" in text
    reported = catalog.describe("too-confident", None, Store(tmp_path))
    assert reported.endswith(
        "Whoever trusts its confidence is misled.\n\nneeds: an evaluated model"
    )


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    return Planted(tmp_path)
