"""Who is judged, on which images, and where each one's weights come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import save_file

from bench.errors import SuiteError, WeightsError
from bench.plan import Plan

RECIPE = {"epochs": 1, "batch_size": 16, "lr": 0.01}


def cells(made: Plan, kind: str) -> dict[str, Any]:
    return {str(s.cell.coordinates): s.cell for s in made.steps if s.cell.kind == kind}


def lineage(cell: Any) -> list[str]:
    """The kinds of the cells that bring a classifier, the first first."""
    weights = cell.parents["classifier"].cell
    found = [weights.kind]
    while "start" in weights.parents:
        weights = weights.parents["start"].cell
        found.insert(0, weights.kind)
    return found


def test_a_model_with_a_recipe_is_trained_and_one_with_a_file_is_loaded(
    plan_of, tmp_path: Path
) -> None:
    import numpy as np

    file = tmp_path / "linear.safetensors"
    save_file({"any": np.zeros(1, np.float32)}, str(file))
    models = {
        "fresh": {"plugin": "linear", "train": RECIPE},
        "brought": {"plugin": "linear", "weights": str(file)},
    }
    made = plan_of(models=models)
    assert set(cells(made, "train")) == {"fresh"}
    assert set(cells(made, "load")) == {"brought"}


def test_weights_that_are_not_there_have_no_substitute(plan_of) -> None:
    models = {"brought": {"plugin": "linear", "weights": "nowhere.safetensors"}}
    with pytest.raises(WeightsError, match=r"no such file: 'nowhere\.safetensors'"):
        plan_of(models=models)


def test_patience_needs_images_to_select_on(plan_of) -> None:
    models = {"linear": {"train": {**RECIPE, "patience": 1}}}
    with pytest.raises(SuiteError, match="needs the split 'valid', which blobs does not have"):
        plan_of(models=models)
    made = plan_of(models=models, dataset="twins")
    (trained,) = cells(made, "train").values()
    assert {name.partition("/")[0] for name in trained.held_out.names} == {"valid"}


def test_every_seed_and_fold_is_a_training_of_its_own(plan_of) -> None:
    made = plan_of(models={"linear": {"train": RECIPE, "seeds": [1, 2], "folds": 3}})
    trained = cells(made, "train")
    assert set(trained) == {
        f"linear:seed{seed}-fold{fold}of3" for seed in (1, 2) for fold in (1, 2, 3)
    }
    judged = cells(made, "evaluate")
    for name, cell in judged.items():
        # what it is judged on is exactly what it did not learn from
        learned = set(trained[name].images.names)
        assert learned.isdisjoint(cell.images.names)
        assert learned | set(cell.images.names) == set(made.data.split("train").names)
        assert cell.facts["split"] == "folds of train"
    # folds are the same images for each seed, so that seeds can be compared on them
    for fold in (1, 2, 3):
        one, other = (judged[f"linear:seed{seed}-fold{fold}of3"] for seed in (1, 2))
        assert one.images.names == other.images.names
    assert {cell.seed for cell in trained.values()} == {1, 2}


def test_a_model_without_seeds_is_trained_by_the_suite_s(plan_of) -> None:
    (trained,) = cells(plan_of(seed=11), "train").values()
    assert (trained.seed, trained.coordinates.replica) == (11, None)
    own = {"linear": {"train": {**RECIPE, "seed": 5}}}
    (trained,) = cells(plan_of(seed=11, models=own), "train").values()
    assert trained.seed == 5


def test_steps_follow_one_another_and_shields_come_last_whatever_their_order(plan_of) -> None:
    variants = {
        "original": [],
        "pruned": [{"magnitude": {"sparsity": 0.5}}, {"fine_tune": {"epochs": 1}}],
        "both": ["jpeg", {"magnitude": {"sparsity": 0.5}}],
        "shielded": ["jpeg"],
    }
    made = plan_of(variants=variants)
    judged = cells(made, "evaluate")
    found = {name: lineage(cell) for name, cell in judged.items()}
    assert found == {
        "linear": ["train"],
        "linear/pruned": ["train", "compress", "train"],
        "linear/both": ["train", "compress"],
        "linear/shielded": ["train"],
    }
    shields = {name: len(cell.subject.shields) for name, cell in judged.items()}
    assert shields == {"linear": 0, "linear/pruned": 0, "linear/both": 1, "linear/shielded": 1}
    # a shield alone changes no weights: the very training of the original
    assert judged["linear/shielded"].subject.weights == judged["linear"].subject.weights


def test_accuracy_before_is_that_of_the_reduced_network(plan_of) -> None:
    variants = {
        "original": [],
        "tuned": [{"fine_tune": {"epochs": 1}}],
        "pruned": [{"magnitude": {"sparsity": 0.5}}, {"fine_tune": {"epochs": 1}}],
    }
    interim = cells(plan_of(variants=variants), "interim")
    assert set(interim) == {"linear/pruned"}  # without a reduction, nothing was lost before
    assert lineage(interim["linear/pruned"]) == ["train", "compress"]


def test_an_ensemble_asks_members_of_the_same_training(plan_of) -> None:
    made = plan_of(
        models={name: {"train": RECIPE, "seeds": [1, 2]} for name in ("linear", "gaudy")},
        variants={
            "original": [],
            "joined": [{"ensemble": {"of": ["linear/original", "gaudy/original"]}}],
        },
    )
    for name, cell in cells(made, "evaluate").items():
        if not name.endswith("/joined"):
            continue
        replicas = {member.weights.coordinates.replica for _, member in cell.subject.members}
        assert replicas == {cell.coordinates.replica}
        assert len(cell.subject.members) == 2


def test_a_member_that_is_not_part_of_the_run_is_named(plan_of) -> None:
    joined = [{"ensemble": {"of": ["linear/original", "gaudy/original"]}}]
    with pytest.raises(SuiteError, match=r"asks 'gaudy/original', which is not part of this run"):
        plan_of(
            models={name: {"train": RECIPE} for name in ("linear", "gaudy")},
            variants={"original": [], "joined": joined},
            run={"models": ["linear"], "device": "cpu"},
        )


def test_a_run_without_any_variant_is_refused(plan_of) -> None:
    models = {"linear": {"train": RECIPE, "variants": ["original"]}}
    variants = {"original": [], "shielded": ["jpeg"]}
    with pytest.raises(SuiteError, match="names no variant that any model of this run has"):
        plan_of(models=models, variants=variants, run={"variants": ["shielded"], "device": "cpu"})


def test_what_is_drawn_is_part_of_what_is_judged(plan_of) -> None:
    made = plan_of(images={"count": 10}, attacks={"identity": {"eps": 0.1}})
    (evaluated,) = cells(made, "evaluate").values()
    (attacked,) = cells(made, "attack").values()
    assert (len(evaluated.images), len(attacked.images)) == (30, 10)
    assert set(attacked.images.names) < set(evaluated.images.names)


def test_transfer_pairs_replicas_with_their_like(plan_of) -> None:
    made = plan_of(
        models={
            "linear": {"train": RECIPE, "seeds": [1, 2]},
            "gaudy": {"train": RECIPE, "seeds": [1, 2]},
        },
        attacks={"identity": {"eps": 0.1}},
        transfer={"from": ["linear"], "to": ["gaudy"]},
    )
    moved = cells(made, "transfer")
    assert {(c.coordinates.source, c.coordinates.replica) for c in moved.values()} == {
        ("linear/original", "seed1"),
        ("linear/original", "seed2"),
    }
    for cell in moved.values():
        assert cell.attack.coordinates.replica == cell.coordinates.replica
