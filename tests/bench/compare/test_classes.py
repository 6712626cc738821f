"""Confusions and scores of classes, counted by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from planted import Planted

from bench.compare.classes import (
    ClassScores,
    Confusion,
    class_scores,
    confusions,
    frequent_confusions,
    macro_scores,
)


def test_images_are_counted_for_each_training_and_folds_of_a_seed_are_one(tmp_path: Path) -> None:
    planted = Planted(tmp_path)
    # classes in turn: 0, 1, 0, 1; where it is not right it predicts the other one
    planted.evaluate("net", [True, True, False, True], replica="seed1-fold1")
    planted.evaluate("net", [False, False], start=4, replica="seed1-fold2")
    planted.evaluate("net", [True] * 6, replica="seed2")
    found = confusions(planted.matrix, planted.comparison.entries("evaluate", "net"))
    assert [one.tolist() for one in found] == [[[1, 2], [1, 2]], [[3, 0], [0, 3]]]


def test_what_nothing_defines_is_none_and_counts_0_in_the_mean() -> None:
    counts = np.zeros((4, 4))  # a: 2 of 3 right; b: never predicted; c: of no image; d: neither
    counts[0, [0, 2]] = 2, 1
    counts[1, 0] = 1
    a, b, c, d = class_scores([counts])
    assert a == ClassScores(pytest.approx(2 / 3), pytest.approx(2 / 3), pytest.approx(2 / 3), 3)
    assert b == ClassScores(None, 0.0, 0.0, 1)
    assert c == ClassScores(0.0, None, 0.0, 0)
    assert d == ClassScores(None, None, None, 0)
    third = pytest.approx(2 / 3 / 3)  # over the three that occur
    assert macro_scores([counts]) == ClassScores(third, third, third, 4)


def test_frequent_confusions_are_summed_over_trainings_and_no_right_answer_is_one() -> None:
    first = np.array([[9.0, 1.0, 0.0], [2.0, 3.0, 0.0], [0.0, 0.0, 5.0]])
    second = np.array([[9.0, 0.0, 1.0], [3.0, 2.0, 0.0], [0.0, 0.0, 5.0]])
    assert frequent_confusions([first, second], 2) == [
        Confusion(1, 0, 5, 10),
        Confusion(0, 1, 1, 20),  # as many as 0 for 2, which is a later class
    ]
    assert len(frequent_confusions([first, second], 8)) == 3
    assert frequent_confusions([np.diag([1.0, 2.0])], 8) == []
