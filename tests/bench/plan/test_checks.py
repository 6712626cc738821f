"""What a suite is refused for before any cell runs, and what its plan prints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bench.errors import SuiteError
from bench.plan import Plan, checks

RECIPE = {"epochs": 1, "batch_size": 16, "lr": 0.01}


def problems(plan_of: Callable[..., Plan], **sections: Any) -> list[str]:
    with pytest.raises(SuiteError) as error:
        plan_of(**sections)
    return [str(problem) for problem in error.value.problems]


# Refused


def test_targets_must_be_classes_and_all_that_are_not_are_named(plan_of) -> None:
    attacks = {
        "low": {"plugin": "fgsm", "eps": 0.1, "target": 0},
        "high": {"plugin": "fgsm", "eps": 0.1, "target": 2},
        "too-high": {"plugin": "fgsm", "eps": 0.1, "target": 3},
        "swept": {"plugin": "fgsm", "target": 4, "grid": {"eps": [0.1, 0.2]}},
    }
    first, second = problems(plan_of, attacks=attacks)
    assert "attacks.too-high.target: got 3, expected the index of a class, 0 to 2" in first
    assert "attacks.swept.target: got 4" in second  # once, not once for each point of the grid


def test_images_that_a_model_learns_from_judge_nothing(plan_of) -> None:
    images = {"from": ["train", "test"]}
    (problem,) = problems(plan_of, images=images)
    assert "images.from: holds 'train', from which 'linear' learns" in problem
    # folds are what makes it right: each image is judged by a training that did not see it
    folded = plan_of(images=images, models={"linear": {"train": {**RECIPE}, "folds": 3}})
    assert folded.steps


def test_images_that_selected_a_model_judge_nothing(plan_of) -> None:
    patient = {"linear": {"train": {**RECIPE, "patience": 1}}}
    images = {"from": ["valid"]}
    (problem,) = problems(plan_of, dataset="twins", images=images, models=patient)
    assert "images.from: holds 'valid', on which the training of 'linear' is stopped" in problem
    assert plan_of(dataset="twins", images=images).steps  # without patience it selects nothing


# Printed


def test_a_plan_without_anything_to_say_says_nothing(plan_of) -> None:
    assert plan_of().notes == ()


def test_fewer_images_than_asked_for_are_counted(plan_of) -> None:
    (note,) = plan_of(images={"count": 31}).notes
    assert note == "30 images instead of 31: test of blobs has no more"
    assert plan_of(images={"count": 30}).notes == ()


@pytest.mark.parametrize(
    ("names", "listed"),
    [
        (range(11), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10"),
        (range(30), "0, 1, 2, ..., 29"),
        (range(10), None),  # one digit each: both orders are one
        (["1", "10", "b"], None),
    ],
    ids=str,
)
def test_an_order_of_classes_that_is_not_that_of_their_names_is_printed(
    plan_of, tmp_path: Path, names: Any, listed: str | None
) -> None:
    for split in ("train", "test"):
        for place, name in enumerate(names):
            folder = tmp_path / "images" / split / str(name)
            folder.mkdir(parents=True)
            Image.new("RGB", (8, 8), (place, split == "train", 0)).save(folder / "0.png")
    dataset = {"plugin": "image_folder", "root": str(tmp_path / "images"), "size": 8}
    notes = plan_of(dataset=dataset, images={"count": len(names)}).notes
    expected = (
        "the classes of image_folder are in the order of their numbers, not in that of their "
        f"names as text: {listed}"
    )
    assert notes == (() if listed is None else (expected,))


def test_explanations_that_nothing_is_compared_with_are_named(plan_of) -> None:
    made = plan_of(
        models={"linear": {"train": RECIPE, "variants": ["smooth"]}},
        variants={"smooth": [{"gaussian_smoothing": {"sigma": 0.5}}]},
        explainers={"brightness": {}},
        explain_variants=True,
    )
    assert made.notes == (
        "explain_variants compares with the original, which is not part of this run",
    )


def test_checks_speak_of_the_data_they_are_given(plan_of) -> None:
    made = plan_of(attacks={"fgsm": {"eps": 0.1, "target": 2}})
    fewer = replace(made.data, classes=("north", "east"))
    with pytest.raises(SuiteError, match="0 to 1"):
        checks.check(made.suite, fewer)
