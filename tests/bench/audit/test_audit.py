"""Each rule of the audit on a planted fault and on its clean twin; chance, which is no fault."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from planted import Planted

from bench import tables
from bench.api import Case, Rule
from bench.audit import LEVEL, RULES, Audit, Finding, audit, known, noted
from bench.audit.evidence import Evidence
from bench.matrix import Matrix
from bench.metrics import METRICS
from bench.records import Result
from bench.report import audits, markdown
from bench.report import page as pages
from bench.tables.table import _letters

IMAGES = 40


def first(count: int, of: int = IMAGES) -> list[bool]:
    """The first images of all."""
    return [i < count for i in range(of)]


def last(count: int, of: int = IMAGES) -> list[bool]:
    return first(count, of)[::-1]


# A planted fault and its clean twin for each rule: what a rule must see, and what it must not


def over_budget(planted: Planted, *, faulty: bool) -> None:
    broken = {3: "over budget: linf 0.2 > eps 0.1"} if faulty else {}
    planted.attack("net", "pgd", first(20), broken=broken)


def moves_at_zero(planted: Planted, *, faulty: bool) -> None:
    """An image that moved is a fault whatever became of its prediction."""
    planted.attack("net", "pgd", first(20))
    planted.probe("net", "pgd", "eps-0", first(0), eps=0.0, size=0.01 if faulty else 1e-8)


def turns_at_zero(planted: Planted, *, faulty: bool) -> None:
    """No image moved, and predictions turned; a single one of 40 may be rounding."""
    planted.attack("net", "pgd", first(20))
    planted.probe("net", "pgd", "eps-0", first(5 if faulty else 1), eps=0.0)


def falls_with_eps(planted: Planted, *, faulty: bool) -> None:
    planted.attack("net", "pgd@eps=0.1", first(30))
    planted.attack("net", "pgd@eps=0.2", first(12 if faulty else 28), eps=0.2)


def survives_large_eps(planted: Planted, *, faulty: bool) -> None:
    """Of two classes chance leaves half of the images right."""
    planted.attack("net", "pgd", first(2))
    planted.probe("net", "pgd", "large-eps", first(5 if faulty else 20), eps=1.0)


def out_of_reach(planted: Planted, *, faulty: bool) -> None:
    alpha = 0.019 if faulty else 0.02
    planted.attack("net", "pgd", first(20), facts={"steps": 5, "alpha": alpha})


def fewer_steps(planted: Planted, *, faulty: bool) -> None:
    """One image of those that remained correct had a step too few."""
    followed = {"images": 20, "by": "backwards", "fewest": 9 if faulty else 10, "unmoved": 0}
    followed["passes"] = {"9": 1, "10": 19} if faulty else {"10": 18, "20": 2}
    planted.attack("net", "pgd", first(20), facts={"iterations": 10}, followed=followed)


def never_moved(planted: Planted, *, faulty: bool) -> None:
    followed = {"images": 20, "by": "backwards", "fewest": 10, "passes": {"10": 20}}
    followed["unmoved"] = int(faulty)
    planted.attack("net", "pgd", first(20), facts={"iterations": 10}, followed=followed)


def not_repeatable(planted: Planted, *, faulty: bool) -> None:
    planted.attack("net", "pgd", first(20))
    planted.attack("twin", "pgd", first(20))
    for model, differing in (("net", int(faulty)), ("twin", 0)):
        summary = {"images": 8, "differing": differing, "largest": 0.1 * differing}
        planted.probe(model, "pgd", "repeat", first(4, 8), summary=summary)


def unconverged(planted: Planted, *, faulty: bool) -> None:
    planted.attack("net", "pgd", first(10))
    fooled = first(30 if faulty else 13)
    planted.probe("net", "pgd", "doubled-steps", fooled, facts={"steps": 20})


def weaker_than_one_step(planted: Planted, *, faulty: bool) -> None:
    planted.attack("net", "pgd", first(10))
    planted.attack("net", "fgsm", first(30 if faulty else 13), backwards=1.0)


def weaker_than_another(planted: Planted, *, faulty: bool) -> None:
    """Whichever comes first in the suite."""
    planted.attack("net", "pgd", first(10))
    planted.attack("net", "auto", first(30 if faulty else 13), facts={"iterations": 40})


def stronger_than_another(planted: Planted, *, faulty: bool) -> None:
    planted.attack(
        "net", "auto", first(30 if faulty else 13), backwards=0.5, facts={"iterations": 9}
    )
    planted.attack("net", "pgd", first(10))


def part_of_the_ball(planted: Planted, *, faulty: bool) -> None:
    """An attack that leaves a channel alone is no fault while nothing finds more."""
    reach = {"images": 40, "channels": [1.0, 0.0, 1.0], "places": 1.0, "touched": 900}
    reach |= {"raised": 400, "edge": 0.8, "used": 1.0}
    planted.attack("net", "pgd", first(10), summary={"reach": reach})
    planted.attack("net", "auto", first(30 if faulty else 12))


def weaker_than_reference(planted: Planted, *, faulty: bool) -> None:
    """Of 30 images that are left, the reference fools 20, or two."""
    planted.attack("net", "pgd", first(10))
    fooled = [10 <= i < (30 if faulty else 12) for i in range(IMAGES)]
    planted.reference("net", [not each for each in first(10)], fooled)


def no_better_than_noise(planted: Planted, *, faulty: bool) -> None:
    """What withstands noise withstands the attack, too; a clean attack fools most of it."""
    planted.attack("net", "pgd", first(16 if faulty else 30))
    planted.attack("net", "noise", first(15), backwards=0.0)


def transfer_beats_white_box(planted: Planted, *, faulty: bool) -> None:
    planted.attack("net", "pgd", first(10))
    planted.transfer("other", "net", "pgd", last(30) if faulty else first(13))


def no_gradients(planted: Planted, *, faulty: bool) -> None:
    planted.attack("net", "pgd", first(20))
    lengths: list[float | None] = [1.0] * IMAGES
    lengths[: 8 if faulty else 2] = [0.0, None] * (4 if faulty else 1)
    planted.gradients("net", lengths)


def no_better_than_chance(planted: Planted, *, faulty: bool) -> None:
    planted.evaluate("net", first(20 if faulty else 35))


def few_images(planted: Planted, *, faulty: bool) -> None:
    count = 12 if faulty else 22
    planted.attack("net", "pgd", first(count // 2, count))


def not_averaged(planted: Planted, *, faulty: bool) -> None:
    facts = {"randomised": True, "averaged": not faulty}
    planted.attack("net", "pgd", first(20), facts=facts)


def leaked(planted: Planted, *, faulty: bool) -> None:
    """An image in ``valid`` too selected nothing here; one that is not judged does no harm."""
    splits = ["train" if faulty else "valid", "test"]
    planted.leaks = [
        {"splits": splits, "images": [["train/7", "test/3"]]},
        {"splits": ["train", "test"], "images": [["train/8", "test/999"]]},
    ]
    planted.evaluate("net", first(36))


def nearly_leaked(planted: Planted, *, faulty: bool) -> None:
    splits = ["train" if faulty else "valid", "test"]
    planted.dataset["near_duplicates"] = [
        {"splits": splits, "images": [["train/7", "test/3"]], "looked_at": 40}
    ]
    planted.evaluate("net", first(36))


def counted_twice(planted: Planted, *, faulty: bool) -> None:
    """Three copies among 40 images; copies that are not judged count nowhere."""
    group = [f"test/{i}" for i in range(4)] if faulty else ["test/1", "test/999"]
    planted.dataset["duplicates"] = [group]
    planted.evaluate("net", first(36))


def judged_on_train(planted: Planted, *, faulty: bool) -> None:
    planted.dataset["splits"] = ["train" if faulty else "test"]
    planted.put("load", "net", Result(), facts={"weights": "net7.pt"})
    planted.evaluate("net", first(36))


def sparsity_missed(planted: Planted, *, faulty: bool) -> None:
    """Of 10,000 weights one may be off: half of an odd number of weights is no whole number."""
    found = 0.5002 if faulty else 0.5001
    planted.profile("net", facts={"sparsity_target": 0.5}, sparsity=found, parameters=10_000)


def zeros_come_back(planted: Planted, *, faulty: bool) -> None:
    planted.profile("net", sparsity=0.5, zeros=5000, restored=4000 if faulty else 40)


def changes_nothing(planted: Planted, *, faulty: bool) -> None:
    summary = {"changed": 0 if faulty else 1, "asked": 1, "is_met": False}
    facts = {"step": "1-idle", "weights": "reduced"}
    planted.put("compress", "net", Result(summary=summary), variant="small", facts=facts)
    planted.evaluate("net", first(36), variant="small")


def broken(check: str) -> Callable[..., None]:
    """A model that breaks one part of its contract; it is evaluated."""

    def plant(planted: Planted, *, faulty: bool) -> None:
        planted.contract("net", check if faulty else None)
        planted.evaluate("net", first(36))

    plant.__name__ = f"broken_{check}"
    return plant


PLANTED: dict[str, list[Callable[..., None]]] = {
    "not-logits": [broken("logits")],
    "answers-by-batch": [broken("batch")],
    "answers-by-history": [broken("state")],
    "answers-by-mode": [broken("mode")],
    "numbers-outside-weights": [broken("weights")],
    "gradient-misleads": [broken("gradient")],
    "over-budget": [over_budget],
    "moves-at-zero": [moves_at_zero, turns_at_zero],
    "falls-with-eps": [falls_with_eps],
    "survives-large-eps": [survives_large_eps],
    "out-of-reach": [out_of_reach],
    "fewer-steps": [fewer_steps, never_moved],
    "not-repeatable": [not_repeatable],
    "unconverged": [unconverged],
    "weaker-than-one-step": [weaker_than_one_step],
    "weaker-than-another": [weaker_than_another, stronger_than_another],
    "weaker-than-reference": [weaker_than_reference],
    "part-of-the-ball": [part_of_the_ball],
    "no-better-than-noise": [no_better_than_noise],
    "transfer-beats-white-box": [transfer_beats_white_box],
    "no-gradients": [no_gradients],
    "no-better-than-chance": [no_better_than_chance],
    "few-images": [few_images],
    "not-averaged": [not_averaged],
    "leaked": [leaked],
    "nearly-leaked": [nearly_leaked],
    "counted-twice": [counted_twice],
    "judged-on-train": [judged_on_train],
    "sparsity-missed": [sparsity_missed],
    "zeros-come-back": [zeros_come_back],
    "changes-nothing": [changes_nothing],
}
CASES = [(rule, plant) for rule, plants in PLANTED.items() for plant in plants]


def fired(found: Audit) -> dict[str, list[Finding]]:
    rules: dict[str, list[Finding]] = {}
    for finding in found.findings:
        rules.setdefault(finding.rule, []).append(finding)
    return rules


def test_every_rule_has_a_fault_and_a_twin() -> None:
    assert set(RULES) == set(PLANTED)


@pytest.mark.parametrize(("rule", "plant"), CASES, ids=[plant.__name__ for _, plant in CASES])
def test_a_rule_sees_its_fault_and_no_other_does(
    planted: Planted, rule: str, plant: Callable[..., None]
) -> None:
    plant(planted, faulty=True)
    found = fired(audit(planted.matrix))
    assert list(found) == [rule]
    for finding in found[rule]:
        assert finding.metrics
        assert finding.evidence
        assert set(finding.cells) <= {entry.label for entry in planted.matrix.entries}
        assert finding.p_value is None or finding.p_value < LEVEL
        # a number, and what it is about
        assert any("net" in words for words in (finding.sentence, *finding.cells))
        assert any(character.isdigit() for character in finding.sentence) or rule == "not-averaged"


@pytest.mark.parametrize(("rule", "plant"), CASES, ids=[plant.__name__ for _, plant in CASES])
def test_its_clean_twin_is_looked_at_and_passes(
    planted: Planted, rule: str, plant: Callable[..., None]
) -> None:
    plant(planted, faulty=False)
    found = audit(planted.matrix)
    assert found.findings == ()
    assert found.cases[rule] > 0


# What attacks did


def test_an_attack_that_is_not_repeatable_is_one_finding_on_all_its_cells(
    planted: Planted,
) -> None:
    not_repeatable(planted, faulty=True)
    [finding] = audit(planted.matrix).findings
    assert finding.cells == ("attack net/pgd", "attack twin/pgd")


def test_cells_from_before_passes_were_counted_say_nothing(planted: Planted) -> None:
    planted.attack("net", "pgd", first(20), facts={"iterations": 10})
    found = audit(planted.matrix)
    assert found.cases["fewer-steps"] == 0
    assert "whose passes were counted for each image" in dict(found.gaps)["fewer-steps"]


# The contract of a model


def test_a_broken_contract_concerns_every_figure_of_the_model(planted: Planted) -> None:
    planted.contract("net", "gradient")
    planted.contract("other")
    for model in ("net", "other"):
        planted.evaluate(model, first(36))
        planted.attack(model, "pgd", first(20))
        planted.profile(model, sparsity=0.0, parameters=10)
    planted.transfer("net", "other", "pgd", first(20))
    planted.transfer("other", "net", "pgd", first(20))
    found = audit(planted.matrix)
    [finding] = found.findings
    assert set(finding.cells) == {
        *("evaluate net", "attack net/pgd", "profile net"),
        *("transfer net>other/pgd", "transfer other>net/pgd"),
    }
    assert finding.metrics == set(METRICS)
    entries = {entry.label: entry for entry in planted.matrix.entries}
    assert found.marks([entries["evaluate net"]], METRICS["clean_accuracy"])
    assert found.marks([entries["evaluate other"]], METRICS["clean_accuracy"]) == ""


def test_what_a_model_breaks_is_not_said_again_of_its_variants(planted: Planted) -> None:
    for variant in ("original", "pruned", "coarse"):
        broken = None if variant == "coarse" else "batch"
        planted.contract("net", broken, variant=variant)
        planted.evaluate("net", first(36), variant=variant)
    [finding] = audit(planted.matrix).findings
    assert finding.cells == ("evaluate net", "evaluate net/pruned")
    assert "net is off 3 times (as do net/pruned): " in finding.sentence


def test_variants_that_break_what_their_model_keeps_are_each_a_finding(planted: Planted) -> None:
    planted.contract("net")
    for variant in ("pruned", "coarse"):
        planted.contract("net", "batch", variant=variant)
        planted.evaluate("net", first(36), variant=variant)
    cells = [finding.cells for finding in audit(planted.matrix).findings]
    assert cells == [("evaluate net/pruned",), ("evaluate net/coarse",)]


def test_replicas_that_break_it_are_one_finding_of_their_own_cells(planted: Planted) -> None:
    for seed in (1, 2, 3):
        replica = f"seed{seed}"
        planted.contract("net", None if seed == 3 else "state", replica=replica)
        planted.evaluate("net", first(36), replica=replica)
    [finding] = audit(planted.matrix).findings
    assert finding.cells == ("evaluate net:seed1", "evaluate net:seed2")


def test_a_check_that_could_not_be_carried_out_is_a_gap(planted: Planted) -> None:
    planted.contract("net", "gradient", check="failed", words="raised ValueError: no")
    planted.contract("other", state="failed", reason="out of memory")
    found = audit(planted.matrix)
    assert found.findings == ()
    gaps = {rule: [gap for name, gap in found.gaps if name == rule] for rule, _ in found.gaps}
    lost = "contract other: failed: out of memory"
    assert gaps["gradient-misleads"] == [
        "contract net: gradient: raised ValueError: no",
        lost,
    ]
    assert gaps["not-logits"] == [lost]


def test_leaked_images_are_one_finding_on_all_that_they_judged(planted: Planted) -> None:
    """Other images that were judged are another case."""
    leaked(planted, faulty=True)
    planted.attack("net", "pgd", first(20))
    planted.attack("net", "fgsm", first(20), backwards=1.0)
    planted.evaluate("twin", first(20, 24), start=10)
    [finding] = [f for f in audit(planted.matrix).findings if f.rule == "leaked"]
    assert finding.cells == ("evaluate net", "attack net/pgd", "attack net/fgsm")
    assert "1 of 40 judged images stand in train too: test/3 is train/7" in finding.sentence


def test_a_copy_among_many_is_a_mark(planted: Planted) -> None:
    planted.dataset["duplicates"] = [["test/1", "test/2"]]
    planted.evaluate("net", first(36))
    found = audit(planted.matrix)
    assert found.findings == ()
    [remark] = found.remarks
    assert remark.evidence == {"n": 40, "distinct": 39}


# Attacks of one budget beside each other


def test_a_masked_network_under_pgd_beside_a_stronger_attack(planted: Planted) -> None:
    """PGD leaves 90.8 % of 500 images and AutoAttack 79.4 % of the same: the finding is PGD's."""
    planted.attack("net", "pgd", first(46, 500))
    planted.attack("net", "auto", first(103, 500))
    [finding] = audit(planted.matrix).findings
    assert (finding.rule, finding.cells) == ("weaker-than-another", ("attack net/pgd",))
    assert "net/pgd fools 46 of 500 images, auto at the same budget 103" in finding.sentence


def test_what_is_there_to_be_outdone_carries_a_mark(planted: Planted) -> None:
    """Controls, single steps, blind attacks and those that look for the nearest image."""
    planted.attack("net", "pgd", first(36))
    planted.attack("net", "noise", first(2), backwards=0.0)
    planted.attack("net", "fgsm", first(12), backwards=1.0)
    planted.attack("net", "onestep", first(12), backwards=1.0)
    planted.attack("net", "blind", first(12), backwards=0.0)
    planted.attack("net", "nearest", first(12), facts={"minimum_norm": True})
    found = audit(planted.matrix)
    assert found.findings == ()
    marked = {f.cells[0]: f.sentence for f in found.remarks if f.rule == "weaker-than-another"}
    assert set(marked) == {
        f"attack net/{name}" for name in ("noise", "fgsm", "onestep", "blind", "nearest")
    }
    assert marked["attack net/fgsm"].startswith("one step only: net/fgsm fools 12 of 40")
    assert marked["attack net/onestep"].startswith("one step only: ")


def test_targeted_attacks_and_single_steps_are_distinguished_from_noise_by_marks(
    planted: Planted,
) -> None:
    planted.attack("net", "noise", first(4), backwards=0.0)
    planted.attack("net", "fgsm", first(5), backwards=1.0)
    planted.attack("net", "aimed", first(2), target=1)
    planted.attack("net", "good", first(36), target=1)
    found = audit(planted.matrix)
    assert found.findings == ()
    marked = {f.cells[0]: f.sentence for f in found.remarks}
    assert set(marked) == {"attack net/fgsm", "attack net/aimed"}
    assert marked["attack net/fgsm"].startswith("no better than chance: net/fgsm fools 5 of 40")
    assert "net/aimed reaches its target for 1 of 20 images" in marked["attack net/aimed"]


def test_attacks_of_other_budgets_and_models_are_no_rivals(planted: Planted) -> None:
    planted.attack("net", "pgd", first(10))
    planted.attack("net", "auto", first(36), eps=0.2)
    planted.attack("twin", "auto", first(36))
    planted.attack("net", "far", first(36), norm="l2")
    assert audit(planted.matrix).cases["weaker-than-another"] == 0


def test_several_rivals_cost_their_number(planted: Planted) -> None:
    """Of three others the strongest is chosen after the fact: its p-value counts three times."""
    for name, count in (("pgd", 10), ("one", 10), ("two", 12), ("three", 19)):
        planted.attack("net", name, first(count))
    cases = {c.cells[0]: c for c in RULES["weaker-than-another"].look(Evidence(planted.matrix))}
    assert cases["attack net/pgd"].p_value == pytest.approx(3 * 2**-9)


# Chance


def test_what_chance_explains_is_no_finding(planted: Planted) -> None:
    """Twenty models whose attack, twice as long, is as strong: no difference but chance."""
    generator = np.random.default_rng(0)
    for number in range(20):
        model = f"net{number}"
        strength = generator.uniform(0.1, 0.9)
        for put in (
            lambda f, m=model: planted.attack(m, "pgd", f),
            lambda f, m=model: planted.probe(m, "pgd", "doubled-steps", f, facts={"steps": 20}),
            lambda f, m=model: planted.attack(m, "fgsm", f, backwards=1.0),
        ):
            put(list(generator.random(IMAGES) < strength))
    found = audit(planted.matrix)
    assert found.cases["unconverged"] == found.cases["weaker-than-one-step"] == 20
    assert found.findings == ()


def test_one_difference_among_many_must_be_the_larger(planted: Planted) -> None:
    """Eight images of 40, all one way: p = 1/256, enough alone and not among twenty."""
    planted.attack("net", "pgd", first(10))
    planted.probe("net", "pgd", "doubled-steps", first(18), facts={"steps": 20})
    [single] = audit(planted.matrix).findings
    assert single.p_value == pytest.approx(2**-8)
    assert single.evidence["only_weak"] == 8
    for number in range(19):
        planted.attack(f"net{number}", "pgd", first(10))
        planted.probe(f"net{number}", "pgd", "doubled-steps", first(10), facts={"steps": 20})
    assert audit(planted.matrix).findings == ()


def test_the_cases_of_all_rules_are_one_family(planted: Planted) -> None:
    """What is enough alone is not enough among twenty cases of another rule."""
    planted.attack("net", "pgd", first(10))
    planted.probe("net", "pgd", "doubled-steps", first(18), facts={"steps": 20})
    assert len(audit(planted.matrix).findings) == 1
    for number in range(19):
        planted.attack(f"net{number}", "pgd", first(10))
        planted.attack(f"net{number}", "fgsm", first(10), backwards=1.0)
    assert audit(planted.matrix).findings == ()


def test_a_significant_trifle_is_not_reported(planted: Planted) -> None:
    """Nine images of 400 are significant, and two points."""
    planted.attack("net", "pgd", first(200, 400))
    planted.probe("net", "pgd", "doubled-steps", first(209, 400), facts={"steps": 20})
    rule = RULES["unconverged"]
    [case] = rule.look(Evidence(planted.matrix))
    assert case.p_value is not None
    assert case.p_value < LEVEL
    assert audit(planted.matrix).findings == ()


def test_a_comparison_takes_common_images_only(planted: Planted) -> None:
    """A cheap probe sees some of the images, and is compared on those."""
    planted.attack("net", "pgd", first(20, 100))
    planted.probe("net", "pgd", "doubled-steps", first(20, 32), facts={"steps": 20})
    rule = RULES["unconverged"]
    [case] = rule.look(Evidence(planted.matrix))
    assert (case.figures["n"], case.figures["weak"], case.figures["strong"]) == (32, 20, 20)


def test_a_random_model_may_change_its_mind(planted: Planted) -> None:
    planted.attack("net", "pgd", first(20))
    facts = {"randomised": True, "averaged": True}
    planted.probe("net", "pgd", "eps-0", first(9), eps=0.0, facts=facts)
    assert audit(planted.matrix).findings == ()


def test_an_attack_that_averages_by_itself_is_averaged(planted: Planted) -> None:
    facts = {"randomised": True, "averaged": False, "gradient_samples": 10}
    planted.attack("net", "eotpgd", first(20), facts=facts)
    planted.attack("net", "noise", first(0), facts={"randomised": True}, backwards=0.0)
    assert audit(planted.matrix).findings == ()


def test_a_useful_model_need_not_be_a_good_one(planted: Planted) -> None:
    """28 of 40 is better than 20 (p = 0.008), though not good; so is 20 of 40 in ten classes."""
    planted.evaluate("weak", first(28))
    assert audit(planted.matrix).findings == ()


def test_twelve_images_do_not_show_that_a_model_is_untrained(planted: Planted) -> None:
    planted.evaluate("net", first(6, 12))
    assert "no-better-than-chance" not in fired(audit(planted.matrix))


# What is done without


def test_a_rule_that_could_not_run_says_what_was_missing(planted: Planted) -> None:
    planted.attack("net", "pgd", first(20))
    gaps = dict(audit(planted.matrix).gaps)
    assert gaps["not-averaged"] == "needs an attack on a random classifier"
    assert gaps["unconverged"] == "needs an attack with steps, and its probes"
    planted.document = {"audit": "off"}
    gaps = dict(audit(planted.matrix).gaps)
    assert gaps["unconverged"] == "needs an attack with steps, and its probes: the audit is off"
    assert "over-budget" not in gaps
    planted.probe("net", "pgd", "eps-0", first(0), eps=0.0)
    planted.probe("net", "pgd", "large-eps", first(40), eps=1.0, state="failed", reason="no luck")
    planted.probe("net", "pgd", "doubled-steps", first(20), state="skipped", reason="too dear")
    gaps = audit(planted.matrix).gaps
    assert ("survives-large-eps", "probe net/pgd~large-eps: failed: no luck") in gaps
    assert ("falls-with-eps", "probe net/pgd~large-eps: failed: no luck") in gaps
    assert ("unconverged", "probe net/pgd~doubled-steps: skipped: too dear") in gaps
    assert "moves-at-zero" not in dict(gaps)


def test_nothing_to_look_at_is_no_finding(planted: Planted) -> None:
    found = audit(planted.matrix)
    assert found.findings == ()
    assert found.summary == f"audit: no finding; 0 of {len(RULES)} rules had something to look at"


# What is noted


def test_what_is_noted_is_read_as_it_was(planted: Planted) -> None:
    weak(planted)
    out_of_reach(planted, faulty=True)
    found = audit(planted.matrix)
    assert len(found.findings) > 1
    written = json.loads(json.dumps(noted(found)))
    assert Audit.of(written) == found
    matrix = Matrix(planted.store, {**planted.matrix.run, "audit": written})
    planted.attack("late", "pgd", first(5, 10))  # not there when it was noted
    assert known(matrix) == found
    other = Matrix(planted.store, {**planted.matrix.run, "audit": {**written, "revision": 0}})
    assert len(known(other).findings) > len(found.findings)


# Where findings are printed


def weak(planted: Planted) -> None:
    """An attack that one step outdoes, on one of two models, and a control."""
    planted.evaluate("net", first(40))
    planted.evaluate("twin", first(40))
    for model, fooled in (("net", 10), ("twin", 30)):
        planted.attack(model, "pgd", first(fooled))
        planted.attack(model, "fgsm", first(30), backwards=1.0)


def test_a_finding_stands_on_the_number_that_it_concerns(planted: Planted) -> None:
    weak(planted)
    text = str(tables.build(planted.matrix))
    grid, _, under = text.partition("\n\n")
    assert grid.count("[a]") == 1
    row = next(line for line in grid.splitlines() if line.startswith("| pgd"))
    assert "25.0 % (40) [a]" in row
    assert "75.0 % (40) |" in row
    assert "[a] net/pgd fools 10 of 40 images, a single step 30 (p = " in under
    assert "[a]" in tables.build(planted.matrix).render("latex")
    # how long it took, and what was right before it, are not in doubt
    for metric in ("backwards", "clean_accuracy"):
        assert "[a]" not in str(tables.build(planted.matrix, metric))
    # one weak attack leaves the worst case as it is
    worst = tables.build(planted.matrix, "worst_case_accuracy", rows=["budget"])
    assert "[a]" not in str(worst)


def test_csv_and_json_name_the_rules(planted: Planted) -> None:
    weak(planted)
    table = tables.build(planted.matrix)
    rows = list(csv.DictReader(io.StringIO(table.render("csv"))))
    reported = {(row["attack"], row["model"]): row["findings"] for row in rows}
    assert reported["pgd", "net"] == "weaker-than-one-step"
    assert set(reported.values()) == {"weaker-than-one-step", ""}
    places = json.loads(table.render("json"))["places"]
    assert [place["findings"] for place in places].count("weaker-than-one-step") == 1


def test_several_findings_are_lettered_once_each(planted: Planted) -> None:
    weak(planted)
    few = {"steps": 5, "alpha": 0.001}
    planted.attack("net", "bim", first(10), facts=few)
    text = str(tables.build(planted.matrix))
    assert "25.0 % (40) [b, c]" in text or "25.0 % (40) [a, b]" in text
    grid = text.partition("\n\n")[0]
    under = [line for line in text.splitlines() if line.startswith("[")]
    marks = {mark for mark in "abcdef" if f"[{mark}" in grid or f", {mark}]" in grid}
    assert {line[1] for line in under} == marks
    assert len(under) == len({line.partition("] ")[2] for line in under})


def test_a_finding_on_a_model_stands_on_all_its_numbers(planted: Planted) -> None:
    planted.evaluate("net", first(20))
    planted.attack("net", "pgd", first(20))
    for metric, rows in (("clean_accuracy", ["model"]), ("robust_accuracy", ["attack"])):
        table = tables.build(planted.matrix, metric, rows=rows, columns=[])
        assert "[a]" in str(table), metric
    worst = tables.build(planted.matrix, "worst_case_accuracy", rows=["budget"], columns=[])
    assert "[a]" in str(worst)


def test_letters_go_on_after_z() -> None:
    assert [_letters(place) for place in (0, 25, 26, 51, 52)] == ["a", "z", "aa", "az", "ba"]


def test_probes_are_in_no_table(planted: Planted) -> None:
    planted.attack("net", "pgd", first(20))
    planted.probe("net", "pgd", "large-eps", first(40), eps=1.0)
    matrix = planted.matrix
    assert [entry.kind for entry in matrix.entries] == ["attack"]
    assert [entry.kind for entry in matrix.probes] == ["probe"]
    assert "probe" not in matrix.dimensions
    assert set(matrix.frame()["attack"]) == {"pgd"}
    assert "large-eps" not in str(tables.build(matrix, rows=["attack", "eps"]))


def test_the_page_reports_findings_and_gaps(planted: Planted, tmp_path: Path) -> None:
    weak(planted)
    page = pages.write(planted.matrix, tmp_path / "page").read_text(encoding="utf-8")
    section = page.partition("## Audit\n")[2].partition("\n## ")[0]
    assert "Audit: 1 finding; " in section
    assert "- **weaker-than-one-step**: net/pgd fools 10 of 40 images" in section
    assert "(concerns attack net/pgd)" in section
    assert "- not-averaged: needs an attack on a random classifier" in section
    for rule in RULES.values():
        assert f"| {rule.name} " in section
    assert "[a] net/pgd fools 10 of 40 images" in page  # under the table


def test_figures_without_footnotes_name_the_rule(planted: Planted, tmp_path: Path) -> None:
    planted.evaluate("guessing", first(18))
    planted.evaluate("sound", first(39))
    page = pages.write(planted.matrix, tmp_path / "page").read_text(encoding="utf-8")
    section = page.partition("## Models side by side\n")[2].partition("\n## ")[0]
    row = next(line for line in section.splitlines() if line.startswith("| clean_accuracy"))
    guessing, sound = row.split("|")[2:4]
    assert guessing.strip().endswith("(40) [no-better-than-chance]")
    assert sound.strip().endswith("(40)**")


def test_many_cells_are_not_all_named() -> None:
    cells = tuple(f"attack net/pgd@eps={eps}" for eps in range(7))
    finding = Finding("rule", cells, frozenset(), "words", {}, None)
    text = markdown.render(audits.found(Audit((finding,), {"rule": 7}, ())))
    assert "pgd@eps=3 and 3 more" in text


def test_cases_without_chance_are_not_corrected(planted: Planted) -> None:
    """A certain case beside a tested one leaves its p-value as it is."""

    class Certain(Rule):
        name = "certain"
        concerns = frozenset()

        def look(self, _: Evidence) -> list[Case]:
            usual = {"cells": (), "figures": {}, "is_material": True}
            return [
                Case(sentence="certain", p_value=None, **usual),
                Case(sentence="tested", p_value=0.009, **usual),
            ]

    found = audit(planted.matrix, [Certain()]).findings
    assert [finding.sentence for finding in found] == ["certain", "tested (p = 0.009)"]


@pytest.mark.parametrize("right", [92, 86, 100])
def test_honest_models_are_better_than_chance_on_uneven_classes(
    right: int, planted: Planted
) -> None:
    """Of 100 images 85 are of one class: 20 points above that is more than all."""
    from bench.records import EvaluateRecord, Result

    labels = [0] * 85 + [1] * 15
    records = [
        EvaluateRecord(f"test/{i}", label, label if i < right else 1 - label, 0.75)
        for i, label in enumerate(labels)
    ]
    planted.put("evaluate", "net", Result(records=records, summary={"images": 100}))
    assert not [f for f in audit(planted.matrix).findings if f.rule == "no-better-than-chance"]


def test_a_model_that_always_says_the_same_is_reported_on_uneven_classes(planted: Planted) -> None:
    from bench.records import EvaluateRecord, Result

    records = [EvaluateRecord(f"test/{i}", int(i >= 350), 0, 0.75) for i in range(400)]
    planted.put("evaluate", "net", Result(records=records, summary={"images": 400}))
    found = [f.rule for f in audit(planted.matrix).findings]
    assert found == ["no-better-than-chance"]


def test_points_at_eps_1_are_part_of_their_chain(planted: Planted) -> None:
    """``True == 1``: facts that are switches are no eps."""
    facts = {"random_start": True}
    planted.attack("net", "pgd@eps=0.5", first(30), eps=0.5, norm="l2", facts=facts)
    planted.attack("net", "pgd@eps=1", first(10), eps=1.0, norm="l2", facts=facts)
    [finding] = audit(planted.matrix).findings
    assert finding.rule == "falls-with-eps"
