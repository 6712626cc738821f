"""Models side by side, on records that were planted so that the answer is known."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import Planted, compared
from scipy import stats

from bench import metrics, statistics, suite
from bench.compare import models as comparison
from bench.compare.models import ALPHA, Comparison
from bench.errors import SuiteError, UsageError
from bench.matrix import Matrix
from bench.metrics import METRICS, Withheld, constraints
from bench.records import ExplainRecord, Result
from bench.report import choosing
from bench.statistics import Estimate
from bench.suite.sections import Choice

cheap = settings(derandomize=True, database=None, deadline=None, max_examples=80)


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    return Planted(tmp_path)


def hits(wrong: Sequence[int], count: int = 100) -> list[bool]:
    return [i not in set(wrong) for i in range(count)]


# What is best


def test_a_model_that_is_better_beyond_doubt_is_best(planted: Planted) -> None:
    planted.evaluate("worse", hits(range(40)))
    planted.evaluate("better", hits(range(5)))
    rows = {row.metric.name: row for row in planted.comparison.rows}
    for name in ("clean_accuracy", "macro_precision", "macro_recall", "macro_f1"):
        assert rows[name].best == "better"
        assert [(test.first, test.second) for test in rows[name].tests] == [("worse", "better")]
    found = rows["clean_accuracy"].estimates
    assert found == {"worse": statistics.rate(60, 100), "better": statistics.rate(95, 100)}


def test_a_lead_that_may_be_chance_makes_no_best(planted: Planted) -> None:
    planted.evaluate("one", hits(range(12)))
    planted.evaluate("other", hits(range(8, 24)))
    row = planted.row("clean_accuracy")
    assert row.estimates["one"].value > row.estimates["other"].value
    assert row.best is None
    assert row.tests[0].p_value >= ALPHA


def test_the_same_lead_is_worth_less_among_more_models(planted: Planted) -> None:
    """Seven images to none: p = 2 / 2 ** 7 = 0.016, which six pairs bring above 0.05.

    Of six pairs three have that p-value, so Holm's least factor for the first of them is 6.
    """
    planted.evaluate("best", hits([]))
    planted.evaluate("second", hits(range(7)))
    row = planted.row("clean_accuracy")
    assert row.best == "best"
    assert row.tests[0].p_value < ALPHA
    planted.evaluate("third", hits(range(7)))
    planted.evaluate("fourth", hits(range(7)))
    row = planted.row("clean_accuracy")
    assert row.best is None
    assert statistics.mcnemar(hits([]), hits(range(7))).p_value < ALPHA <= row.tests[0].p_value


def test_p_values_are_holm_s_over_the_pairs_of_each_figure(planted: Planted) -> None:
    """How many other figures a table has makes no lead worth less."""
    generator = np.random.default_rng(3)
    known = {
        name: list(generator.random(60) < share)
        for name, share in zip("abc", (0.9, 0.8, 0.5), strict=True)
    }
    for name, right in known.items():
        planted.evaluate(name, right)
    told = planted.comparison
    tested = {row.metric.name: row for row in told.rows if row.tests}
    assert set(tested) == {"clean_accuracy", "macro_precision", "macro_recall", "macro_f1"}
    corrected = 0
    for row in tested.values():
        raw = []
        for test in row.tests:
            pair = [
                told.matrix.records(told.entries("evaluate", m)[0])
                for m in (test.first, test.second)
            ]
            if row.metric.name == "clean_accuracy":
                assert test.name == "McNemar's exact test"
                raw.append(statistics.mcnemar(known[test.first], known[test.second]).p_value)
            else:
                assert test.name == "paired bootstrap"
                images = sorted(pair[0]["image"])
                one, other = (metrics.statistic(row.metric, one, images) for one in pair)
                raw.append(compared([one], [other], 60).p_value)
        assert len(raw) == 3  # pairs of three models
        assert [test.p_value for test in row.tests] == statistics.holm(raw)
        corrected += [test.p_value for test in row.tests] != raw
    assert corrected == 4  # or else nothing was


def test_a_clear_lead_stays_bold_among_many_models(planted: Planted) -> None:
    """Five models make ten pairs; a bootstrap's least p-value, 2 / 2001, times 10 is 0.01.

    Over the 40 tests of such a table it would be 0.04, and with a sixth model never below 0.05.
    """
    planted.evaluate("best", hits(range(5)))
    for number in range(4):
        planted.evaluate(f"other{number}", hits(range(5 + number, 40 + number)))  # 30 points less
    for name in ("clean_accuracy", "macro_precision", "macro_recall", "macro_f1"):
        row = planted.row(name)
        assert len(row.tests) == 10
        assert row.best == "best", name
    leads = [test.p_value for test in planted.row("macro_f1").tests if test.first == "best"]
    assert max(leads) <= 10 * 2 / 2001 * (1 + 1e-9)


@pytest.mark.parametrize("models", [2, 7, 13, 60])
def test_a_lead_can_be_told_in_a_family_of_any_size(models: int) -> None:
    """The least p-value of a bootstrap, times the size of the family, is far from 0.05."""
    family = models * (models - 1) // 2
    least = 2 / (statistics.resamples_for(family) + 1)
    assert least * family <= 0.025
    assert statistics.resamples_for(family) >= 2000


def test_a_clear_lead_stays_bold_among_as_many_as_a_whole_suite_has(planted: Planted) -> None:
    """Thirteen make 78 pairs: 2 / 2001, times 78, would be 0.078."""
    planted.evaluate("best", hits(range(5)))
    for number in range(12):
        planted.evaluate(f"other{number}", hits(range(5 + number, 60 + number)))
    assert planted.row("macro_f1").best == "best"
    text = choosing.recommendation(planted.comparison, "f1", Choice(best="macro_f1"))
    assert "cannot tell" not in text
    assert text.count("(p = ") == 12


def test_the_best_is_better_than_every_other(planted: Planted) -> None:
    planted.evaluate("last", hits(range(80)))
    planted.evaluate("first", hits(range(9)))
    planted.evaluate("close", hits(range(10)))
    assert planted.row("clean_accuracy").best is None
    assert planted.comparison.models == ["last", "first", "close"]


def test_a_figure_that_small_samples_shift_has_no_interval_and_no_test(planted: Planted) -> None:
    """Sure at 0.75 always: right 3 in 4 is calibrated, right always is 0.25 off."""
    planted.evaluate("sharp", hits([]))
    planted.evaluate("calibrated", hits(range(0, 100, 4)))
    assert METRICS["calibration_error"].biased
    assert [name for name, metric in METRICS.items() if metric.biased] == ["calibration_error"]
    row = planted.row("calibration_error")
    assert row.estimates["calibrated"] == Estimate(pytest.approx(0), None, None, 100)
    assert row.estimates["sharp"] == Estimate(pytest.approx(0.25), None, None, 100)
    assert row.tests == ()
    assert row.best is None
    assert planted.row("clean_accuracy").best == "sharp"
    choice = Choice(best="calibration_error")
    assert planted.comparison.recommend(choice).others == {"sharp": None}
    text = choosing.recommendation(planted.comparison, "c", choice)
    assert "**calibrated**, 0.0 %. Not tested against sharp." in text


def test_one_model_is_best_of_none(planted: Planted) -> None:
    planted.evaluate("alone", hits([]))
    assert {row.best for row in planted.comparison.rows} == {None}
    assert {row.tests for row in planted.comparison.rows} == {()}


def test_the_order_of_records_and_of_cells_does_not_matter(planted: Planted, tmp_path) -> None:
    generator = np.random.default_rng(5)
    rights = {name: list(generator.random(50) < 0.8) for name in "ab"}
    for name in "ab":
        planted.evaluate(name, rights[name])
    turned = Planted(tmp_path / "turned")
    for name in "ba":
        turned.evaluate(name, rights[name])
    one, other = planted.row("clean_accuracy"), turned.row("clean_accuracy")
    assert one.tests[0].p_value == other.tests[0].p_value
    assert one.best == other.best


@pytest.mark.parametrize("case", ["others", "fewer"])
def test_models_that_were_judged_on_other_images_are_not_compared(planted, case: str) -> None:
    planted.evaluate("worse", hits(range(70)))
    if case == "others":
        planted.evaluate("better", hits([]), prefix="other")
    else:
        planted.evaluate("better", hits([], count=99))
    row = planted.row("clean_accuracy")
    assert row.tests == ()
    assert row.best is None
    assert set(row.estimates) == {"worse", "better"}  # each is told all the same


# Replicas


def test_seeds_are_compared_by_the_bootstrap_that_draws_them_too(planted: Planted) -> None:
    for seed in (1, 2, 3):
        planted.evaluate("better", hits(range(seed)), replica=f"seed{seed}")
        planted.evaluate("worse", hits(range(40 + seed)), replica=f"seed{seed}")
    row = planted.row("clean_accuracy")
    assert row.tests[0].name == "paired bootstrap"
    assert row.best == "better"
    assert row.estimates["better"].trainings == 3


def folded(planted: Planted, name: str, wrong: Sequence[int], size: int = 20) -> None:
    """Cross-validate: in each fold the first images are wrong, as many as are told."""
    for number, count in enumerate(wrong, 1):
        planted.evaluate(
            name,
            hits(range(count), size),
            replica=f"fold{number}of{len(wrong)}",
            prefix=f"train{number}",
        )


def nadeau_bengio(differences: Sequence[float], pooled: float | None = None) -> float:
    """Nadeau and Bengio 2003, section 3: t with variance (1 / k + 1 / (k - 1)) s ** 2."""
    k = len(differences)
    value = np.mean(differences) if pooled is None else pooled
    t = value / np.sqrt((1 / k + 1 / (k - 1)) * np.var(differences, ddof=1))
    return 2 * stats.t.sf(abs(t), k - 1)


@pytest.mark.parametrize("wrong", [0, 1, 9])
def test_the_interval_between_single_trainings_is_that_of_their_discordant_images(
    planted: Planted, wrong: int
) -> None:
    """Of forty images on which two agree, a true difference of a few points is no surprise."""
    planted.evaluate("one", hits([], 40))
    planted.evaluate("other", hits(range(wrong), 40))
    (test,) = planted.row("clean_accuracy").tests
    assert test.difference == statistics.paired_shares(wrong, 0, 40)
    assert test.difference.low < 0 < test.difference.high or wrong == 9


def test_folds_are_one_sample_whose_trainings_are_tested_as_folds(planted: Planted) -> None:
    worse, better = [5, 9, 6, 10, 7], [2, 1, 3, 2, 1]
    folded(planted, "worse", worse)
    folded(planted, "better", better)
    row = planted.row("clean_accuracy")
    found = row.estimates["worse"]
    assert (found.value, found.n) == (0.63, 100)
    shares = [1 - n / 20 for n in worse]  # a training of a recipe is more than its images
    error = np.sqrt((1 / 5 + 1 / 4) * np.var(shares, ddof=1))
    low, high = stats.t.interval(0.95, 4, loc=0.63, scale=error)
    images = statistics.rate(63, 100)
    assert low < images.low < images.high < high
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9)
    (test,) = row.tests
    assert test.name == "corrected t test over folds"
    assert test.difference.value == pytest.approx((9 - 37) / 100)
    expected = nadeau_bengio([(b - w) / 20 for w, b in zip(worse, better, strict=True)])
    assert test.p_value == pytest.approx(expected, rel=1e-9)
    # image by image, as if the trainings were one model, the lead would seem surer than it is
    flat = [[i >= n for n in wrong for i in range(20)] for wrong in (worse, better)]
    assert statistics.mcnemar(*flat).p_value < test.p_value / 100
    assert row.best == "better"


def test_a_lead_that_is_not_there_in_each_fold_is_none(planted: Planted) -> None:
    """One training of five that went wrong says little of its recipe, however many its images."""
    wrong = [0, 0, 0, 5, 0], [1, 1, 0, 1, 17]
    folded(planted, "one", wrong[0])
    folded(planted, "other", wrong[1])
    row = planted.row("clean_accuracy")
    flat = [[i >= n for n in counts for i in range(20)] for counts in wrong]
    assert statistics.mcnemar(*flat).p_value < ALPHA  # 19 images to 4
    assert row.tests[0].p_value == pytest.approx(nadeau_bengio([0.05, 0.05, 0, -0.2, 0.85]))
    assert row.tests[0].p_value >= ALPHA
    found = row.tests[0].difference
    assert found.p_value == row.tests[0].p_value
    assert found.low <= 0 <= found.high  # one and the same says whether there is a lead
    assert found.lower_bound <= 0
    assert row.best is None


def test_scores_that_are_no_mean_over_images_are_tested_over_folds_too(planted: Planted) -> None:
    worse, better = [5, 9, 6, 10, 7], [2, 1, 3, 2, 1]
    folded(planted, "worse", worse)
    folded(planted, "better", better)
    told = planted.comparison
    scores = [
        [told.matrix.estimate([e], METRICS["macro_f1"]).value for e in told.entries("evaluate", m)]
        for m in ("worse", "better")
    ]
    (test,) = planted.row("macro_f1").tests
    assert test.name == "corrected t test over folds"
    # as the interval is, about the score of all images, which is not the mean of the folds'
    expected = nadeau_bengio(np.subtract(*scores), test.difference.value)
    assert test.p_value == pytest.approx(expected, rel=1e-9)
    assert test.p_value != pytest.approx(nadeau_bengio(np.subtract(*scores)), rel=1e-9)


def test_interval_and_p_value_of_a_score_say_the_same_where_classes_are_uneven() -> None:
    """A few errors in a class of many move macro recall by less than one image of a small class."""
    draws = np.random.default_rng(0).normal(0.0044, 0.002, size=(2, 4000))
    first = statistics.Drawn(np.array([0.0044]), draws[0], 100)
    second = statistics.Drawn(np.array([0.0]), np.zeros(4000), 100)
    bare = statistics.paired(first, second)
    assert bare.p_value < 0.05 < 2 * stats.norm.sf(0.0044 / 0.014)
    found = statistics.paired(first, second, 0.014**2)
    assert found.low < 0 < found.high
    assert found.p_value == pytest.approx(2 * stats.norm.sf(0.0044 / 0.014))


@pytest.mark.parametrize("name", ["macro_precision", "macro_recall", "macro_f1"])
def test_scores_of_models_that_are_right_on_the_same_images_are_not_certainly_equal(
    planted: Planted, name: str
) -> None:
    """As little as their accuracies are: of forty images, a difference of points is no surprise."""
    for model in ("one", "other"):
        planted.evaluate(model, hits(range(3), 40))
    (test,) = planted.row(name).tests
    assert (test.difference.value, test.p_value) == (0, 1)
    z = stats.norm.ppf(0.975) * np.sqrt(2 / 42**2)
    assert (test.difference.low, test.difference.high) == pytest.approx((-z, z))
    assert test.difference.lower_bound == pytest.approx(-stats.norm.ppf(0.95) * np.sqrt(2 / 42**2))


def test_a_lead_that_is_the_same_in_each_fold_is_as_sure_as_its_images(planted: Planted) -> None:
    """Without a spread over folds t is infinite; one image in each of five is still only five."""
    folded(planted, "one", [1] * 5)
    folded(planted, "none", [0] * 5)
    row = planted.row("clean_accuracy")
    images = [f"train{fold}/{i}" for fold in range(1, 6) for i in range(20)]
    told = planted.comparison
    figures = [
        metrics.statistic(
            METRICS["clean_accuracy"],
            metrics.by_training(told.matrix.cell_data(told.entries("evaluate", m)))[0],
            sorted(images),
        )
        for m in ("one", "none")
    ]
    assert nadeau_bengio([0.05, 0.05, 0.05, 0.05, 0.05 + 1e-12]) < 1e-9
    assert row.tests[0].p_value == compared(figures[:1], figures[1:], 100).p_value > 1e-4


def test_a_figure_is_drawn_once_a_model_not_once_a_pair(
    planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five models are ten pairs; over ten thousand images the draws are what a page waits for."""
    for model in range(5):
        planted.evaluate(f"m{model}", hits(range(3 * model)))
    drawn = statistics.drawn
    calls: list[int] = []

    def counted(*given: Any, **options: Any) -> statistics.Drawn:
        calls.append(given[1])
        return drawn(*given, **options)

    monkeypatch.setattr(statistics, "drawn", counted)
    tested = [row for row in planted.comparison.rows if row.tests]
    assert [len(row.tests) for row in tested] == [10] * len(tested)
    assert len(calls) == 5 * len(tested) > 0


def test_figures_of_other_images_or_samples_are_not_compared() -> None:
    def mean(weights: Any) -> Any:
        return weights.mean(1)

    first = statistics.drawn([mean], 20, resamples=50)
    for images, resamples in ((21, 50), (20, 51)):
        with pytest.raises(ValueError, match="same images and samples"):
            statistics.paired(first, statistics.drawn([mean], images, resamples=resamples))


def test_folds_of_several_seeds_are_no_more_folds(planted: Planted) -> None:
    """Of two folds each seed agrees on the lead, which one of them shows and the other does not."""
    for seed in (None, 1, 2, 3):
        for fold in (1, 2):
            for name, wrong in (("better", 1), ("worse", 8 if fold == 1 else 2)):
                planted.evaluate(
                    name if seed else f"{name}-once",
                    hits(range(wrong), 20),
                    replica=f"seed{seed}-fold{fold}of2" if seed else f"fold{fold}of2",
                    prefix=f"train{fold}",
                )
    once, seeded = (
        next(
            test
            for row in planted.comparison._families()
            if row.metric.name == "clean_accuracy"
            for test in row.tests
            if {test.first, test.second} == {f"better{end}", f"worse{end}"}
        )
        for end in ("-once", "")
    )
    assert seeded.name == "corrected t test over folds"
    assert seeded.p_value == pytest.approx(nadeau_bengio([7 / 20, 1 / 20]))
    assert once.p_value == pytest.approx(seeded.p_value)


@pytest.mark.parametrize("other", [1, 4])
def test_folds_that_models_do_not_share_are_not_tested(planted: Planted, other: int) -> None:
    """Image by image, a fold that went wrong would count as many images, not as one training."""
    for model, of in (("two", 2), ("other", other)):
        for fold in range(of):
            wrong = range(40 // of) if model == "two" and not fold else ()
            planted.evaluate(
                model,
                hits(wrong, 40 // of),
                replica=f"fold{fold + 1}of{of}" if of > 1 else None,
                start=fold * 40 // of,
            )
    row = planted.row("clean_accuracy")
    assert row.estimates["two"].n == row.estimates["other"].n == 40
    assert row.tests == ()
    assert row.best is None


def test_a_replica_that_is_missing_withholds_the_figure_here_too(planted: Planted) -> None:
    """As in tables: what two folds of three say is not what three say."""
    planted.evaluate("whole", hits([], 20), replica="fold1of2", prefix="a")
    planted.evaluate("whole", hits([], 20), replica="fold2of2", prefix="b")
    planted.evaluate("part", hits([], 20), replica="fold1of2", prefix="a")
    planted.evaluate("part", hits([], 20), replica="fold2of2", prefix="b", state="failed")
    found = planted.row("clean_accuracy").estimates
    assert found["whole"] == statistics.rate(40, 40)
    assert isinstance(found.get("part"), Withheld)
    assert "1 of 2 replicas" in found["part"].reason
    assert planted.comparison.figure("part", "clean_accuracy") is None


@pytest.mark.parametrize("kind", ["evaluate", "profile", "latency"])
def test_beside_a_figure_that_is_missing_nothing_is_best(planted: Planted, kind: str) -> None:
    """The model without a figure may be the best of all."""

    def put(name: str, wrong: int, **told: Any) -> None:
        if kind == "evaluate":
            planted.evaluate(name, hits(range(wrong)), **told)
        elif kind == "profile":
            planted.put("profile", name, Result(summary={"macs": wrong}), **told)
        else:
            runs = np.full(100, float(wrong))
            result = Result(arrays={"milliseconds": runs}, summary={"latency_ms": float(wrong)})
            planted.put("latency", name, result, facts={"batch": 1}, **told)

    figure, part = {
        "evaluate": ("clean_accuracy", ""),
        "profile": ("macs", ""),
        "latency": ("latency_ms", "batch=1"),
    }[kind]
    put("worse", 60)
    put("better", 5)
    assert planted.row(figure, part).best == "better"
    put("lost", 50, state="failed")
    row = planted.row(figure, part)
    assert isinstance(row.estimates["lost"], Withheld)
    assert row.best is None


# Figures without images


def test_counted_figures_differ_where_they_differ(planted: Planted) -> None:
    planted.profile("large", parameters=1000, size_bytes=4000, macs=70)
    planted.profile("small", parameters=999, size_bytes=4000, macs=90)
    assert planted.row("parameters").best == "small"
    assert planted.row("size_bytes").best is None
    assert planted.row("macs").best == "large"
    assert all(row.tests == () for row in planted.comparison.rows)
    planted.profile("smaller", parameters=999, size_bytes=3000, macs=60)
    assert planted.row("parameters").best is None  # two share it
    assert planted.row("size_bytes").best == "smaller"


@pytest.mark.parametrize(
    ("slow", "best"),
    [
        ([3.0] * 100, "quick"),
        ([3.0] * 97 + [0.1] * 3, "quick"),  # fewer than 5 % of the runs
        ([3.0] * 90 + [0.1] * 10, None),
        ([1.5] * 100, None),  # within the spread of the other's
        ([1.96] * 100, "quick"),
    ],
)
def test_a_model_is_quicker_where_nearly_all_its_runs_are(planted, slow, best) -> None:
    planted.latency("slow", slow)
    planted.latency("quick", np.linspace(1, 2, 100))  # its 95 % quantile is 1.95
    row = planted.row("latency_ms", "batch=1")
    assert row.best == best
    assert row.tests == ()


@pytest.mark.parametrize(
    ("busy", "best"),
    [
        ((0.0, 0.0), "quick"),
        ((None, None), "quick"),  # the platform cannot tell
        ((comparison.BUSY, 0.0), "quick"),  # a tenth is allowed
        ((comparison.BUSY + 0.01, 0.0), None),
        ((0.0, comparison.BUSY + 0.01), None),  # it may have slowed down the slow one
    ],
)
def test_timings_that_something_disturbed_make_no_best(planted: Planted, busy, best) -> None:
    assert comparison.BUSY == 0.1  # what docs and pages say
    planted.latency("quick", [1.0] * 100, busy=busy[0])
    planted.latency("slow", [3.0] * 100, busy=busy[1])
    assert planted.row("latency_ms", "batch=1").best == best


def test_a_disturbance_of_one_batch_leaves_the_others(planted: Planted) -> None:
    for batch, busy in ((1, 0.5), (16, 0.0)):
        planted.latency("quick", [1.0] * 100, batch, busy=busy)
        planted.latency("slow", [3.0] * 100, batch)
    assert planted.row("latency_ms", "batch=1").best is None
    assert planted.row("latency_ms", "batch=16").best == "quick"


def test_each_batch_is_a_figure_of_its_own(planted: Planted) -> None:
    for batch, low, high in ((1, 1.0, 5.0), (16, 9.0, 2.0)):
        planted.latency("a", [low] * 100, batch)
        planted.latency("b", [high] * 100, batch)
    assert planted.row("latency_ms", "batch=1").best == "a"
    assert planted.row("latency_ms", "batch=16").best == "b"
    told = planted.comparison
    assert told.figure("a", "latency_ms") == 1  # of the first batch
    assert told.figure("a", "latency_ms", ("batch", "16")) == 9
    assert told.figure("a", "latency_ms", ("batch", "2")) is None
    assert told.figure("a", "parameters") is None


# Explanations


def test_explanations_are_shown_on_the_sample_and_make_no_model_better(planted) -> None:
    """Galleries hold other images for every model: those that it has wrong."""
    for name, value in (("good", 0.5), ("bad", 0.1)):
        sample = [
            ExplainRecord(
                image=f"test/{i}",
                label=0,
                prediction=0,
                confidence=0.9,
                measured=True,
                shown=i == 0,
                empty_heatmap=False,
                deletion_auc=0.1,
                insertion_auc=0.2,
                faithfulness=value + 0.001 * i,
                faithfulness_of_chance=0.0,
                faithfulness_gain=value + 0.001 * i,
                randomisation_similarity=1 - value,
            )
            for i in range(30)
        ]
        shown = ExplainRecord(f"shown/{name}", 0, 1, 0.9, False, True, *[None] * 7)
        planted.put("explain", name, Result(records=[*sample, shown]), explainer="saliency")
    rows = planted.comparison.rows
    assert [row.metric.name for row in rows] == ["faithfulness_gain", "randomisation_similarity"]
    for row in rows:
        assert row.part == "explainer=saliency"
        assert {model: found.n for model, found in row.estimates.items()} == {"good": 30, "bad": 30}
        assert row.tests == ()  # no two intervals overlap: what tests nothing is not chance
        assert row.best is None
    (gain, _) = rows
    assert gain.estimates["good"].low > gain.estimates["bad"].high
    assert gain.metric.better == "higher"  # or else it would have no best for another reason


# The front


class Figures(Comparison):
    """A comparison whose figures are given."""

    given: Mapping[str, Mapping[str, float | None]] = {}

    @property
    def models(self) -> list[str]:  # type: ignore[override]
        return list(self.given)

    def figure(self, model: str, name: str, where: Any = None) -> float | None:
        return self.given[model][name]


@given(st.lists(st.tuples(*[st.one_of(st.none(), st.integers(0, 3))] * 3), min_size=0, max_size=7))
@cheap
def test_the_front_is_that_of_brute_force(values: list[tuple[Any, ...]]) -> None:
    names = ("latency_ms", "size_bytes", "clean_accuracy")
    known = {f"m{i}": dict(zip(names, one, strict=True)) for i, one in enumerate(values)}

    class Given(Figures):
        given = known

    found = Given(Matrix(None, {"cells": []})).on_front(names[:2], names[2])
    whole = {model: one for model, one in known.items() if None not in one.values()}
    assert set(found) == set(whole)
    for model, one in whole.items():
        beaten = False
        for other in whole.values():
            no_worse = (
                other["latency_ms"] <= one["latency_ms"]
                and other["size_bytes"] <= one["size_bytes"]
                and other["clean_accuracy"] >= one["clean_accuracy"]
            )
            beaten |= no_worse and other != one
        assert found[model] is not beaten


@given(st.lists(st.lists(st.integers(0, 3), min_size=3, max_size=3), max_size=9))
@cheap
def test_what_nothing_dominates_is_told_of_any_figures(rows: list[list[int]]) -> None:
    """Less is better; equals do not beat each other."""
    known = {f"m{i}": row for i, row in enumerate(rows)}
    found = comparison.undominated(known)
    assert list(found) == list(known)
    for name, mine in known.items():
        beaten = 0
        for other in rows:
            better = [a < b for a, b in zip(other, mine, strict=True)]
            worse = [a > b for a, b in zip(other, mine, strict=True)]
            beaten += any(better) and not any(worse)
        assert found[name] is (beaten == 0)


# Constraints


@pytest.mark.parametrize(
    ("text", "metric", "where", "bound", "kept", "broken"),
    [
        ("latency_ms <= 20", "latency_ms", None, 20, 20, 20.1),
        ("latency_ms@batch=16 <= 20", "latency_ms", ("batch", "16"), 20, 3, 21),
        ("latency_ms@batch=16<=20", "latency_ms", ("batch", "16"), 20, 3, 21),
        ("  clean_accuracy >= 98 %  ", "clean_accuracy", None, 0.98, 0.98, 0.979),
        ("clean_accuracy>=98.5%", "clean_accuracy", None, 0.985, 0.99, 0.98),
        ("macs < 1e6", "macs", None, 1e6, 999_999, 1e6),
        ("sparsity@model=a-b > .1", "sparsity", ("model", "a-b"), 0.1, 0.2, 0.1),
        ("faithfulness_gain > -0.5", "faithfulness_gain", None, -0.5, 0, -0.5),
    ],
)  # fmt: skip
def test_constraints_are_read(text, metric, where, bound, kept, broken) -> None:
    found = constraints.parse(text)
    assert (found.metric, found.where, found.text) == (metric, where, text.strip())
    assert found.bound == pytest.approx(bound)
    assert found.is_percent is ("%" in text)
    assert found.holds(kept)
    assert not found.holds(broken)


@pytest.mark.parametrize(
    "text",
    [
        *("", "latency_ms", "latency_ms <=", "<= 20", "latency_ms = 20", "latency_ms == 20"),
        *("latency_ms <= fast", "latency_ms <= 20 ms", "latency_ms@16 <= 20", "20 >= latency_ms"),
        *("latency_ms <= 20 and macs < 3", "latency ms <= 20", "latency_ms <= 1.2.3"),
    ],
)
def test_what_is_no_constraint_is_told_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="expected a metric, one of <= >= < >, and a number") as it:
        constraints.parse(text)
    assert str(it.value).startswith(f"got '{text}'")
    assert "latency_ms@batch=16 <= 20" in str(it.value)


# Recommendations


@pytest.fixture
def three(planted: Planted) -> Comparison:
    """One accurate, one quick, one that nobody timed."""
    for name, wrong, runs in (("slow", 2, 30.0), ("quick", 40, 3.0), ("untimed", 60, None)):
        planted.evaluate(name, hits(range(wrong)))
        planted.profile(name, size_bytes=len(name) * 100, parameters=5)
        if runs is not None:
            planted.latency(name, [runs] * 100)
            planted.latency(name, [2 * runs] * 100, batch=16)
    return planted.comparison


def test_the_best_is_recommended_with_the_p_value_of_its_lead(three: Comparison) -> None:
    found = three.recommend(Choice())
    assert found.best == "slow"
    assert found.refused == {}
    assert list(found.others) == ["quick", "untimed"]
    wrongs = ((2, 40), (2, 60), (40, 60))  # the three pairs of the table, in its order
    raw = [statistics.mcnemar(*(hits(range(n)) for n in pair)).p_value for pair in wrongs]
    assert list(found.others.values()) == statistics.holm(raw)[:2]


@pytest.mark.parametrize("metric", ["clean_accuracy", "macro_f1"])
@pytest.mark.parametrize("where", [(), ("latency_ms <= 100",)], ids=["all", "timed"])
def test_recommendations_tell_the_p_values_of_the_table(three: Comparison, metric, where) -> None:
    """Also where a constraint leaves models out: a reader sees one p-value for one pair."""
    found = three.recommend(Choice(best=metric, where=where))
    (row,) = [row for row in three.rows if row.metric.name == metric]
    table = {frozenset((test.first, test.second)): test.p_value for test in row.tests}
    assert found.others == {
        other: table[frozenset((found.best, other))]
        for other in ("quick", "untimed")
        if other not in found.refused
    }
    assert ("untimed" in found.refused) is bool(where)


def test_what_breaks_a_constraint_is_left_out_with_the_reason(three: Comparison) -> None:
    found = three.recommend(Choice(where=("latency_ms <= 20",)))
    assert found.best == "quick"
    assert found.others == {}
    assert found.refused == {
        "slow": "latency_ms@batch=1 is 30",
        "untimed": "has no latency_ms@batch=1",
    }
    found = three.recommend(Choice(where=("latency_ms@batch=16 <= 70", "clean_accuracy >= 90 %")))
    assert found.best == "slow"
    assert found.refused["quick"] == "clean_accuracy is 0.6"
    text = choosing.recommendation(three, "fast", Choice(where=("latency_ms <= 20",)))
    assert text == (
        "**fast** (best `clean_accuracy` with `latency_ms <= 20`): **quick**, 60.0 %. Left out: "
        "slow (latency_ms@batch=1 is 30), untimed (has no latency_ms@batch=1)."
    )


@pytest.mark.parametrize("batches", [(1, 16), (16, 1)])
def test_the_order_of_batches_recommends_no_other_model(
    planted: Planted, batches: tuple[int, int]
) -> None:
    """One is quicker alone, the other in a batch: the smallest is meant, and named."""
    for batch in batches:
        planted.latency("alone", [1.0 if batch == 1 else 50.0] * 100, batch=batch)
        planted.latency("batched", [2.0 if batch == 1 else 40.0] * 100, batch=batch)
    told = planted.comparison
    assert told.recommend(Choice(best="latency_ms")).best == "alone"
    assert told.recommend(Choice(best="latency_ms@batch=16")).best == "batched"
    text = choosing.recommendation(told, "q", Choice(best="latency_ms"))
    assert text.startswith("**q** (best `latency_ms@batch=1`): **alone**, 1")
    found = told.recommend(Choice(best="latency_ms", where=("latency_ms@batch=32 <= 9",)))
    assert set(found.refused.values()) == {"has no latency_ms@batch=32"}


def test_a_lead_that_no_table_has_is_corrected_over_all_pairs(planted: Planted) -> None:
    """The best was picked by its figures: of three models, any pair could have been told."""
    wrong = {"one": 2, "two": 12, "three": 20}
    for model, count in wrong.items():
        planted.attack(model, "pgd", [i < count for i in range(100)])
    found = planted.comparison.recommend(Choice(best="robust_accuracy@attack=pgd"))
    flat = [[i >= n for i in range(100)] for n in wrong.values()]
    pairs = [(0, 1), (0, 2), (1, 2)]
    raw = [statistics.mcnemar(flat[a], flat[b]).p_value for a, b in pairs]
    assert found.best == "one"
    assert list(found.others.values()) == statistics.holm(raw)[:2] != statistics.holm(raw[:2])


def test_less_is_better_where_the_metric_says_so(three: Comparison) -> None:
    found = three.recommend(Choice(best="size_bytes"))
    assert found.best == "slow"  # four letters
    assert found.others == {"quick": 0.0, "untimed": 0.0}  # counted: nothing is left to chance
    text = choosing.recommendation(three, "s", Choice(best="size_bytes"))
    assert text.endswith("**slow**, 400. Better than quick, untimed, as counted.")
    alike = three.recommend(Choice(best="parameters"))
    assert (alike.best, alike.others) == ("slow", {"quick": 1.0, "untimed": 1.0})
    text = choosing.recommendation(three, "p", Choice(best="parameters"))
    assert text.endswith("Equal to quick, untimed: the first in the suite is named.")


def test_where_nothing_keeps_the_constraints_nothing_is_recommended(three: Comparison) -> None:
    choice = Choice(where=("clean_accuracy > 99.9 %",))
    found = three.recommend(choice)
    assert found.best is None
    assert set(found.refused) == {"slow", "quick", "untimed"}
    assert "no model keeps the constraints." in choosing.recommendation(three, "n", choice)


def test_equals_are_recommended_in_the_suites_order_and_said_to_be_so(planted: Planted) -> None:
    for name in ("first", "second"):
        planted.evaluate(name, hits(range(5)))
    found = planted.comparison.recommend(Choice())
    assert found.best == "first"
    assert found.others == {"second": 1.0}
    text = choosing.recommendation(planted.comparison, "t", Choice())
    assert "The data cannot tell it from second (p = 1.000)." in text


def test_a_model_without_the_figure_to_choose_by_is_told(three: Comparison) -> None:
    found = three.recommend(Choice(best="latency_ms"))
    assert found.best == "quick"
    assert found.refused == {"untimed": "has no latency_ms"}
    assert found.others == {"slow": None}  # runs that follow one another are not tested


def test_a_metric_that_is_none_is_told(three: Comparison) -> None:
    with pytest.raises(UsageError, match="'latency' is no metric; did you mean 'latency_ms"):
        three.recommend(Choice(best="latency"))


@pytest.mark.parametrize(
    ("choice", "text"),
    [
        ({"best": "acuracy"}, r"recommend.x.*'acuracy'"),
        ({"best": "robust_accuracy@attack=pdg"}, r"'pdg' is no attack.*did you mean 'pgd'"),
        ({"best": "robust_accuracy@atack=pgd"}, r"recommend.x.best: 'atack' is no dimension"),
        ({"best": "robust_accuracy@pgd"}, r"recommend.x.best: got 'robust_accuracy@pgd'"),
        ({"where": ["robust_accuracy@attack=pdg > 0"]}, r"where\[0\]: 'pdg' is no attack"),
        ({"where": ["latency <= 3"]}, r"recommend.x.*'latency'"),
        ({"where": ["latency_ms = 3"]}, r"recommend.x.*got 'latency_ms = 3', expected a metric"),
        ({"best": "busy_elsewhere"}, r"recommend.x.best: of 'busy_elsewhere' neither more nor "),
        ({"where": ["clean_accuracy >= 98"]}, r"got clean_accuracy >= 98, expected a share, 0 to "),
        ({"where": ["macro_f1 > -1 %"]}, r"got macro_f1 > -1 %, expected a share"),
        ({"where": ["latency_ms <= 20 %"]}, r"got latency_ms <= 20 %, expected a number without %"),
        ({"where": ["macs <= 20%"]}, r"got macs <= 20%, expected a number without %: count"),
    ],
)
def test_a_suite_with_a_choice_that_cannot_be_made_is_refused_before_it_runs(
    tiny: dict[str, Any], choice: dict[str, Any], text: str
) -> None:
    """Or else hours of computing end in a page that cannot be written."""
    tiny["recommend"] = {"x": choice}
    with pytest.raises(SuiteError, match=text):
        suite.read(tiny)


def test_what_cannot_be_chosen_is_told_with_its_line_all_at_once(
    plugins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(
        """suite: s
dataset: blobs
models:
  linear: {train: {}}
recommend:
  fast:
    best: healed
    where:
      - clean_accuracy >= 98
      - latency_ms <= 20 %
      - clean_accuracy >= 98 %
""",
        encoding="utf-8",
    )
    with pytest.raises(SuiteError) as error:
        suite.read("s.yaml")
    told = map(str, error.value.problems)
    ways, share, percent = sorted(told, key=lambda one: int(one.split(":")[1]))
    assert ways.startswith(
        "s.yaml:7: recommend.fast.best: of 'healed' neither more nor less is better, expected "
    )
    assert {"clean_accuracy", "latency_ms"} <= set(
        re.findall(r"\w+", ways.partition("expected")[2])
    )
    assert "healed" not in ways.partition("expected")[2]
    assert share == (
        "s.yaml:9: recommend.fast.where[0]: got clean_accuracy >= 98, expected a share, 0 to 1: "
        "98 % perhaps"
    )
    assert percent == (
        "s.yaml:10: recommend.fast.where[1]: got latency_ms <= 20 %, expected a number without %: "
        "ms"
    )


@pytest.mark.parametrize(
    "text", ["clean_accuracy >= 0.98", "clean_accuracy <= 100 %", "macs < 2e9"]
)
def test_bounds_in_their_metric_s_unit_are_read(tiny: dict[str, Any], text: str) -> None:
    tiny["recommend"] = {"x": {"where": [text]}}
    assert suite.read(tiny).recommend["x"].where == (text,)


def test_estimates_of_nothing_make_no_row(planted: Planted) -> None:
    planted.profile("a", parameters=3)
    names = [row.metric.name for row in planted.comparison.rows]
    assert names == ["parameters"]
    assert planted.row("parameters").estimates == {"a": Estimate(3.0, None, None, 0)}
    assert METRICS["parameters"].better == "lower"
