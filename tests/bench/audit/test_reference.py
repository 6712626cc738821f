"""What the reference says of attacks, of the worst case, and of transferred images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planted import Planted

from bench.audit import Finding, audit
from bench.audit.references import references
from bench.report import audits, markdown

RULE = "weaker-than-reference"


def first(count: int, of: int) -> list[bool]:
    return [i < count for i in range(of)]


def between(start: int, end: int, of: int) -> list[bool]:
    return [start <= i < end for i in range(of)]


def inverted(marks: list[bool]) -> list[bool]:
    return [not mark for mark in marks]


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    return Planted(tmp_path)


def by_rule(found: tuple[Finding, ...], rule: str = RULE) -> list[Finding]:
    return [each for each in found if each.rule == rule]


@pytest.mark.parametrize("n", [200, 500])
def test_a_published_masked_network_under_pgd_alone(planted: Planted, n: int) -> None:
    """PGD leaves 90.8 %, a stronger attack 79.4 %; the reference tries 200 of those left."""
    weak, strong = round(0.092 * n), round(0.206 * n)
    left = inverted(first(weak, n))
    drawn = np.random.default_rng(0).permutation([i for i in range(n) if left[i]])[:200]
    tried = [i in set(drawn.tolist()) for i in range(n)]
    fooled = [weak <= i < strong and tried[i] for i in range(n)]
    planted.attack("net", "pgd", first(weak, n))
    planted.reference("net", left, fooled, tried=tried)
    found = audit(planted.matrix)
    [finding] = by_rule(found.findings)
    assert finding.cells == ("attack net/pgd",)
    assert "success_rate" in finding.metrics
    [worst] = by_rule(found.remarks)
    assert worst.metrics == {"worst_case_accuracy"}


@pytest.mark.parametrize("more", [2, 9])
def test_a_trifle_is_no_finding_though_all_of_it_lies_one_way(planted: Planted, more: int) -> None:
    """PGD at 40 steps on an undefended network falls short by a few points: nothing is wrong."""
    planted.attack("net", "pgd", first(60, 100))
    planted.reference("net", inverted(first(60, 100)), between(60, 60 + more, 100))
    found = audit(planted.matrix)
    assert found.cases[RULE] == 2
    assert found.findings == ()
    assert bool(by_rule(found.remarks)) == (more == 9)  # 2^-9: the worst case is known to be lower


def test_what_other_attacks_fool_counts_against_an_attack_and_not_against_the_worst_case(
    planted: Planted,
) -> None:
    planted.attack("net", "pgd", first(20, 100), eps=0.1)
    planted.attack("net", "aimed", first(60, 100), eps=0.1, target=1)
    planted.reference("net", inverted(first(60, 100)), first(0, 100))
    found = audit(planted.matrix)
    assert [each.cells for each in by_rule(found.findings)] == [("attack net/pgd",)]
    assert by_rule(found.remarks) == []


def test_a_rate_where_only_single_steps_ran_carries_a_mark_with_the_reference(
    planted: Planted,
) -> None:
    planted.attack("net", "fgsm", first(20, 40), backwards=1.0)
    planted.attack("net", "noise", first(0, 40), backwards=0.0)
    planted.reference("net", inverted(first(20, 40)), between(20, 38, 40))
    found = audit(planted.matrix)
    assert by_rule(found.findings) == []
    marks = {each.sentence.partition(":")[0]: each for each in by_rule(found.remarks)}
    step = marks["one step only"]
    assert step.cells == ("attack net/fgsm",)
    assert "leaves 20 of 40 images right" in step.sentence
    assert "of 20 of these the reference fools 18 (climber)" in step.sentence
    assert marks["net at linf 0.1"].metrics == {"worst_case_accuracy"}


def test_a_budget_with_an_iterative_attack_is_not_one_step_only(planted: Planted) -> None:
    planted.attack("net", "fgsm", first(20, 40), backwards=1.0)
    planted.attack("net", "pgd", first(22, 40))
    planted.reference("net", inverted(first(22, 40)), first(0, 40))
    assert by_rule(audit(planted.matrix).remarks) == []


def test_other_budgets_norms_and_models_are_left_alone(planted: Planted) -> None:
    for options in ({"eps": 0.2}, {"norm": "l2"}):
        planted.attack("net", f"pgd@{options}", first(10, 40), **options)  # type: ignore[arg-type]
    planted.attack("twin", "pgd", first(10, 40))
    planted.reference("net", inverted(first(10, 40)), between(10, 40, 40))
    found = audit(planted.matrix)
    assert (found.cases[RULE], by_rule(found.carried)) == (0, [])


def test_transferred_images_count_for_the_worst_case(planted: Planted) -> None:
    """What the reference fools of what they left is too little to be told."""
    planted.attack("net", "pgd", first(10, 40))
    planted.transfer("twin", "net", "pgd", first(30, 40))
    planted.reference("net", inverted(first(10, 40)), between(10, 32, 40))
    assert by_rule(audit(planted.matrix).remarks) == []


@pytest.mark.parametrize("is_confirmed", [False, True])
def test_hidden_gradients_are_said_only_where_the_reference_confirms_it(
    planted: Planted, is_confirmed: bool
) -> None:
    planted.attack("net", "pgd", first(5, 40))
    planted.transfer("twin", "net", "pgd", first(30, 40))
    fooled = between(5, 35, 40) if is_confirmed else first(0, 40)
    planted.reference("net", inverted(first(5, 40)), fooled)
    [finding] = by_rule(audit(planted.matrix).findings, "transfer-beats-white-box")
    assert finding.sentence.startswith("transferred images fool more than this attack: net/pgd")
    assert ("hides its gradients" in finding.sentence) == is_confirmed


def test_without_a_reference_nothing_is_said_of_gradients(planted: Planted) -> None:
    planted.attack("net", "pgd", first(5, 40))
    planted.transfer("twin", "net", "pgd", first(30, 40))
    [finding] = by_rule(audit(planted.matrix).findings, "transfer-beats-white-box")
    assert "hides" not in finding.sentence


def test_a_reference_that_failed_is_reported(planted: Planted) -> None:
    planted.attack("net", "pgd", first(5, 40))
    state: dict[str, Any] = {"state": "failed", "reason": "out of memory"}
    planted.reference("net", first(0, 40), first(0, 40), **state)
    unseen = dict(audit(planted.matrix).unseen)
    assert unseen[RULE] == "reference net/reference~linf: failed: out of memory"


def test_the_page_prints_the_reference_beside_the_attacks(planted: Planted) -> None:
    planted.attack("net", "pgd", first(10, 40))
    left = inverted(first(10, 40))
    planted.reference("net", left, between(10, 15, 40), tried=between(10, 30, 40))
    [row] = references(planted.matrix)
    assert (row.place, str(row.budget), row.n) == ("net", "linf 0.1", 40)
    assert (row.left, row.tried, row.fooled, row.methods) == (30, 20, 5, {"climber": 5})
    page = markdown.render(list(audits.section(audit(planted.matrix), planted.matrix)))
    assert "climber: 5" in page
    assert "60 + 40" in page
