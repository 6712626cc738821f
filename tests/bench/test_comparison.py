"""Models side by side, on records that were planted so that the answer is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import comparison, constraints, metrics, statistics, suite
from bench.comparison import ALPHA, Comparison
from bench.errors import SuiteError, UsageError
from bench.layout import Choice
from bench.matrix import Matrix
from bench.metrics import METRICS, Withheld
from bench.records import Coordinates, EvaluateRecord, ExplainRecord, Result
from bench.report import choosing
from bench.statistics import Estimate
from bench.store import Store

cheap = settings(derandomize=True, database=None, deadline=None, max_examples=80)


class Planted:
    """A run whose cells say what a test wants them to."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "store")
        self.cells: list[dict[str, Any]] = []

    def put(self, kind: str, model: str, result: Result, **told: Any) -> None:
        facts = told.pop("facts", {})
        state = told.pop("state", "done")
        place = Coordinates(model, **told)
        key = f"{len(self.cells):064x}"
        self.store.put(key, kind, place, {}, result, {})
        self.cells.append(
            {
                "label": f"{kind} {place}",
                "kind": kind,
                "coordinates": asdict(place),
                "facts": facts,
                "state": state,
                "key": key,
                "reason": "",
            }
        )

    def evaluate(self, model: str, right: Sequence[bool], **told: Any) -> None:
        """Two classes in turn; where the model is not right it says the other one."""
        prefix = told.pop("prefix", "test")
        records = [
            EvaluateRecord(f"{prefix}/{i}", i % 2, i % 2 if hit else 1 - i % 2, 0.75)
            for i, hit in enumerate(right)
        ]
        summary = {"images": len(records)}
        self.put("evaluate", model, Result(records=records, summary=summary), **told)

    def profile(self, model: str, **summary: Any) -> None:
        self.put("profile", model, Result(summary=summary))

    def latency(self, model: str, milliseconds: Sequence[float], batch: int = 1) -> None:
        runs = np.asarray(milliseconds, dtype=np.float64)
        summary = {"images": len(runs), "latency_ms": float(runs.mean())}
        result = Result(arrays={"milliseconds": runs}, summary=summary)
        place = {"batch": batch, "threads": 1}
        self.put("latency", model, result, facts=place)

    @property
    def comparison(self) -> Comparison:
        run = {"cells": self.cells, "notes": [], "source": "planted", "recommend": {}}
        return Comparison(Matrix(self.store, run))

    def row(self, name: str, part: str = "") -> comparison.Row:
        (found,) = [r for r in self.comparison.rows if (r.metric.name, r.part) == (name, part)]
        return found


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
    """Seven images to none: p = 2 / 2 ** 7 = 0.016, which thirty tests bring above 0.05."""
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


def test_p_values_are_holm_s_over_all_tests_of_the_table(planted: Planted) -> None:
    generator = np.random.default_rng(3)
    known = {
        name: list(generator.random(60) < share)
        for name, share in zip("abc", (0.9, 0.8, 0.5), strict=True)
    }
    for name, right in known.items():
        planted.evaluate(name, right)
    told = planted.comparison
    matrix = told.matrix
    raw, found = [], []
    for row in told.rows:
        for test in row.tests:
            pair = [
                matrix.records(told.entries("evaluate", m)[0]) for m in (test.first, test.second)
            ]
            if row.metric.name == "clean_accuracy":
                assert test.name == "McNemar's exact test"
                raw.append(statistics.mcnemar(known[test.first], known[test.second]).p_value)
            else:
                assert test.name == "paired bootstrap"
                images = sorted(pair[0]["image"])
                one, other = (metrics.statistic(row.metric, one, images) for one in pair)
                raw.append(statistics.paired([one], [other], 60).p_value)
            found.append(test.p_value)
    assert len(raw) == 5 * 3  # five figures of images, three pairs of models
    assert found == statistics.holm(raw)
    assert found != raw


def test_the_best_is_better_than_every_other(planted: Planted) -> None:
    planted.evaluate("last", hits(range(80)))
    planted.evaluate("first", hits(range(9)))
    planted.evaluate("close", hits(range(10)))
    assert planted.row("clean_accuracy").best is None
    assert planted.comparison.models == ["last", "first", "close"]


def test_a_lower_figure_is_better_where_it_says_so(planted: Planted) -> None:
    """Sure at 0.75 always: right 3 in 4 is calibrated, right always is 0.25 off."""
    planted.evaluate("sharp", hits([]))
    planted.evaluate("calibrated", hits(range(0, 100, 4)))
    row = planted.row("calibration_error")
    assert row.estimates["calibrated"].value == pytest.approx(0)
    assert row.estimates["sharp"].value == pytest.approx(0.25)
    assert row.best == "calibrated"
    assert planted.row("clean_accuracy").best == "sharp"


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


def test_folds_are_one_sample(planted: Planted) -> None:
    for name, wrong in (("better", 1), ("worse", 20)):
        for fold in (1, 2):
            planted.evaluate(
                name, hits(range(wrong), 50), replica=f"fold{fold}of2", prefix=f"train{fold}"
            )
    row = planted.row("clean_accuracy")
    assert row.tests[0].name == "McNemar's exact test"
    assert row.estimates["worse"] == statistics.rate(60, 100)
    assert row.best == "better"


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


def test_explanations_are_compared_on_the_sample_whatever_galleries_show(planted) -> None:
    """Galleries hold other images for every model: those that it has wrong."""
    for name, value in (("good", 0.5), ("bad", 0.1)):
        sample = [
            ExplainRecord(
                f"test/{i}", 0, 0, 0.9, True, False, 0.1, 0.2, value + 0.001 * i, 0.0, value, 0.3
            )
            for i in range(30)
        ]
        shown = ExplainRecord(f"shown/{name}", 0, 1, 0.9, False, *[None] * 7)
        planted.put("explain", name, Result(records=[*sample, shown]), explainer="saliency")
    row = planted.row("faithfulness", "explainer=saliency")
    assert row.estimates["good"].n == 30
    assert [(test.first, test.second) for test in row.tests] == [("good", "bad")]
    assert row.best == "good"


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
    raw = [statistics.mcnemar(hits(range(2)), hits(range(wrong))).p_value for wrong in (40, 60)]
    assert list(found.others) == ["quick", "untimed"]
    assert list(found.others.values()) == statistics.holm(raw)


def test_what_breaks_a_constraint_is_left_out_with_the_reason(three: Comparison) -> None:
    found = three.recommend(Choice(where=("latency_ms <= 20",)))
    assert found.best == "quick"
    assert found.others == {}
    assert found.refused == {"slow": "latency_ms is 30", "untimed": "has no latency_ms"}
    found = three.recommend(Choice(where=("latency_ms@batch=16 <= 70", "clean_accuracy >= 90 %")))
    assert found.best == "slow"
    assert found.refused["quick"] == "clean_accuracy is 0.6"
    text = choosing.recommendation(three, "fast", Choice(where=("latency_ms <= 20",)))
    assert text == (
        "**fast** (best `clean_accuracy` with `latency_ms <= 20`): **quick**, 60.0 %. Left out: "
        "slow (latency_ms is 30), untimed (has no latency_ms)."
    )


def test_less_is_better_where_the_metric_says_so(three: Comparison) -> None:
    found = three.recommend(Choice(best="size_bytes"))
    assert found.best == "slow"  # four letters
    assert found.others == {"quick": None, "untimed": None}  # counted, so there is no test
    text = choosing.recommendation(three, "s", Choice(best="size_bytes"))
    assert "**slow**, 400." in text
    assert "Not tested against quick, untimed." in text


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


def test_a_metric_that_is_none_is_told(three: Comparison) -> None:
    with pytest.raises(UsageError, match="'latency' is no metric; did you mean 'latency_ms"):
        three.recommend(Choice(best="latency"))


@pytest.mark.parametrize(
    ("choice", "text"),
    [
        ({"best": "acuracy"}, r"recommend.x.*'acuracy'"),
        ({"where": ["latency <= 3"]}, r"recommend.x.*'latency'"),
        ({"where": ["latency_ms = 3"]}, r"recommend.x.*got 'latency_ms = 3', expected a metric"),
    ],
)
def test_a_suite_with_a_choice_that_cannot_be_made_is_refused_before_it_runs(
    tiny: dict[str, Any], choice: dict[str, Any], text: str
) -> None:
    """Or else hours of computing end in a page that cannot be written."""
    tiny["recommend"] = {"x": choice}
    with pytest.raises(SuiteError, match=text):
        suite.read(tiny)


def test_estimates_of_nothing_make_no_row(planted: Planted) -> None:
    planted.profile("a", parameters=3)
    names = [row.metric.name for row in planted.comparison.rows]
    assert names == ["parameters"]
    assert planted.row("parameters").estimates == {"a": Estimate(3.0, None, None, 0)}
    assert METRICS["parameters"].better == "lower"
