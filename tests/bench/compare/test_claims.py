"""Claims against planted effects, each with a twin in which nothing was planted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planted import Planted

from bench import statistics
from bench.audit.evidence import Evidence
from bench.compare.claim_tests import ClaimTest, Compared, Part, claim_tests
from bench.compare.claims import CLAIMS, PRUNING
from bench.report import findings, markdown
from bench.statistics import Difference, Estimate

IMAGES = 100
SEEDS = ("seed1", "seed2", "seed3")
NAMES = [claim.name for claim in CLAIMS]


def with_slow(names: list[str]) -> list[Any]:
    """All names, of which the first two are tried by the fast tests."""
    return [*names[:2], *(pytest.param(name, marks=pytest.mark.slow) for name in names[2:])]


PGD, HARDER, ROBUST, UNTARGETED, FROM_LARGER, EPS = NAMES

Effect = Callable[[Mapping[str, Any]], bool]

EFFECTS: dict[str, Effect] = {
    PGD: lambda cell: cell["kind"] == "attack" and cell["plugin"] == "pgd",
    HARDER: lambda cell: cell["kind"] == "attack" and cell["target"] is None,
    ROBUST: lambda cell: cell["kind"] == "attack" and cell["model"] == "small",
    UNTARGETED: lambda cell: cell["kind"] == "transfer" and cell["target"] is None,
    FROM_LARGER: lambda cell: cell["kind"] == "transfer" and cell["model"] == "small",
    EPS: lambda cell: cell["kind"] == "transfer" and cell["eps"] == 8 / 255,
}
"""The cells of which more images are fooled where a claim is planted: its first side's only."""


DECLARED: Mapping[str, Mapping[str, Any]] = {
    "fgsm": {"single_step": True, "iterations": 1, "step_size": None, "control": False},
    "pgd": {"single_step": False, "iterations": 10, "step_size": 0.01, "control": False},
}


def none(cell: Mapping[str, Any]) -> bool:
    return False


def attack(plugin: str, target: int | None, eps: float) -> str:
    return f"{plugin}{'' if target is None else f'-to-{target}'}@eps={eps:.6g}"


def plant(folder: Path, effect: Effect, points: float = 0.25) -> Planted:
    """Two models, three seeds, attacks that differ in one property each; 45 % of images are fooled.

    Where there is an effect, ``points`` more. Images differ in how easily they are fooled.
    """
    planted = Planted(folder)
    generator = np.random.default_rng(5)
    ease = generator.random(IMAGES)
    for model, count in {"small": 10, "large": 1000}.items():
        planted.profile(model, parameters=count)
    cells = [
        {"plugin": plugin, "target": target, "eps": levels / 255}
        for plugin, target, levels in (
            ("fgsm", None, 4),
            ("fgsm", None, 8),
            ("fgsm", 1, 8),
            ("pgd", None, 8),
        )
    ]

    def fooled(cell: Mapping[str, Any], kind: str, model: str) -> list[bool]:
        more = points * effect({**cell, "kind": kind, "model": model})
        return list(ease + generator.normal(0, 0.1, IMAGES) < 0.45 + more)

    for seed in SEEDS:
        for model, other in (("small", "large"), ("large", "small")):
            for cell in cells:
                name = attack(**cell)
                hits = fooled(cell, "attack", model)
                facts = {"plugin": cell["plugin"], **DECLARED[cell["plugin"]]}
                reported = {"facts": facts, "replica": seed}
                planted.attack(
                    model, name, hits, eps=cell["eps"], target=cell["target"], **reported
                )
                planted.transfer(model, other, name, fooled(cell, "transfer", other), replica=seed)
    return planted


PGD_CELL = attack("pgd", None, 8 / 255)


def reported(planted: Planted) -> dict[str, ClaimTest]:
    return {answer.claim.name: answer for answer in claim_tests(planted.matrix)}


def test_where_nothing_was_planted_no_claim_is_decided(tmp_path: Path) -> None:
    found = reported(plant(tmp_path, none))
    assert {name: answer.conclusion for name, answer in found.items()} == dict.fromkeys(
        NAMES, "undecided"
    )
    assert {answer.reason for answer in found.values()} == {"chance may explain it"}


@pytest.mark.parametrize("name", with_slow(NAMES))
def test_what_was_planted_holds_and_nothing_else(name: str, tmp_path: Path) -> None:
    found = reported(plant(tmp_path, EFFECTS[name]))
    assert {n: a.conclusion for n, a in found.items() if a.conclusion != "undecided"} == {
        name: "holds"
    }
    whole = found[name].whole
    assert whole.agreeing == whole.seeds == 3
    assert 0.15 < whole.difference.value < 0.35  # 0.25 were planted; noise of 0.1 blurs it
    assert whole.difference.low < whole.difference.value < whole.difference.high
    assert whole.first.value - whole.second.value == pytest.approx(whole.difference.value)


@pytest.mark.parametrize("name", [PGD, FROM_LARGER])
def test_the_opposite_is_reported_as_such(name: str, tmp_path: Path) -> None:
    found = reported(plant(tmp_path, EFFECTS[name], points=-0.25))[name]
    assert (found.conclusion, found.whole.opposing, found.reason) == ("does not hold", 3, "")


def test_parts_are_pairs_that_differ_in_one_property(tmp_path: Path) -> None:
    found = reported(plant(tmp_path, none))
    both = ("small to large", "large to small")
    models = ("small", "large")
    attacks = [("fgsm", "4/255"), ("fgsm", "8/255"), ("pgd", "8/255")]
    assert {name: set(answer.parts) for name, answer in found.items()} == {
        PGD: {Part(model, "pgd against fgsm", "8/255") for model in models},
        HARDER: {Part(model, "fgsm", "8/255") for model in models},
        ROBUST: {Part("small against large", *each) for each in attacks},
        UNTARGETED: {Part(where, "fgsm", "8/255") for where in both},
        FROM_LARGER: {Part("large to small against small to large", *each) for each in attacks},
        EPS: {Part(where, "fgsm", "8/255 against 4/255") for where in both},
    }


STEPS = {"single_step": False, "iterations": 10, "step_size": 0.01, "control": False}


@pytest.mark.parametrize(
    ("facts", "paired"),
    [
        (STEPS, True),
        ({**STEPS, "iterations": 1}, False),
        ({**STEPS, "step_size": None}, False),  # it queries or searches
        ({**STEPS, "control": True}, False),
        ({**STEPS, "norm": "l2"}, False),
        ({}, False),
    ],
)
def test_several_steps_are_what_attacks_declare_not_what_they_are_called(
    facts: Mapping[str, Any], paired: bool, tmp_path: Path
) -> None:
    planted = Planted(tmp_path)
    one = {"plugin": "dash", "single_step": True, "iterations": 1, "control": False}
    planted.attack("net", "one", [True] * 4, facts=one)
    planted.attack("net", "many", [True] * 4, facts={"plugin": "walk", **facts})
    [claim] = [claim for claim in CLAIMS if claim.name == PGD]
    pairs = list(claim.pairs(Evidence(planted.matrix)))
    assert [[e.coordinates.attack for e in pair] for pair in pairs] == [["many", "one"]] * paired


def test_shares_are_those_counted_by_hand_and_n_is_the_images_that_count(tmp_path: Path) -> None:
    planted = plant(tmp_path, EFFECTS[HARDER])
    found = reported(planted)[HARDER]
    part = found.parts[Part("small", "fgsm", "8/255")]
    shares = []
    for name in (attack("fgsm", None, 8 / 255), attack("fgsm", 1, 8 / 255)):
        cells = [
            entry
            for entry in planted.matrix.entries
            if (entry.kind, entry.coordinates.model, entry.coordinates.attack)
            == ("attack", "small", name)
        ]
        assert len(cells) == 3
        even = [
            planted.matrix.records(cell).query("label == 0") for cell in cells
        ]  # not the target
        shares.append(np.mean([(r["prediction"] != r["label"]).mean() for r in even]))
    assert (part.first.value, part.second.value) == pytest.approx(tuple(shares))
    assert (part.first.n, part.first.trainings) == (IMAGES / 2, 3)
    means = np.mean([each.difference.value for each in found.parts.values()])
    assert found.whole.difference.value == pytest.approx(means)


@pytest.mark.slow
def test_claims_are_one_family_and_the_parts_of_a_claim_another(tmp_path: Path) -> None:
    matrix = plant(tmp_path, EFFECTS[EPS]).matrix
    each = [claim_tests(matrix, [claim])[0].whole.p_value for claim in CLAIMS]
    together = [answer.whole.p_value for answer in claim_tests(matrix)]
    assert together == statistics.holm(each) != each
    parts = claim_tests(matrix)[NAMES.index(EPS)].parts.values()
    assert min(part.p_value for part in parts) >= 2 * 2 / 2001  # two parts; see statistics.within


def test_more_than_one_training_is_needed(tmp_path: Path) -> None:
    planted = plant(tmp_path, EFFECTS[PGD])
    planted.cells = [c for c in planted.cells if c["coordinates"]["replica"] in (None, "seed1")]
    found = reported(planted)[PGD]
    assert found.whole.p_value < 0.05
    assert (found.conclusion, found.reason) == (
        "undecided",
        "only one training",
    )


def test_without_sizes_no_model_is_the_larger(tmp_path: Path) -> None:
    planted = plant(tmp_path, EFFECTS[ROBUST])
    planted.cells = [cell for cell in planted.cells if cell["kind"] != "profile"]
    found = reported(planted)
    for name in (ROBUST, FROM_LARGER):
        assert (found[name].whole, found[name].reason) == (None, "nothing to compare")


@pytest.mark.parametrize("fault", ["failed", "violation"])
def test_a_part_that_lacks_a_verdict_in_one_seed_is_left_out_and_named(
    fault: str, tmp_path: Path
) -> None:
    planted = plant(tmp_path, EFFECTS[PGD])
    [cell] = [c for c in planted.cells if c["label"] == f"attack small:seed2/{PGD_CELL}"]
    if fault == "failed":
        cell["state"] = "failed"
    else:
        hits = [True] * IMAGES
        planted.attack(
            "small",
            PGD_CELL,
            hits,
            eps=8 / 255,
            replica="seed2",
            broken={3: "leaves [0, 1]"},
        )
        planted.cells.remove(cell)
    found = reported(planted)[PGD]
    spoiled = Part("small", "pgd against fgsm", "8/255")
    assert found.left_out == (spoiled,)
    assert len(found.parts) == 1
    assert spoiled not in found.parts
    page = markdown.render(findings.section([found]))
    assert "Left out" in page
    assert "small, pgd against fgsm, 8/255" in page


SURE = Compared(
    Estimate(0.6, 0.5, 0.7, 100, 3),
    Estimate(0.4, 0.3, 0.5, 100, 3),
    Difference(0.2, 0.1, 0.3, 100, 0.001),
    p_value=0.01,
    agreeing=3,
    opposing=0,
    seeds=3,
)
OPPOSITE = replace(SURE, agreeing=0, opposing=3)


def answer(whole: Compared | None, *parts: Compared) -> ClaimTest:
    named = {Part(f"model{i}", "pgd", "4/255"): part for i, part in enumerate(parts)}
    return ClaimTest(CLAIMS[0], whole, named, ())


def test_a_conclusion_needs_significance_and_every_seed_and_no_part_against_it() -> None:
    assert answer(SURE, SURE).conclusion == "holds"
    assert answer(OPPOSITE, SURE, OPPOSITE).reason == "a part supports the opposite"
    unsure = replace(SURE, p_value=0.06)
    assert (answer(unsure).conclusion, answer(unsure).reason) == (
        "undecided",
        "chance may explain it",
    )
    for split in (replace(SURE, agreeing=2, opposing=1), replace(SURE, agreeing=2)):
        assert (answer(split).conclusion, answer(split).reason) == (
            "undecided",
            "seeds disagree",
        )
    mixed = answer(SURE, SURE, OPPOSITE, SURE)
    assert (mixed.conclusion, mixed.reason) == ("undecided", "a part supports the opposite")
    assert "The opposite holds for model1, pgd, 4/255." in markdown.render(
        findings.section([mixed])
    )


def test_the_page_says_each_conclusion_and_tests_only_what_it_can(tmp_path: Path) -> None:
    planted = plant(tmp_path, EFFECTS[UNTARGETED])
    planted.cells = [cell for cell in planted.cells if cell["kind"] != "profile"]
    found = claim_tests(planted.matrix)
    page = markdown.render(findings.section(found))
    rows = [line for line in page.partition("\n\n")[0].splitlines() if line.startswith("|")][2:]
    assert [row.split("|")[1].strip() for row in rows] == NAMES
    conclusions = [row.split("|")[-2].strip() for row in rows]
    assert conclusions == [
        "**undecided**: chance may explain it",
        "**undecided**: chance may explain it",
        "**undecided**: nothing to compare",
        "**holds**",
        "**undecided**: nothing to compare",
        "**undecided**: chance may explain it",
    ]
    assert "corrected over the 4 claims that could be tested" in page


PRUNED_NAMES = [claim.name for claim in PRUNING]
HALF, EASIER, CLOSER = PRUNED_NAMES
SPARSITIES = {"original": 0.0, "pruned-20%": 0.2, "pruned-50%": 0.5}

PRUNED_EFFECTS: dict[str, Effect] = {
    HALF: lambda cell: cell["kind"] == "evaluate" and cell["variant"] == "pruned-50%",
    EASIER: lambda cell: cell["kind"] == "attack" and cell["variant"] != "original",
    CLOSER: lambda cell: cell["kind"] == "transfer" and cell["variant"] != "original",
}
"""Of which cells more images are fooled, or right, where a claim on pruning is planted."""


def plant_pruned(folder: Path, effect: Effect, points: float = 0.25) -> Planted:
    """Two models in three variants, three seeds, one attack; images of originals judged on all."""
    planted = Planted(folder)
    generator = np.random.default_rng(5)
    ease = generator.random(IMAGES)

    def hits(kind: str, variant: str) -> list[bool]:
        more = points * effect({"kind": kind, "variant": variant})
        return list(ease + generator.normal(0, 0.1, IMAGES) < 0.45 + more)

    for model in ("small", "large"):
        for variant, sparsity in SPARSITIES.items():
            planted.profile(model, variant=variant, parameters=10, sparsity=sparsity)
    for seed in SEEDS:
        for model, other in (("small", "large"), ("large", "small")):
            for variant in SPARSITIES:
                reported = {"variant": variant, "replica": seed}
                planted.evaluate(model, hits("evaluate", variant), **reported)
                planted.attack(model, PGD_CELL, hits("attack", variant), eps=8 / 255, **reported)
            planted.transfer(model, other, PGD_CELL, hits("transfer", "original"), replica=seed)
            for variant in ("pruned-20%", "pruned-50%"):
                fooled_images = hits("transfer", variant)
                reported = {"variant": variant, "replica": seed}
                planted.transfer(model, model, PGD_CELL, fooled_images, **reported)
    return planted


def reported_of_pruning(planted: Planted) -> dict[str, ClaimTest]:
    return {answer.claim.name: answer for answer in claim_tests(planted.matrix, PRUNING)}


def test_where_nothing_was_planted_no_claim_on_pruning_is_decided(tmp_path: Path) -> None:
    found = reported_of_pruning(plant_pruned(tmp_path, none))
    assert {(answer.conclusion, answer.reason) for answer in found.values()} == {
        ("undecided", "chance may explain it")
    }


@pytest.mark.parametrize("name", with_slow(PRUNED_NAMES))
def test_what_was_planted_of_pruning_holds_and_nothing_else(name: str, tmp_path: Path) -> None:
    found = reported_of_pruning(plant_pruned(tmp_path, PRUNED_EFFECTS[name]))
    assert {n: a.conclusion for n, a in found.items() if a.conclusion != "undecided"} == {
        name: "holds"
    }
    assert 0.15 < found[name].whole.difference.value < 0.35  # 0.25 were planted, less the noise


@pytest.mark.parametrize("name", with_slow(PRUNED_NAMES))
def test_the_opposite_is_reported_of_pruning_as_such(name: str, tmp_path: Path) -> None:
    found = reported_of_pruning(plant_pruned(tmp_path, PRUNED_EFFECTS[name], points=-0.25))[name]
    assert (found.conclusion, found.whole.opposing) == ("does not hold", 3)


def test_claims_on_pruning_pair_variants_of_the_same_training(tmp_path: Path) -> None:
    found = reported_of_pruning(plant_pruned(tmp_path, none))
    models, pruned = ("small", "large"), ("pruned-20%", "pruned-50%")
    assert {name: {part.where for part in answer.parts} for name, answer in found.items()} == {
        HALF: {f"{model}/pruned-50% against {model}/pruned-20%" for model in models},
        EASIER: {f"{model}/{variant} against {model}" for model in models for variant in pruned},
        CLOSER: {
            f"{model} to {model}/{variant} against {model} to {other}"
            for model, other in (("small", "large"), ("large", "small"))
            for variant in pruned
        },
    }


def test_how_sparse_a_variant_is_is_measured_and_not_read_off_its_name(tmp_path: Path) -> None:
    planted = plant_pruned(tmp_path, PRUNED_EFFECTS[EASIER])
    planted.cells = [cell for cell in planted.cells if cell["kind"] != "profile"]
    for variant in SPARSITIES:
        for model in ("small", "large"):
            planted.profile(model, variant=variant, parameters=10, sparsity=0.0)
    found = reported_of_pruning(planted)
    assert {answer.reason for answer in found.values()} == {"nothing to compare"}


def test_folds_are_one_training(tmp_path: Path) -> None:
    """They share most of what they were trained on: three of them are no three seeds."""
    planted = plant(tmp_path, EFFECTS[PGD])
    for cell in planted.cells:
        replica = cell["coordinates"]["replica"]
        if replica is not None:
            cell["coordinates"]["replica"] = f"fold{replica.removeprefix('seed')}of3"
    found = reported(planted)[PGD]
    assert (found.whole.seeds, found.reason) == (1, "only one training")


def test_variants_that_were_made_otherwise_are_not_compared(tmp_path: Path) -> None:
    planted = plant_pruned(tmp_path, none)
    magnitude = [{"magnitude": {"sparsity": 0.2}}, "fine_tune"]
    for steps, count in ((magnitude, 2), ([{"n_m": {"n": 2, "m": 4}}, "fine_tune"], 0)):
        planted.document = {"variants": {"pruned-20%": magnitude, "pruned-50%": steps}}
        assert len(reported_of_pruning(planted)[HALF].parts) == count
