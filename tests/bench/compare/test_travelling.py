"""Findings and marks travel to whatever is derived from the figures that carry them."""

from __future__ import annotations

from pathlib import Path

import pytest
from planted import Planted

from bench import cli
from bench.audit import Audit, Basis, Finding, travelling
from bench.compare.claim_tests import ClaimTest, Compared, Part
from bench.compare.claims import CLAIMS
from bench.compare.models import Comparison
from bench.compare.transfers import pairs
from bench.compare.variants import Compression
from bench.metrics import METRICS
from bench.report import choosing, compression, findings, markdown, transfers
from bench.statistics import Difference, Estimate


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    return Planted(tmp_path)


def first(count: int, n: int = 40) -> list[bool]:
    return [i < count for i in range(n)]


def doubt(*labels: str, metric: str, is_mark: bool = True) -> Audit:
    found = Finding("doubt", labels, frozenset({metric}), "why", {}, None, is_mark=is_mark)
    return Audit((), {}, (), (found,)) if is_mark else Audit((found,), {}, ())


def with_audit(comparison: Comparison, audited: Audit) -> Comparison:
    comparison.__dict__["audited"] = audited
    return comparison


def test_each_is_collected_once_and_findings_come_first(planted: Planted) -> None:
    planted.attack("net", "pgd", first(5))
    [entry] = planted.matrix.entries
    basis = Basis((entry,), METRICS["robust_accuracy"])
    audited = doubt(entry.label, metric="robust_accuracy")
    finding = Finding("wrong", (entry.label,), frozenset({"robust_accuracy"}), "", {}, None)
    both = Audit((finding,), {}, (), audited.remarks)
    found = travelling(both, planted.matrix, [basis, basis])
    assert [each.rule for each in found] == ["wrong", "doubt"]
    other = Basis((entry,), METRICS["linf"])
    assert travelling(both, planted.matrix, [other]) == ()


def test_a_worst_case_carries_what_names_that_of_its_own_budget(planted: Planted) -> None:
    """Images of a smaller budget count at a larger one; what is said of its worst case does not."""
    planted.attack("net", "pgd", first(20), eps=0.1)
    planted.attack("net", "fgsm", first(5), eps=0.2)
    small, large = planted.matrix.entries
    assert planted.matrix.worst(large).decides == small
    worst = METRICS["worst_case_accuracy"]
    of_small, of_large = (doubt(entry.label, metric=worst.name) for entry in (small, large))
    carried = {
        (place, which): bool(travelling(audited, planted.matrix, [Basis((entry,), worst)]))
        for place, entry in (("small", small), ("large", large))
        for which, audited in (("small", of_small), ("large", of_large))
    }
    assert carried == {
        ("small", "small"): True,
        ("small", "large"): False,
        ("large", "small"): False,
        ("large", "large"): True,
    }
    deciding = doubt(small.label, metric="robust_accuracy")
    assert travelling(deciding, planted.matrix, [Basis((large,), worst)])


def test_what_is_compared_with_an_original_carries_what_that_does(planted: Planted) -> None:
    planted.evaluate("net", first(36))
    planted.evaluate("net", first(30), variant="half")
    own = planted.comparison.entries("evaluate", "net/half")
    audited = doubt("evaluate net", metric="recovery_rate")
    basis = Basis(tuple(own), METRICS["recovery_rate"])
    assert travelling(audited, planted.matrix, [basis])


@pytest.mark.parametrize("label", ["attack net/half/pgd", "attack net/pgd"])
def test_decisions_that_flipped_carry_what_either_side_does(planted: Planted, label: str) -> None:
    planted.reduced("net", "half", "magnitude")
    for variant, count in (("original", 5), ("half", 20)):
        planted.evaluate("net", first(36), variant=variant)
        planted.attack("net", "pgd", first(count), variant=variant)
    known = Compression(planted.matrix)
    with_audit(known.comparison, doubt(label, metric="robust_accuracy"))
    page = markdown.render(compression.flips(known))
    rows = [line for line in page.splitlines() if line.startswith("| net/half")]
    assert ["[doubt]" in row for row in rows] == [False, True]


def test_claims_carry_what_their_parts_do() -> None:
    whole = Compared(
        *(Estimate(0.5, 0.4, 0.6, 40), Estimate(0.1, 0.0, 0.2, 40)),
        *(Difference(0.4, 0.3, 0.5, 40, 0.001, 0.3), 0.001, 3, 0, 3),
    )
    part = Part("net", "pgd", "0.1")
    basis = Basis((), METRICS["success_rate"])
    test = ClaimTest(CLAIMS[0], whole, {part: whole}, (), {part: (basis,)})
    carried = doubt("a", metric="success_rate").remarks
    page = markdown.render(findings.section([test], marks=lambda *given: carried if given else ()))
    assert page.count("[doubt]") == 2  # the claim's, and its part's
    assert "[doubt]" not in markdown.render(findings.section([test]))


def test_pairs_of_transfers_carry_what_either_does(planted: Planted, tmp_path: Path) -> None:
    for name, fooled in (("fgsm@eps=0.1", 2), ("fgsm@eps=0.2", 30)):
        facts = {"group": "fgsm", "alpha": None, "steps": None}
        planted.attack("one", name, first(20), eps=float(name[-3:]), facts=facts)
        planted.transfer("one", "two", name, first(fooled))
    [pair] = pairs(planted.matrix)
    label = pair.basis[0].entries[0].label
    audited = doubt(label, metric="target_success")
    page = markdown.render(transfers._pairs(planted.matrix, [pair], audited))
    assert "[doubt]" in page


def test_models_on_the_front_carry_what_their_figures_do(planted: Planted, tmp_path: Path) -> None:
    for name, wrong, runs in (("slow", 1, 9.0), ("quick", 9, 1.0)):
        planted.evaluate(name, [not hit for hit in first(wrong)])
        planted.profile(name, size_bytes=100)
        planted.latency(name, [runs] * 100, busy=0.5)
    audited = doubt("evaluate quick", metric="clean_accuracy")
    comparison = with_audit(planted.comparison, audited)
    page = markdown.render(choosing._front(comparison, tmp_path))
    assert "* Its figures carry what the audit found: quick (doubt)." in page.replace("\\*", "*")
    assert "Timings disturbed by other processes: slow, quick." in page


def test_what_is_required_decides_how_a_run_ends(
    planted: Planted, capsys: pytest.CaptureFixture[str]
) -> None:
    planted.evaluate("net", first(40))
    matrix = planted.matrix
    matrix.run["recommend"] = {
        "good": {"best": "clean_accuracy", "where": []},
        "open": {"best": "clean_accuracy", "where": ["clean_accuracy >= 98 %"]},
    }
    assert cli._print_recommendations(matrix, ["good"]) == []
    assert cli._print_recommendations(matrix, ["good", "open"]) == ["open"]
    printed = capsys.readouterr().err
    assert "recommendations:\n- good (best clean_accuracy): net, 100.0 %." in printed
    assert "required: open: cannot be told" in printed
