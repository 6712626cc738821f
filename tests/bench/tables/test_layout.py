"""Where nobody names rows and columns they follow the cells; what is absent is said as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from planted import Planted

from bench import tables
from bench.errors import UsageError
from bench.records import DriftRecord, Result


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    """Two models with cells of many kinds."""
    run = Planted(tmp_path)
    for model in ("net", "other"):
        run.evaluate(model, [True] * 9 + [False])
        run.profile(model, sparsity=0.5, size_bytes=100)
        run.latency(model, [1.0, 2.0], batch=1)
        run.latency(model, [3.0, 4.0], batch=16)
        run.attack(model, "pgd", [True, False] * 5)
        run.attack(model, "fgsm", [True, False, False] * 5)
        for explainer in ("saliency", "grad_cam"):
            records = [DriftRecord("test/0", 0, 0, 1, 0.5, 0.5, None)]
            facts = {"group": "pgd", "plugin": "pgd", "eps": 0.1}
            result = Result(records=records)
            run.put("drift", model, result, attack="pgd", explainer=explainer, facts=facts)
    return run


@pytest.mark.parametrize(
    ("metric", "rows", "columns"),
    [
        ("success_rate", ("attack",), ("model",)),
        ("sparsity", ("model",), ()),
        ("clean_accuracy", ("model",), ()),
        ("latency_ms", ("model",), ("batch",)),
        ("heatmap_similarity", ("attack", "explainer"), ("model",)),
        ("worst_case_accuracy", ("budget",), ("model",)),
        (["clean_accuracy", "robust_accuracy"], ("attack",), ("model", "metric")),
        (["sparsity", "size_bytes"], ("model",), ("metric",)),
        (["clean_accuracy", "sparsity"], ("model",), ("metric",)),
    ],
    ids=str,
)
def test_rows_and_columns_follow_the_cells_that_have_the_metric(
    planted: Planted, metric: Any, rows: tuple[str, ...], columns: tuple[str, ...]
) -> None:
    table = tables.build(planted.matrix, metric)
    assert (table.row_names, table.column_names) == (rows, columns)
    assert table.places
    assert all(place.estimate is not None for place in table.places.values())
    assert not [remark for remark in table.remarks if remark.startswith("No cell")]


def test_a_variant_is_a_row_of_its_own(planted: Planted) -> None:
    planted.profile("net", variant="half", sparsity=0.75)
    table = tables.build(planted.matrix, "sparsity")
    assert table.rows == (("net", "original"), ("other", "original"), ("net", "half"))


def test_replicas_stay_in_one_place(planted: Planted) -> None:
    for seed in ("seed1", "seed2"):
        planted.evaluate("thrice", [True, False], replica=seed)
    table = tables.build(planted.matrix, "clean_accuracy")
    assert table.rows == (("net",), ("other",), ("thrice",))
    assert table.places[2, 0].estimate.trainings == 2


def test_rows_that_are_named_stand_as_they_are(planted: Planted) -> None:
    table = tables.build(planted.matrix, "clean_accuracy", rows=["attack"])
    assert (table.row_names, table.column_names) == (("attack",), ("model",))
    assert table.rows == (("pgd",), ("fgsm",))


def test_columns_that_are_named_are_no_rows(planted: Planted) -> None:
    table = tables.build(planted.matrix, "sparsity", columns=["model"])
    assert (table.row_names, table.column_names) == ((), ("model",))
    assert table.columns == (("net",), ("other",))


def test_an_empty_table_names_the_dimension_that_excluded_the_cells(planted: Planted) -> None:
    table = tables.build(planted.matrix, "sparsity", rows=["attack"])
    assert table.places == {}
    (remark,) = table.remarks
    assert remark.startswith("No cell with sparsity has the dimension attack: lay it out by some")
    assert remark.endswith("of model, variant, kind.")


def test_a_metric_without_cells_says_what_asks_for_it(planted: Planted) -> None:
    (remark,) = tables.build(planted.matrix, "certified_accuracy").remarks
    assert remark == (
        "No cell of this run has certified_accuracy: "
        "a suite asks for it by variants: with a shield that proves."
    )


def test_of_several_metrics_each_that_is_absent_is_named(planted: Planted) -> None:
    table = tables.build(planted.matrix, ["clean_accuracy", "detection_auroc"])
    assert table.columns == (("clean_accuracy",),)
    assert [remark.partition(":")[0] for remark in table.remarks] == [
        "No cell of this run has detection_auroc"
    ]


def test_a_condition_on_what_the_metric_has_not_names_what_it_has(planted: Planted) -> None:
    with pytest.raises(UsageError) as error:
        tables.build(planted.matrix, "sparsity", where={"eps": 0.1})
    assert str(error.value) == (
        "--where: no cell with sparsity has eps=0.1, "
        "expected what such cells have: model, variant, kind"
    )


def test_a_condition_that_is_met_nowhere_names_the_values_of_any_kind(planted: Planted) -> None:
    with pytest.raises(UsageError, match=r"has eps=0\.2, expected eps to be one of 0\.1$"):
        tables.build(planted.matrix, "clean_accuracy", where={"eps": 0.2})


def test_conditions_that_only_together_leave_nothing_are_both_named(planted: Planted) -> None:
    planted.attack("alone", "bim", [True])
    with pytest.raises(UsageError, match="has model=net and attack=bim"):
        tables.build(planted.matrix, where={"model": "net", "attack": "bim"})


def test_an_attack_without_a_budget_has_no_worst_case(tmp_path: Path) -> None:
    run = Planted(tmp_path)
    run.attack("net", "deepfool", [True], facts={"budget": None})
    assert tables.build(run.matrix, "worst_case_accuracy").remarks == (
        "No cell with worst_case_accuracy has a budget.",
    )


def test_an_attack_that_failed_keeps_its_place_in_the_worst_case(tmp_path: Path) -> None:
    run = Planted(tmp_path)
    run.attack("net", "pgd", [True], state="failed", reason="lost")
    (place,) = tables.build(run.matrix, "worst_case_accuracy").places.values()
    assert place.note == "net/pgd failed: lost"
