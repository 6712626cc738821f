"""Which model is recommended, on records that were planted so that the answer is known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from planted import Planted, hits

from bench import statistics
from bench.audit import Audit, Finding
from bench.commands import run as session
from bench.compare import recommendation
from bench.compare.models import Comparison
from bench.compare.recommendation import recommend
from bench.compare.selection import select
from bench.errors import UsageError
from bench.matrix import Matrix
from bench.metrics import METRICS
from bench.metrics.constraints import figure, parse
from bench.records import Result
from bench.report import choosing, markdown, recommending
from bench.report import page as pages
from bench.store import Store
from bench.suite.sections import Choice


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
        "slow (latency_ms <= 20 is missed: 30 ms, latency_ms@batch=1), untimed "
        "(has no latency_ms@batch=1)."
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
    assert "Not significantly better than second (p = 1)." in text


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


# Constraints, with their intervals


def checked(planted: Planted, text: str) -> tuple[str | None, str, dict[str, str]]:
    found = recommend(planted.comparison, Choice(where=(text,)))
    return found.best, found.conclusion, dict(found.refused)


def test_a_constraint_is_met_missed_or_cannot_be_told(planted: Planted) -> None:
    """Of 100 images 95 are right: Wilson's interval is 88.8 to 97.8 %."""
    planted.evaluate("net", hits(range(5)))
    assert checked(planted, "clean_accuracy >= 85 %") == ("net", "recommended", {})
    interval = "95.0 % [88.8, 97.8] (100)"
    words = f"clean_accuracy >= 94 % cannot be told: {interval}"
    assert checked(planted, "clean_accuracy >= 94 %") == (None, "cannot be told", {"net": words})
    words = f"clean_accuracy >= 98 % is missed: {interval}"
    assert checked(planted, "clean_accuracy >= 98 %") == (None, "no model", {"net": words})
    assert checked(planted, "clean_accuracy < 99 %")[0] == "net"
    text = markdown.text(
        choosing.recommendation(planted.comparison, "x", Choice(where=("clean_accuracy > 94 %",)))
    )
    assert "cannot be told whether a model keeps the constraints." in text


def test_who_may_keep_a_constraint_is_not_taken_for_who_does(planted: Planted) -> None:
    planted.evaluate("surely", hits(range(1)))
    planted.evaluate("perhaps", hits(range(6)))
    best, conclusion, refused = checked(planted, "clean_accuracy >= 92 %")
    assert (best, conclusion, list(refused)) == ("surely", "recommended", ["perhaps"])


def test_what_is_counted_needs_no_interval(planted: Planted) -> None:
    planted.profile("net", parameters=100)
    planted.evaluate("net", hits(range(5)))
    assert checked(planted, "parameters <= 100")[0] == "net"
    assert checked(planted, "parameters < 100")[1] == "no model"


def test_too_few_images_for_an_interval_cannot_be_told(planted: Planted) -> None:
    planted.evaluate("net", hits(range(5)))
    selected = select(planted.comparison, figure("clean_accuracy"))
    few = replace(selected.estimates["net"], low=None, high=None, lacks="too few images")
    selected = replace(selected, estimates={"net": few})
    assert (
        recommendation.tested(parse("clean_accuracy >= 1 %"), selected, "net")[0]
        == "cannot be told"
    )


# Timings


def test_timings_are_judged_by_their_median(planted: Planted) -> None:
    """One run of a hundred took three seconds: the mean is 31 ms, the median 1."""
    planted.evaluate("net", hits(range(5)))
    planted.latency("net", [1.0] * 99 + [3000.0])
    assert checked(planted, "latency_ms <= 20")[0] == "net"


def test_disturbed_timings_are_said_to_be(planted: Planted) -> None:
    planted.evaluate("net", hits(range(5)))
    planted.latency("net", [30.0] * 100, busy=0.5)
    _, _, refused = checked(planted, "latency_ms <= 20")
    assert refused["net"].endswith("30 ms, latency_ms@batch=1, timings disturbed")
    found = recommend(planted.comparison, Choice(where=("latency_ms <= 40",)))
    assert (found.best, found.notes) == ("net", ("timings disturbed",))
    shown = choosing.recommendation(planted.comparison, "x", Choice(where=("latency_ms <= 40",)))
    assert "Timings disturbed." in markdown.text(shown)


# What a recommendation is judged by


def test_without_an_attack_it_is_the_worst_case_at_the_budget(planted: Planted) -> None:
    """fgsm alone would choose the other model; noise decides nothing."""
    for model, counts in (("one", (30, 80)), ("two", (60, 60))):
        for name, count in zip(("fgsm", "pgd"), counts, strict=True):
            planted.attack(model, name, [i < count for i in range(100)])
        planted.attack(model, "noise", [False] * 100)
    found = recommend(planted.comparison, Choice(best="robust_accuracy"))
    assert str(found.figure) == "worst_case_accuracy@budget=linf 0.1"
    assert (found.best, found.value, found.budget) == ("two", 0.4, "linf 0.1")
    text = markdown.text(
        choosing.recommendation(planted.comparison, "x", Choice(best="robust_accuracy"))
    )
    assert "Decided by fgsm." in text  # of the two that fool the same 60 images, the first


def test_one_attack_is_named(planted: Planted) -> None:
    planted.attack("net", "pgd@eps=0.0313725", [i < 50 for i in range(100)], eps=8 / 255)
    planted.attack("net", "noise", [False] * 100)
    found = recommend(planted.comparison, Choice(best="robust_accuracy"))
    assert (found.best, found.attack, found.budget) == ("net", "pgd@eps=8/255", "linf 8/255")
    shown = choosing.recommendation(planted.comparison, "x", Choice(best="robust_accuracy"))
    assert "Judged by pgd@eps=8/255." in markdown.text(shown)


@pytest.mark.parametrize("best", ["robust_accuracy", "robust_accuracy@attack=noise"])
def test_nobody_is_recommended_by_noise(planted: Planted, best: str) -> None:
    planted.attack("net", "noise", [False] * 100)
    found = recommend(planted.comparison, Choice(best=best))
    assert found.best is None
    assert "noise, a control" in found.refused["net"]


def test_a_worst_case_that_noise_decides_recommends_nobody(planted: Planted) -> None:
    planted.attack("net", "fgsm", [False] * 100)
    planted.attack("net", "noise", [i < 5 for i in range(100)])
    found = recommend(planted.comparison, Choice(best="worst_case_accuracy"))
    assert "noise, a control" in found.refused["net"]


def test_models_under_other_attacks_are_not_compared(planted: Planted) -> None:
    """Each model has one cell that the figure picks, but they are of different attacks."""
    planted.attack("one", "fgsm", [i < 10 for i in range(100)])
    planted.attack("two", "pgd", [i < 60 for i in range(100)])
    found = recommend(planted.comparison, Choice(best="robust_accuracy@norm=linf"))
    assert found.best is None
    assert found.refused["one"].endswith("lacks pgd, which other models were attacked with")
    by_rate = recommend(planted.comparison, Choice(best="success_rate@norm=linf"))
    assert "add @attack=, one of fgsm, pgd" in by_rate.refused["one"]


def test_a_worst_case_without_an_attack_that_others_met_is_left_out(planted: Planted) -> None:
    planted.attack("full", "fgsm", [i < 10 for i in range(100)])
    planted.attack("full", "cw", [i < 60 for i in range(100)])
    planted.attack("spared", "fgsm", [i < 10 for i in range(100)])
    planted.attack("spared", "cw", [], state="skipped", reason="no gradients")
    found = recommend(planted.comparison, Choice(best="worst_case_accuracy"))
    assert found.best == "full"
    assert found.refused["spared"].endswith("lacks cw, which other models were attacked with")


def test_transfers_are_not_compared_with_attacks(planted: Planted) -> None:
    planted.attack("one", "pgd", [i < 60 for i in range(100)])
    planted.transfer("one", "two", "pgd", [i < 5 for i in range(100)])
    found = recommend(planted.comparison, Choice(best="robust_accuracy@attack=pgd"))
    assert (found.best, list(found.refused)) == ("one", ["two"])


# What the audit found


def carrying(planted: Planted, *labels: str, is_mark: bool, metric: str) -> Comparison:
    beside = Finding("doubt", labels, frozenset({metric}), "a reason", {}, None, is_mark=is_mark)
    lists = ((), (beside,)) if is_mark else ((beside,), ())
    comparison = planted.comparison
    comparison.__dict__["audited"] = Audit(lists[0], {}, (), lists[1])
    return comparison


@pytest.mark.parametrize("metric", ["robust_accuracy", "clean_accuracy"])
def test_what_rests_on_a_finding_is_not_recommended(planted: Planted, metric: str) -> None:
    """Whether by the figure that is chosen by, or by a constraint."""
    for model, count in (("best", 10), ("next", 30)):
        planted.evaluate(model, hits(range(5)))
        planted.attack(model, "pgd", [i < count for i in range(100)])
    labels = ("attack best/pgd", "evaluate best")
    choice = Choice(best="robust_accuracy@attack=pgd", where=("clean_accuracy > 80 %",))
    found = recommend(carrying(planted, *labels, is_mark=False, metric=metric), choice)
    assert found.best == "next"
    assert found.refused["best"].endswith("is in doubt: the audit found doubt")
    marked = recommend(carrying(planted, *labels, is_mark=True, metric=metric), choice)
    assert (marked.best, [each.rule for each in marked.marks]) == ("best", ["doubt"])
    comparison = carrying(planted, *labels, is_mark=True, metric=metric)
    assert "Marked: a reason (doubt)." in markdown.text(
        choosing.recommendation(comparison, "x", choice)
    )


def test_a_worst_case_carries_what_its_attack_does(planted: Planted) -> None:
    planted.attack("net", "fgsm", [i < 10 for i in range(100)])
    marked = carrying(planted, "attack net/fgsm", is_mark=True, metric="robust_accuracy")
    found = recommend(marked, Choice(best="worst_case_accuracy"))
    assert [each.rule for each in found.marks] == ["doubt"]


# As a file


def test_the_file_says_what_each_rests_on(planted: Planted, tmp_path: Path) -> None:
    planted.evaluate("net", hits(range(5)))
    planted.evaluate("other", hits(range(60)))
    matrix = planted.matrix
    matrix.run["recommend"] = {
        "good": {"best": "clean_accuracy", "where": ["clean_accuracy >= 85 %"]},
        "better": {"best": "clean_accuracy", "where": ["clean_accuracy >= 94 %"]},
    }
    pages.write(matrix, tmp_path / "page")
    document = json.loads((tmp_path / "page" / "recommendations.json").read_text(encoding="utf-8"))
    good, better = document["recommendations"]
    assert (good["name"], good["conclusion"], good["choice"]) == ("good", "recommended", "net")
    assert (good["value"], good["n"], good["attack"], good["marks"]) == (0.95, 100, None, [])
    assert good["interval"] == pytest.approx([0.888, 0.978], abs=1e-3)
    assert [each["model"] for each in good["left_out"]] == ["other"]
    assert (better["conclusion"], better["choice"]) == ("cannot be told", None)
    found = recommending.Recommendations(matrix)
    assert found.unmet(["good", "better"]) == ["better"]
    assert found.text.splitlines()[0].startswith("- good (best clean_accuracy with ")


def test_a_run_without_recommendations_has_no_file(planted: Planted, tmp_path: Path) -> None:
    planted.evaluate("net", hits(range(5)))
    pages.write(planted.matrix, tmp_path / "page")
    assert not (tmp_path / "page" / "recommendations.json").exists()
    assert recommending.Recommendations(planted.matrix).text == ""


def test_what_is_required_and_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--require: 'fsat' is no recommendation.*mean 'fast'"):
        recommending.check_names(["fsat"], {"fast": None})
    with pytest.raises(UsageError, match="expected a suite with 'recommend:'"):
        recommending.check_names(["fast"], {})


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
