"""Which model is recommended, on records that were planted so that the answer is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from planted import Planted

from bench import statistics
from bench.commands import run as session
from bench.compare.models import Comparison
from bench.compare.recommendation import recommend
from bench.errors import UsageError
from bench.matrix import Matrix
from bench.metrics import METRICS
from bench.records import Result
from bench.report import choosing, markdown
from bench.store import Store
from bench.suite.sections import Choice


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    return Planted(tmp_path)


def hits(wrong: Sequence[int], count: int = 100) -> list[bool]:
    return [i not in set(wrong) for i in range(count)]


@pytest.fixture
def three(planted: Planted) -> Comparison:
    """One accurate, one quick, one that nobody timed."""
    for name, wrong, runs in (("slow", 2, 30.0), ("quick", 40, 3.0), ("untimed", 30, None)):
        planted.evaluate(name, hits(range(wrong)))
        planted.profile(name, size_bytes=len(name) * 100, parameters=5)
        if runs is not None:
            planted.latency(name, [runs] * 100)
            planted.latency(name, [2 * runs] * 100, batch=16)
    return planted.comparison


def test_the_best_is_recommended_with_the_p_value_of_its_lead(three: Comparison) -> None:
    found = recommend(three, Choice())
    assert found.best == "slow"
    assert found.refused == {}
    assert list(found.others) == ["quick", "untimed"]
    wrongs = ((2, 40), (2, 30), (40, 30))  # the three pairs of the table, in its order
    raw = [statistics.mcnemar(*(hits(range(n)) for n in pair)).p_value for pair in wrongs]
    assert list(found.others.values()) == statistics.holm(raw)[:2]


@pytest.mark.parametrize("metric", ["clean_accuracy", "macro_f1"])
@pytest.mark.parametrize("where", [(), ("latency_ms <= 100",)], ids=["all", "timed"])
def test_recommendations_state_the_p_values_of_the_table(three: Comparison, metric, where) -> None:
    """Also where a constraint leaves models out: a reader sees one p-value for one pair."""
    found = recommend(three, Choice(best=metric, where=where))
    (row,) = [row for row in three.rows if row.metric.name == metric]
    table = {frozenset((test.first, test.second)): test.p_value for test in row.tests}
    assert found.others == {
        other: table[frozenset((found.best, other))]
        for other in ("quick", "untimed")
        if other not in found.refused
    }
    assert ("untimed" in found.refused) is bool(where)


def test_what_breaks_a_constraint_is_left_out_with_the_reason(three: Comparison) -> None:
    found = recommend(three, Choice(where=("latency_ms <= 20",)))
    assert found.best == "quick"
    assert found.others == {}
    assert found.refused == {
        "slow": "latency_ms <= 20 is missed: 30 ms, latency_ms@batch=1",
        "untimed": "has no latency_ms@batch=1",
    }
    found = recommend(three, Choice(where=("latency_ms@batch=16 <= 70", "clean_accuracy >= 90 %")))
    assert found.best == "slow"
    assert found.refused["quick"].startswith("clean_accuracy >= 90 % is missed: 60.0 % [")
    text = markdown.text(
        choosing.recommendation(three, "fast", Choice(where=("latency_ms <= 20",)))
    )
    assert text == (
        "**fast** (best `clean_accuracy` with `latency_ms <= 20`): **quick**, 60.0 %. Left out: "
        "slow (latency_ms <= 20 is missed: 30 ms, latency_ms@batch=1), untimed (has no latency_ms@batch=1)."
    )


@pytest.mark.parametrize("batches", [(1, 16), (16, 1)])
def test_the_order_of_batches_recommends_no_other_model(
    planted: Planted, batches: tuple[int, int]
) -> None:
    """One is quicker alone, the other in a batch: the smallest is meant, and named."""
    for batch in batches:
        planted.latency("alone", [1.0 if batch == 1 else 50.0] * 100, batch=batch)
        planted.latency("batched", [2.0 if batch == 1 else 40.0] * 100, batch=batch)
    reported = planted.comparison
    assert recommend(reported, Choice(best="latency_ms")).best == "alone"
    assert recommend(reported, Choice(best="latency_ms@batch=16")).best == "batched"
    text = markdown.text(choosing.recommendation(reported, "q", Choice(best="latency_ms")))
    assert text.startswith("**q** (best `latency_ms@batch=1`): **alone**, 1")
    found = recommend(reported, Choice(best="latency_ms", where=("latency_ms@batch=32 <= 9",)))
    assert set(found.refused.values()) == {"has no latency_ms@batch=32"}


def test_a_lead_that_no_table_has_is_corrected_over_all_pairs(planted: Planted) -> None:
    """The best was picked by its figures: of three models, any pair could have been tested."""
    wrong = {"one": 2, "two": 12, "three": 20}
    for model, count in wrong.items():
        planted.attack(model, "pgd", [i < count for i in range(100)])
    found = recommend(planted.comparison, Choice(best="robust_accuracy@attack=pgd"))
    flat = [[i >= n for i in range(100)] for n in wrong.values()]
    pairs = [(0, 1), (0, 2), (1, 2)]
    raw = [statistics.mcnemar(flat[a], flat[b]).p_value for a, b in pairs]
    assert found.best == "one"
    assert list(found.others.values()) == statistics.holm(raw)[:2] != statistics.holm(raw[:2])


def test_less_is_better_where_the_metric_says_so(three: Comparison) -> None:
    found = recommend(three, Choice(best="size_bytes"))
    assert found.best == "slow"  # four letters
    assert found.others == {"quick": 0.0, "untimed": 0.0}  # counted: nothing is left to chance
    text = markdown.text(choosing.recommendation(three, "s", Choice(best="size_bytes")))
    assert text.endswith("**slow**, 400. Better than quick, untimed, as counted.")
    alike = recommend(three, Choice(best="parameters"))
    assert (alike.best, alike.others) == ("slow", {"quick": 1.0, "untimed": 1.0})
    text = markdown.text(choosing.recommendation(three, "p", Choice(best="parameters")))
    assert text.endswith("Equal to quick, untimed: the first in the suite is named.")


def test_where_nothing_keeps_the_constraints_nothing_is_recommended(three: Comparison) -> None:
    choice = Choice(where=("clean_accuracy > 99.9 %",))
    found = recommend(three, choice)
    assert found.best is None
    assert set(found.refused) == {"slow", "quick", "untimed"}
    assert "no model keeps the constraints." in markdown.text(
        choosing.recommendation(three, "n", choice)
    )


def test_equals_are_recommended_in_the_suites_order_and_said_to_be_so(planted: Planted) -> None:
    for name in ("first", "second"):
        planted.evaluate(name, hits(range(5)))
    found = recommend(planted.comparison, Choice())
    assert found.best == "first"
    assert found.others == {"second": 1.0}
    text = markdown.text(choosing.recommendation(planted.comparison, "t", Choice()))
    assert "Not significantly better than second (p = 1.000)." in text


def test_a_model_without_the_figure_to_choose_by_is_reported(three: Comparison) -> None:
    found = recommend(three, Choice(best="latency_ms"))
    assert found.best == "quick"
    assert found.refused == {"untimed": "has no latency_ms@batch=1"}
    assert found.others == {"slow": None}  # runs that follow one another are not tested


def test_a_metric_that_is_none_is_reported(three: Comparison) -> None:
    with pytest.raises(UsageError, match="'latency' is no metric; did you mean 'latency_ms"):
        recommend(three, Choice(best="latency"))


# One cell of several


def two_attacks(planted: Planted) -> None:
    """fgsm on two eps and pgd: of two models each is more robust to one of them."""
    for model, fooled in (("one", (10, 20, 60)), ("two", (5, 40, 50))):
        for name, eps, count in zip(
            ("fgsm@eps=0.05", "fgsm@eps=0.1", "pgd"), (0.05, 0.1, 8 / 255), fooled, strict=True
        ):
            budget = f"linf {eps:.6g}"
            planted.attack(model, name, [i < count for i in range(100)], eps=eps,
                           facts={"budget": budget})  # fmt: skip


@pytest.mark.parametrize(
    ("best", "named", "value"),
    [
        ("robust_accuracy@attack=fgsm@eps=0.1", "one", 0.8),
        ("robust_accuracy@eps=0.10", "one", 0.8),
        ("robust_accuracy@budget=linf 0.1", "one", 0.8),
        ("robust_accuracy@eps=8/255", "two", 0.5),
        ("robust_accuracy@budget=linf 8/255", "two", 0.5),
        ("robust_accuracy@norm=linf@plugin=pgd", "two", 0.5),
    ],
)
def test_a_figure_means_the_cell_that_its_values_pick(planted: Planted, best, named, value) -> None:
    two_attacks(planted)
    found = recommend(planted.comparison, Choice(best=best))
    assert (found.best, found.value) == (named, pytest.approx(value))
    assert found.refused == {}


@pytest.mark.parametrize(
    ("best", "words"),
    [
        ("robust_accuracy", "@attack=, one of fgsm@eps=0.05, fgsm@eps=0.1, pgd"),
        ("robust_accuracy@norm=linf", "@attack=, one of fgsm@eps=0.05, fgsm@eps=0.1, pgd"),
        ("robust_accuracy@attack=fgsm", "@attack=, one of fgsm@eps=0.05, fgsm@eps=0.1"),
    ],
)
def test_several_cells_are_neither_averaged_nor_is_the_first_taken(planted, best, words) -> None:
    two_attacks(planted)
    found = recommend(planted.comparison, Choice(best=best))
    assert found.best is None
    assert found.refused == dict.fromkeys(
        ("one", "two"), f"{best} may mean several cells: add {words}"
    )
    bounded = recommend(planted.comparison, Choice(best="robust_accuracy@attack=pgd",
                                                   where=(f"{best} >= 1 %",)))  # fmt: skip
    assert bounded.refused == found.refused
    assert f"add {words}" in markdown.text(
        choosing.recommendation(planted.comparison, "r", Choice(best=best))
    )


def test_the_worst_case_is_one_figure_for_all_attacks_of_a_budget(planted: Planted) -> None:
    for model, fooled in (("one", (range(10), range(5, 15))), ("two", (range(12), range(12)))):
        for name, hit in zip(("fgsm", "pgd"), fooled, strict=True):
            planted.attack(model, name, [i in hit for i in range(100)])
    for best in ("worst_case_accuracy", "worst_case_accuracy@budget=linf 0.1"):
        found = recommend(planted.comparison, Choice(best=best))
        assert (found.best, found.value) == ("two", pytest.approx(0.88))
        # 0 to 4 are wrong of both; the test is of 12 to 14, which only one of them has wrong
        p_value = statistics.mcnemar(
            [i >= 12 for i in range(100)], [i >= 15 for i in range(100)]
        ).p_value
        assert found.others == {"one": pytest.approx(p_value)}
    planted.attack("one", "far", [True] * 100, eps=0.2)
    found = recommend(planted.comparison, Choice(best="worst_case_accuracy"))
    assert "add @budget=, one of linf 0.1, linf 0.2" in found.refused["one"]


# What is withheld


def test_a_model_whose_figure_is_withheld_is_left_out_with_the_reason(planted: Planted) -> None:
    planted.attack("sound", "pgd", [i < 50 for i in range(100)])
    planted.attack("broken", "pgd", [False] * 100, broken={3: "linf 0.2 > 0.1"})
    planted.evaluate("sound", hits(range(20)))
    planted.evaluate("broken", hits([]))
    reason = "robust_accuracy@attack=pgd is withheld: 1 of 100 images: linf 0.2 > 0.1"
    best = recommend(planted.comparison, Choice(best="robust_accuracy@attack=pgd"))
    assert (best.best, best.others, best.refused) == ("sound", {}, {"broken": reason})
    bounded = recommend(planted.comparison, Choice(where=("robust_accuracy@attack=pgd >= 0",)))
    assert (bounded.best, bounded.refused) == ("sound", {"broken": reason})


def test_a_model_whose_attack_failed_is_left_out_with_the_reason(planted: Planted) -> None:
    planted.attack("sound", "pgd", [True] * 100)
    planted.put("attack", "failed", Result(), attack="pgd", state="failed", reason="boom")
    found = recommend(planted.comparison, Choice(best="robust_accuracy@attack=pgd"))
    assert (found.best, found.value) == ("sound", 0.0)
    assert found.refused == {"failed": "has no robust_accuracy@attack=pgd: failed"}


def test_a_figure_of_no_images_is_undefined(planted: Planted) -> None:
    planted.attack("never", "pgd", [])
    found = recommend(planted.comparison, Choice(best="success_rate@attack=pgd"))
    assert found.refused == {"never": "success_rate@attack=pgd is undefined: no image counts"}
    text = markdown.text(
        choosing.recommendation(planted.comparison, "r", Choice(best="success_rate@attack=pgd"))
    )
    assert text.startswith("**r** (best `success_rate@attack=pgd`): no model has this figure. Left")


# Every metric


@pytest.mark.slow
def test_every_metric_that_is_better_one_way_may_be_chosen_by(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    """At the end of a run an error would cost the page."""
    tiny |= {
        "attacks": {"fgsm": {"eps": 0.2}, "pgd": {"eps": 0.2, "steps": 2}},
        "profile": {"batches": [1, 2], "warmup": 1, "runs": 100},
    }
    session.run(tiny, store=tmp_path / "store", reports=None)
    comparison = Comparison(Matrix.last(Store(tmp_path / "store")))
    answered = set()
    for name, metric in METRICS.items():
        if metric.better is None:
            continue
        for best in (name, f"{name}@attack=pgd"):
            found = recommend(comparison, Choice(best=best, where=(f"{best} > -1",)))
            assert set(comparison.models) == {found.best, *found.others, *found.refused} - {None}
            answered |= {name} if found.best else set()
    assert {"worst_case_accuracy", "recovery_rate", "robust_accuracy", "macro_f1"} <= answered
