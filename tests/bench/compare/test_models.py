"""Models side by side, on records that were planted so that the answer is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from planted import Planted, compared, hits
from scipy import stats

from bench import metrics, statistics
from bench.compare import models as comparison
from bench.compare.models import ALPHA
from bench.compare.recommendation import recommend
from bench.compare.selection import select
from bench.metrics import METRICS, Withheld
from bench.metrics.constraints import Figure
from bench.records import EvaluateRecord, ExplainRecord, Result
from bench.report import choosing, markdown
from bench.statistics import Estimate
from bench.suite.sections import Choice

cheap = settings(derandomize=True, database=None, deadline=None, max_examples=80)


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
    reported = planted.comparison
    tested = {row.metric.name: row for row in reported.rows if row.tests}
    assert set(tested) == {"clean_accuracy", "macro_precision", "macro_recall", "macro_f1"}
    corrected = 0
    for row in tested.values():
        raw = []
        for test in row.tests:
            pair = [
                reported.matrix.records(reported.entries("evaluate", m)[0])
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
def test_a_lead_can_be_significant_in_a_family_of_any_size(models: int) -> None:
    """The least p-value of a bootstrap, times the size of the family, is far from 0.05."""
    family = models * (models - 1) // 2
    least = 2 / (statistics.resamples_for(family) + 1)
    assert least * family <= 0.025
    assert statistics.resamples_for(family) >= 2000


@pytest.mark.slow
def test_a_clear_lead_stays_bold_among_as_many_as_a_whole_suite_has(planted: Planted) -> None:
    """Thirteen make 78 pairs: 2 / 2001, times 78, would be 0.078."""
    planted.evaluate("best", hits(range(5)))
    for number in range(12):
        planted.evaluate(f"other{number}", hits(range(5 + number, 35 + number)))
    assert planted.row("macro_f1").best == "best"
    text = markdown.text(choosing.recommendation(planted.comparison, "f1", Choice(best="macro_f1")))
    assert "Not significantly" not in text
    assert text.count("(p < ") == 12  # what the draws allow is a bound


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
    assert recommend(planted.comparison, choice).others == {"sharp": None}
    text = markdown.text(choosing.recommendation(planted.comparison, "c", choice))
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
    """But for shares of images, which those in common have."""
    planted.evaluate("worse", hits(range(70)))
    if case == "others":
        planted.evaluate("better", hits([]), prefix="other")
    else:
        planted.evaluate("better", hits([], count=99))
    for name in ("clean_accuracy", "macro_f1"):
        row = planted.row(name)
        assert set(row.estimates) == {"worse", "better"}  # each is reported all the same
        is_compared = (case, name) == ("fewer", "clean_accuracy")
        assert [test.difference.n for test in row.tests] == [99] * is_compared
        assert row.best == ("better" if is_compared else None)


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
    """Cross-validate: in each fold the first images are wrong, as many as are given."""
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
    reported = planted.comparison
    scores = [
        [
            reported.matrix.estimate([e], METRICS["macro_f1"]).value
            for e in reported.entries("evaluate", m)
        ]
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
    assert bare.p_value < 0.05 < 2 * stats.t.sf(0.0044 / 0.014, 99)
    found = statistics.paired(first, second, 0.014**2)
    assert found.low < 0 < found.high
    assert found.p_value == pytest.approx(2 * stats.t.sf(0.0044 / 0.014, 99))


@pytest.mark.parametrize("name", ["macro_precision", "macro_recall", "macro_f1"])
def test_scores_of_models_that_are_right_on_the_same_images_are_not_certainly_equal(
    planted: Planted, name: str
) -> None:
    """As little as their accuracies are: of forty images, a difference of points is no surprise."""
    for model in ("one", "other"):
        planted.evaluate(model, hits(range(3), 40))
    (test,) = planted.row(name).tests
    assert (test.difference.value, test.p_value) == (0, 1)
    reach, least = stats.t.ppf([0.975, 0.95], 39) * np.sqrt(2 / 42**2)
    assert (test.difference.low, test.difference.high) == pytest.approx((-reach, reach))
    assert test.difference.lower_bound == pytest.approx(-least)


def test_a_lead_that_is_the_same_in_each_fold_is_as_sure_as_its_images(planted: Planted) -> None:
    """Without a spread over folds t is infinite; one image in each of five is still only five."""
    folded(planted, "one", [1] * 5)
    folded(planted, "none", [0] * 5)
    row = planted.row("clean_accuracy")
    images = [f"train{fold}/{i}" for fold in range(1, 6) for i in range(20)]
    reported = planted.comparison
    figures = [
        metrics.statistic(
            METRICS["clean_accuracy"],
            metrics.by_training(reported.matrix.cell_data(reported.entries("evaluate", m)))[0],
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


def test_folds_of_several_seeds_are_no_more_folds(tmp_path: Path) -> None:
    """Of two folds each seed agrees on the lead, which one of them shows and the other does not."""
    p_values = {}
    for seeds in ((None,), (1, 2, 3)):
        planted = Planted(tmp_path / str(len(seeds)))
        for seed in seeds:
            for fold in (1, 2):
                for name, wrong in (("better", 1), ("worse", 8 if fold == 1 else 2)):
                    planted.evaluate(
                        name,
                        hits(range(wrong), 20),
                        replica=f"seed{seed}-fold{fold}of2" if seed else f"fold{fold}of2",
                        prefix=f"train{fold}",
                    )
        [test] = planted.row("clean_accuracy").tests
        assert test.name == "corrected t test over folds"
        p_values[len(seeds)] = test.p_value
    assert p_values[3] == pytest.approx(nadeau_bengio([7 / 20, 1 / 20]))
    assert p_values[1] == pytest.approx(p_values[3])


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
    choice = Choice(best="clean_accuracy")
    refused = recommend(planted.comparison, choice).refused
    assert refused == {"part": "has no clean_accuracy: 1 of 2 replicas failed"}


@pytest.mark.parametrize("kind", ["evaluate", "profile", "latency"])
def test_beside_a_figure_that_is_missing_nothing_is_best(planted: Planted, kind: str) -> None:
    """The model without a figure may be the best of all."""

    def put(name: str, wrong: int, **reported: Any) -> None:
        if kind == "evaluate":
            planted.evaluate(name, hits(range(wrong)), **reported)
        elif kind == "profile":
            planted.put("profile", name, Result(summary={"macs": wrong}), **reported)
        else:
            runs = np.full(100, float(wrong))
            result = Result(arrays={"milliseconds": runs}, summary={"latency_ms": float(wrong)})
            planted.put("latency", name, result, facts={"batch": 1}, **reported)

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
        ((None, None), "quick"),  # the platform does not say
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
    compared = planted.comparison
    for batch, expected in ((1, {"a": 1, "b": 5}), (16, {"a": 9, "b": 2}), (2, {})):
        asked = Figure("latency_ms", (("batch", str(batch)),))
        assert select(compared, asked).values == expected
    assert select(compared, Figure("latency_ms")).values == {"a": 1, "b": 5}  # of the smallest
    assert select(compared, Figure("parameters")).values == {}


def test_a_figure_that_is_withheld_is_not_tested(planted: Planted) -> None:
    """And makes no family larger: of three models one has a fold without a result."""
    for name, wrong in (("better", 1), ("worse", 8), ("part", 8)):
        for fold in ("a", "b"):
            state = "failed" if (name, fold) == ("part", "b") else "done"
            planted.evaluate(
                name,
                hits(range(wrong), 20),
                replica=f"fold{1 + (fold == 'b')}of2",
                prefix=fold,
                state=state,
            )
    row = planted.row("clean_accuracy")
    assert isinstance(row.estimates["part"], Withheld)
    assert [(test.first, test.second) for test in row.tests] == [("better", "worse")]
    assert row.best is None


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
        planted.put("explain", name, Result(records=sample), explainer="saliency")
        shown = Result(records=[EvaluateRecord(f"shown/{name}", 0, 1, 0.9)])
        planted.put("gallery", name, shown, explainer="saliency")
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


def test_estimates_of_nothing_make_no_row(planted: Planted) -> None:
    planted.profile("a", parameters=3)
    names = [row.metric.name for row in planted.comparison.rows]
    assert names == ["parameters"]
    assert planted.row("parameters").estimates == {"a": Estimate(3.0, None, None, 0)}
    assert METRICS["parameters"].better == "lower"
