"""Scores against scikit-learn, against replicas that take their time, and against simulation."""

from __future__ import annotations

import math
import random
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from bench import metrics, statistics
from bench.metrics import METRICS, CellData, classification
from bench.records import Budget, DetectRecord

cheap = settings(derandomize=True, database=None, deadline=None, max_examples=60)

MACRO = ["precision", "recall", "f1"]


def records(labels, predictions, confidence=None) -> pd.DataFrame:
    """Records as the store gives them back: integers are nullable."""
    count = len(labels)
    return pd.DataFrame(
        {
            "image": [f"test/{i}" for i in range(count)],
            "label": pd.array(labels, dtype="Int64"),
            "prediction": pd.array(predictions, dtype="Int64"),
            "confidence": np.full(count, 0.5) if confidence is None else confidence,
        }
    )


def predicted(seed: int, *, classes: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions, mostly of other classes; some classes may never occur."""
    generator = np.random.default_rng(seed)
    labels, predictions = (
        generator.choice(
            generator.choice(classes, size=generator.integers(1, classes + 1), replace=False),
            size=count,
        )
        for _ in range(2)
    )
    return labels, predictions


def counts_of(draws) -> np.ndarray:
    """How often each image is in each draw: (draw, image)."""
    return np.stack([np.bincount(rows, minlength=len(rows)).astype(float) for rows in draws])


SAMPLES = [(seed, classes, count) for seed in range(8) for classes, count in ((2, 5), (7, 60))]


# Against scikit-learn


@pytest.mark.parametrize(("seed", "classes", "count"), SAMPLES)
def test_the_confusion_matrix_is_scikit_learn_s(seed: int, classes: int, count: int) -> None:
    labels, predictions = predicted(seed, classes=classes, count=count)
    found = classification.confusion(labels, predictions, classes)
    assert found.shape == (classes, classes)
    assert (found == confusion_matrix(labels, predictions, labels=range(classes))).all()


@pytest.mark.parametrize(("seed", "classes", "count"), SAMPLES)
def test_scores_of_each_class_are_scikit_learn_s(seed: int, classes: int, count: int) -> None:
    labels, predictions = predicted(seed, classes=classes, count=count)
    counts = classification.confusion(labels, predictions, classes)
    found = classification.per_class(counts)
    oracle = precision_recall_fscore_support(
        labels, predictions, labels=range(classes), zero_division=0
    )
    for name, expected in zip((*MACRO, "support"), oracle, strict=True):
        assert found[name] == pytest.approx(expected, abs=1e-12), name
    both = np.stack([counts, counts.T])  # of two models at once
    turned = classification.per_class(counts.T)
    for name, expected in classification.per_class(both).items():
        assert expected.tolist() == [found[name].tolist(), turned[name].tolist()]


@pytest.mark.parametrize("name", MACRO)
@pytest.mark.parametrize(("seed", "classes", "count"), SAMPLES)
def test_macro_means_are_scikit_learn_s(name: str, seed: int, classes: int, count: int) -> None:
    """Over the classes that occur, and with counts as weights: resampling changes which do."""
    labels, predictions = predicted(seed, classes=classes, count=count)
    score = METRICS[f"macro_{name}"].weighted(records(labels, predictions))
    place = MACRO.index(name)

    def oracle(rows: np.ndarray) -> float:
        return precision_recall_fscore_support(
            labels[rows], predictions[rows], average="macro", zero_division=0
        )[place]

    draws = [np.arange(count), *np.random.default_rng(seed).integers(0, count, size=(8, count))]
    expected = [oracle(rows) for rows in draws]
    assert score(counts_of(draws)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", MACRO)
def test_which_numbers_classes_have_makes_no_macro_mean_larger_or_slower(name: str) -> None:
    """A class that occurs costs, not one that there might be: a matrix of 1e12 would not fit."""
    labels, predictions = predicted(3, classes=7, count=60)
    weights = counts_of(np.random.default_rng(3).integers(0, 60, size=(4, 60)))
    spread = np.array([0, 5, 6, 900, 10**9, 10**12, 10**15])
    near, far = (
        METRICS[f"macro_{name}"].weighted(records(one, other))(weights)
        for one, other in ((labels, predictions), (spread[labels], spread[predictions]))
    )
    assert near.tolist() == far.tolist()


def test_the_samples_lack_classes() -> None:
    """Or else the tests above would leave out what is undefined."""
    lacking = [
        (set(range(classes)) - set(labels), set(labels) - set(predictions))
        for seed, classes, count in SAMPLES
        for labels, predictions in [predicted(seed, classes=classes, count=count)]
    ]
    assert sum(bool(unlabelled) for unlabelled, _ in lacking) >= 3
    assert sum(bool(never_predicted) for _, never_predicted in lacking) >= 3


def test_scores_by_hand() -> None:
    # class 0: 2 of 3 found, 1 wrong among 3 said; class 1: never said; class 2: only said
    counts = classification.confusion(np.array([0, 0, 0, 1]), np.array([0, 0, 2, 0]), 4)
    found = classification.per_class(counts)
    assert found["precision"].tolist() == [2 / 3, 0, 0, 0]
    assert found["recall"].tolist() == [2 / 3, 0, 0, 0]
    assert found["f1"].tolist() == [4 / 6, 0, 0, 0]
    assert found["support"].tolist() == [3, 1, 0, 0]
    score = METRICS["macro_f1"].weighted(records([0, 0, 0, 1], [0, 0, 2, 0]))
    whole, third, nothing = score(np.array([[1.0, 1, 1, 1], [0, 0, 1, 0], [0, 0, 0, 0]]))
    assert whole == pytest.approx(2 / 9)  # over three classes: the fourth never occurs
    assert third == 0  # classes 0 and 2 occur, neither is right
    assert math.isnan(nothing)


# Calibration


def slow_calibration_error(labels, predictions, confidence) -> float:
    """Guo et al. 2017, equation 3: sum over bins of |B| / n * |acc(B) - conf(B)|, 15 bins.

    Bin m holds what lies in ((m - 1) / 15, m / 15].
    """
    n = len(labels)
    error = 0.0
    for m in range(1, 16):
        bin_ = [i for i in range(n) if (m - 1) / 15 < confidence[i] <= m / 15]
        if bin_:
            accuracy = sum(labels[i] == predictions[i] for i in bin_) / len(bin_)
            mean = math.fsum(confidence[i] for i in bin_) / len(bin_)
            error += len(bin_) / n * abs(accuracy - mean)
    return error


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.floats(0.001, 1.0)),
        min_size=1,
        max_size=60,
    )
)
@cheap
def test_calibration_error_is_that_of_a_slow_replica(images) -> None:
    labels, predictions, confidence = (list(column) for column in zip(*images, strict=True))
    score = METRICS["calibration_error"].weighted(records(labels, predictions, confidence))
    expected = slow_calibration_error(labels, predictions, confidence)
    assert score(np.ones((1, len(images)))) == pytest.approx([expected], abs=1e-9)


def test_weights_of_the_calibration_error_are_counts() -> None:
    generator = np.random.default_rng(4)
    labels, predictions = predicted(4, classes=5, count=80)
    confidence = generator.random(80)
    score = METRICS["calibration_error"].weighted(records(labels, predictions, confidence))
    draws = generator.integers(0, 80, size=(10, 80))
    expected = [
        slow_calibration_error(labels[rows], predictions[rows], confidence[rows]) for rows in draws
    ]
    assert score(counts_of(draws)) == pytest.approx(expected, abs=1e-12)
    assert np.isnan(score(np.zeros((1, 80)))).all()


def test_calibration_by_hand() -> None:
    # one bin (0.9 and 0.92 lie above 13 / 15 = 0.867 and below 14 / 15 = 0.933): half are right
    for labels, predictions, confidence, expected in (
        ([0, 0], [0, 1], [0.9, 0.92], 0.91 - 0.5),
        ([0], [0], [1.0], 0.0),  # certain and right: 1 is in the last bin
        ([0], [1], [1.0], 1.0),  # certain and wrong
        ([0, 0], [0, 1], [0.9, 0.1], 0.5 * 0.1 + 0.5 * 0.1),  # two bins do not make up for another
    ):
        score = METRICS["calibration_error"].weighted(records(labels, predictions, confidence))
        assert score(np.ones((1, len(labels)))) == pytest.approx([expected])


# As metrics


def test_metrics_are_these_scores_with_an_interval_around_them() -> None:
    generator = np.random.default_rng(2)
    labels, wild = generator.integers(0, 4, size=(2, 90))
    predictions = np.where(generator.random(90) < 0.5, labels, wild)
    confidence = generator.random(90)
    reported = records(labels, predictions, confidence)
    for name in ("macro_precision", "macro_recall", "macro_f1", "calibration_error"):
        found = metrics.estimate(METRICS[name], reported, {})
        if name == "calibration_error":
            expected = slow_calibration_error(labels, predictions, confidence)
        else:
            scored = precision_recall_fscore_support(
                labels, predictions, average="macro", zero_division=0
            )
            expected = scored[MACRO.index(name.removeprefix("macro_"))]
        assert found.value == pytest.approx(expected, abs=1e-12)
        assert (found.n, found.trainings) == (90, 1)
        if name == "calibration_error":  # which chance alone pushes up, in every sample drawn too
            assert (found.low, found.high) == (None, None)
        else:
            assert found.low < found.value < found.high
        shuffled = reported.sample(frac=1, random_state=1)
        assert metrics.estimate(METRICS[name], shuffled, {}) == found


def test_several_trainings_give_the_calibration_error_no_interval_either() -> None:
    """Each is shifted up by its sample, and so is their mean."""
    cell_data, expected = [], []
    for seed in (1, 2, 3):
        labels, predictions = predicted(seed, classes=3, count=50)
        confidence = np.random.default_rng(seed).random(50)
        cell_data.append(CellData(records(labels, predictions, confidence), {}, f"seed{seed}"))
        expected.append(slow_calibration_error(labels, predictions, confidence))
    found = metrics.estimate_replicas(METRICS["calibration_error"], cell_data)
    assert found.value == pytest.approx(sum(expected) / 3)
    assert (found.low, found.high, found.n, found.trainings) == (None, None, 50, 3)


def test_chance_alone_raises_the_calibration_error_of_a_small_sample() -> None:
    """Why it has no interval: a model that is calibrated by construction, 40 images at a time."""
    generator = np.random.default_rng(12)
    found = []
    for _ in range(50):
        confidence = generator.uniform(0.4, 1.0, size=40)
        right = generator.random(40) < confidence
        score = METRICS["calibration_error"].weighted(
            records(np.zeros(40, int), np.where(right, 0, 1), confidence)
        )
        found.append(score(np.ones((1, 40)))[0])
    # 9 bins of about 4 images: each bin's accuracy errs by some sqrt(0.2 / 4) = 0.2, and the mean
    # distance of a normal error is 0.8 of that: 0.18; the truth, 0, is below every one
    assert min(found) > 0.05
    assert 0.1 < np.mean(found) < 0.25


def test_the_interval_of_macro_f1_covers_the_truth_about_as_often_as_it_says() -> None:
    """Three classes of unequal size, and a model whose confusions are known."""
    joint = np.array([[0.42, 0.05, 0.03], [0.06, 0.20, 0.04], [0.05, 0.03, 0.12]])
    truth = classification.per_class(joint)["f1"].mean()
    generator = np.random.default_rng(5)
    trials, covered = 150, 0
    for _ in range(trials):
        cells = generator.choice(9, size=150, p=joint.ravel())
        reported = records(cells // 3, cells % 3)
        found = metrics.estimate(METRICS["macro_f1"], reported, {})
        covered += found.low <= truth <= found.high
    # 0.95 and more, as docs/metrics.md has it: standard error sqrt(.95 * .05 / 150) = 0.018
    assert covered / trials >= 0.9


def test_one_training_is_read_without_knowing_of_others() -> None:
    labels, predictions = np.random.default_rng(6).integers(3, size=(2, 160))
    reported = records(labels, predictions)
    alone = metrics.estimate(METRICS["macro_f1"], reported, {})
    halves = [CellData(reported.iloc[:60], {}, "a"), CellData(reported.iloc[60:], {}, "a")]
    found = metrics.estimate_replicas(METRICS["macro_f1"], halves)  # folds of one seed
    assert (found.value, found.n, found.trainings) == (alone.value, alone.n, 1)
    assert found.low <= alone.low < alone.high <= found.high  # two parts may spread more


def detected(seed: int, ties: bool) -> list[DetectRecord]:
    generator = random.Random(seed)

    def score() -> float:
        return float(generator.randrange(4)) if ties else generator.random()

    return [
        DetectRecord(
            image=f"test/{i}",
            label=0,
            success=generator.choice([None, False, True, True]),
            clean_score=score(),
            adversarial_score=score() + 0.3,
            linf=0.1,
            l2=generator.random(),
            l1=1.0,
            l0=1.0,
            violation=None,
        )
        for i in range(40)
    ]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("budget", [None, Budget("l2", 0.6)])
def test_detection_auroc_is_scikit_learns(ties: bool, budget: Budget | None) -> None:
    from sklearn.metrics import roc_auc_score

    records = detected(3, ties)
    given = metrics.scored(pd.DataFrame([asdict(record) for record in records]), budget)
    fooled = [r for r in records if r.success and (budget is None or r.l2 <= budget.eps)]
    values = [r.clean_score for r in records] + [r.adversarial_score for r in fooled]
    expected = roc_auc_score([0] * len(records) + [1] * len(fooled), values)
    found = metrics.estimate(METRICS["detection_auroc"], given, {}, budget)
    assert found.value == pytest.approx(expected, abs=1e-12)
    assert found.low < found.value < found.high
    assert found.n == len(fooled)
    nobody = given.assign(success=False)
    assert metrics.estimate(METRICS["detection_auroc"], nobody, {}) == statistics.NOTHING
