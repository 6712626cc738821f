"""Lengths and normalisations of pixels from 0 to 255 are refused before any cell runs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from bench.errors import BenchError, SuiteError
from bench.plan import Plan, scales

SHAPE = (3, 8, 8)  # of 'blobs'
PIXELS, VALUES = 64, 192


def problems(plan_of: Callable[..., Plan], **sections: Any) -> list[str]:
    with pytest.raises(SuiteError) as error:
        plan_of(**sections)
    for problem in error.value.problems:
        assert problem.where
        assert problem.expected
        assert problem.action
    return [str(problem) for problem in error.value.problems]


@pytest.mark.parametrize(
    ("norm", "radius"),
    [("linf", 1.0), ("l2", math.sqrt(VALUES)), ("l1", VALUES), ("l0", PIXELS)],
)
def test_the_largest_radius_is_the_distance_of_black_and_white(norm: Any, radius: float) -> None:
    import torch

    from bench import norms

    white = torch.ones(1, *SHAPE)
    assert scales.largest(norm, SHAPE) == pytest.approx(float(norms.measure(norm, white)))
    assert scales.largest(norm, SHAPE) == pytest.approx(radius)


def test_data_of_the_tests_has_that_shape(plan_of) -> None:
    assert plan_of().data.image_shape == SHAPE


@pytest.mark.parametrize(
    ("attack", "words"),
    [
        ({"plugin": "fgsm", "eps": 8}, ["attacks.a.eps: got 8", "write 8/255"]),
        ({"plugin": "pgd", "eps": 0.1, "alpha": 2}, ["attacks.a.alpha: got 2", "write 2/255"]),
        ({"plugin": "pgdl2", "eps": 128}, ["attacks.a.eps: got 128", "13.85", "write 128/255"]),
        (
            {"plugin": "pgdl2", "eps": 1, "alpha": 64},
            ["attacks.a.alpha: got 64", "13.85", "write 64/255"],
        ),
        (
            {"plugin": "pgdl2", "grid": {"eps": [1, 64]}},
            ["attacks.a.grid.eps: got 64", "write 64/255"],
        ),
        ({"plugin": "autoattack", "eps": 8}, ["attacks.a.eps: got 8", "write 8/255"]),
        (
            {"plugin": "autoattack", "norm": "l2", "eps": 128},
            ["attacks.a.eps: got 128", "write 128/255"],
        ),
        (
            {"plugin": "cw", "budget": {"norm": "l2", "eps": 128}},
            ["attacks.a.budget.eps: got 128", "write 128/255"],
        ),
        (
            {"plugin": "eadl1", "budget": {"norm": "l1", "eps": 2000}},
            ["attacks.a.budget.eps: got 2000", "at most 192", "write 2000/255"],
        ),
        (
            {"plugin": "jsma", "budget": {"norm": "l0", "eps": 100}},
            ["attacks.a.budget.eps: got 100", "at most 64", "l0 counts pixels"],
        ),
    ],
)
def test_lengths_of_another_scale_are_refused(plan_of, attack: Any, words: list[str]) -> None:
    (problem,) = problems(plan_of, attacks={"a": attack})
    for each in words:
        assert each in problem


def test_budgets_of_the_suite_are_refused_once(plan_of) -> None:
    attacks = {"cw": {}, "deepfool": {}}
    (problem,) = problems(plan_of, attacks=attacks, budget={"norm": "l2", "eps": 128})
    assert "budget.eps: got 128" in problem
    both = [{"norm": "linf", "eps": 8}, {"norm": "l2", "eps": 0.5}]
    (problem,) = problems(plan_of, attacks=attacks, budget=both)
    assert "budget.0.eps: got 8" in problem or "budget[0].eps: got 8" in problem


def test_members_of_a_cascade_are_refused_at_their_own_places(plan_of) -> None:
    attacks = {
        "one": {"plugin": "pgdl2", "eps": 128},
        "two": {"plugin": "autoattack", "norm": "l2", "eps": 128},
        "row": {"cascade": ["one", "two"]},
    }
    first, second = problems(plan_of, attacks=attacks)
    assert "attacks.one.eps" in first
    assert "attacks.two.eps" in second


@pytest.mark.parametrize("step", ["adversarial_training", "adversarial_finetune"])
def test_steps_of_variants_are_refused(plan_of, step: str) -> None:
    (problem,) = problems(plan_of, variants={"hard": [{step: {"eps": 8}}]})
    assert "variants.hard" in problem
    assert "got 8" in problem
    assert "write 8/255" in problem


def test_the_noise_of_a_shield_is_refused(plan_of) -> None:
    (problem,) = problems(plan_of, variants={"calm": [{"randomized_smoothing": {"sigma": 64}}]})
    assert "write 64/255" in problem


def test_radii_up_to_the_whole_cube_are_taken(plan_of) -> None:
    """Controls: what people do write, and what the audit's own probes take."""
    attacks = {
        "fgsm": {"grid": {"eps": [0, 8 / 255, 1.0]}},
        "pgdl2": {"grid": {"eps": [0.5, math.sqrt(VALUES)]}},
        "pgd": {"eps": 1.0, "alpha": 1.0},
        "rfgsm": {"eps": 1.0},
        "jsma": {"budget": {"norm": "l0", "eps": PIXELS}},
    }
    hard = {"original": [], "hard": [{"adversarial_training": {"eps": 1.0, "alpha": 1.25}}]}
    assert plan_of(attacks=attacks, variants=hard, audit="full").steps


@pytest.mark.parametrize(
    ("mean", "std", "words"),
    [
        ([128, 128, 128], [64, 64, 64], "has mean [128, 128, 128]"),
        ([0.5, 0.5, 0.5], [58.4, 57.1, 57.4], "has std [58.4, 57.1, 57.4]"),
        ([103.9, 116.8, 123.7], [1 / 255] * 3, "has mean [103.9, 116.8, 123.7]"),
        ([-0.5, 0.5, 0.5], [0.5] * 3, "has mean [-0.5, 0.5, 0.5]"),
    ],
)
def test_a_normalisation_of_another_scale_is_refused(
    plan_of, tmp_path: Path, mean: list[float], std: list[float], words: str
) -> None:
    weights = tmp_path / "net.safetensors"
    save_file({"a": np.zeros(1, np.float32)}, weights)
    model = {"plugin": "linear", "weights": str(weights), "mean": mean, "std": std}
    (problem,) = (str(e) for e in _refused(plan_of, models={"net": model}).problems)
    assert "models.net" in problem
    assert words in problem
    assert "255" in problem
    trained = {"plugin": "linear", "train": {"epochs": 1}, "mean": mean, "std": std}
    assert words in str(_refused(plan_of, models={"net": trained}))
    header = {"mean": json.dumps(mean), "std": json.dumps(std)}
    save_file({"a": np.zeros(1, np.float32)}, weights, metadata=header)
    held = str(_refused(plan_of, models={"net": {"plugin": "linear", "weights": str(weights)}}))
    assert held.startswith(str(weights))
    assert words in held


def _refused(plan_of: Callable[..., Plan], **sections: Any) -> BenchError:
    with pytest.raises(BenchError) as error:
        plan_of(**sections)
    return error.value


@pytest.mark.parametrize(
    ("mean", "std"),
    [([0, 0, 0], [1, 1, 1]), ([128 / 255] * 3, [64 / 255] * 3), ([1, 1, 1], [1 / 255] * 3)],
)
def test_normalisations_of_pixels_are_taken(plan_of, mean: list[float], std: list[float]) -> None:
    assert plan_of(models={"linear": {"train": {"epochs": 1}, "mean": mean, "std": std}}).steps
