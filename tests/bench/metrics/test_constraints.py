"""Figures and bounds as suites write them: read, and compared with what cells have."""

from __future__ import annotations

import pytest
import yaml

from bench.metrics import constraints
from bench.metrics.constraints import Figure


@pytest.mark.parametrize(
    ("text", "metric", "where", "bound", "kept", "broken"),
    [
        ("latency_ms <= 20", "latency_ms", (), 20, 20, 20.1),
        ("latency_ms@batch=16 <= 20", "latency_ms", (("batch", "16"),), 20, 3, 21),
        ("latency_ms@batch=16<=20", "latency_ms", (("batch", "16"),), 20, 3, 21),
        ("  clean_accuracy >= 98 %  ", "clean_accuracy", (), 0.98, 0.98, 0.979),
        ("clean_accuracy>=98.5%", "clean_accuracy", (), 0.985, 0.99, 0.98),
        ("macs < 1e6", "macs", (), 1e6, 999_999, 1e6),
        ("sparsity@model=a-b > .1", "sparsity", (("model", "a-b"),), 0.1, 0.2, 0.1),
        ("median_norm >= 8/255", "median_norm", (), 8 / 255, 0.04, 0.03),
        ("worst_case_accuracy@budget=linf 8/255 >= 50 %", "worst_case_accuracy",
         (("budget", "linf 8/255"),), 0.5, 0.5, 0.49),
        ("robust_accuracy @ norm = linf @ eps=8/255>.5", "robust_accuracy",
         (("norm", "linf"), ("eps", "8/255")), 0.5, 0.6, 0.5),
        ("faithfulness_gain > -0.5", "faithfulness_gain", (), -0.5, 0, -0.5),
    ],
)  # fmt: skip
def test_constraints_are_read(text, metric, where, bound, kept, broken) -> None:
    found = constraints.parse(text)
    assert found.figure == Figure(metric, where)
    assert found.text == text.strip()
    assert found.bound == pytest.approx(bound)
    assert found.is_percent is ("%" in text)
    assert found.holds(kept)
    assert not found.holds(broken)


@pytest.mark.parametrize(
    "text",
    [
        *("", "latency_ms", "latency_ms <=", "<= 20", "latency_ms = 20", "latency_ms == 20"),
        *("latency_ms@batch= <= 20", "median_norm > 8/0", "macs@ < 3"),
        *("latency_ms <= fast", "latency_ms <= 20 ms", "latency_ms@16 <= 20", "20 >= latency_ms"),
        *("latency_ms <= 20 and macs < 3", "latency ms <= 20", "latency_ms <= 1.2.3"),
    ],
)
def test_what_is_no_constraint_is_reported_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="expected a metric, one of <= >= < >, and a number") as it:
        constraints.parse(text)
    assert str(it.value).startswith(f"got '{text}'")
    assert "latency_ms@batch=16 <= 20" in str(it.value)


# Figures


@pytest.mark.parametrize(
    ("text", "metric", "where"),
    [
        ("clean_accuracy", "clean_accuracy", ()),
        (" robust_accuracy@attack=pgd ", "robust_accuracy", (("attack", "pgd"),)),
        ("robust_accuracy@budget=linf 0.03", "robust_accuracy", (("budget", "linf 0.03"),)),
        ("success_rate@eps=8/255@norm=linf", "success_rate", (("eps", "8/255"), ("norm", "linf"))),
        ("success_rate@attack=pgd@eps=0.1,steps=5", "success_rate",
         (("attack", "pgd"), ("eps", "0.1"), ("steps", "5"))),
        ("success_rate@attack=a,b", "success_rate", (("attack", "a,b"),)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("style", ["{text}", "best: {text}", "- {text}", '["{text}"]'])
def test_figures_are_read_from_one_line_of_yaml(text, metric, where, style) -> None:
    found = yaml.safe_load(style.format(text=text))
    [written] = [found] if isinstance(found, str) else getattr(found, "values", found.copy)()
    assert constraints.figure(written) == Figure(metric, where)
    assert constraints.figure(str(Figure(metric, where))) == Figure(metric, where)


@pytest.mark.parametrize(
    "text",
    ["", "a b", "a@", "a@b", "a@b=", "a@=b", "a@b=c@d", "a@b=@c=d", "@a=b", "a@b=c@@d=e", "a,b"],
)
def test_what_is_no_figure_is_reported(text: str) -> None:
    with pytest.raises(ValueError, match="expected a metric, or metric@dimension=value"):
        constraints.figure(text)


@pytest.mark.parametrize(
    ("value", "text", "expected"),
    [
        (8 / 255, "8/255", True),
        (8 / 255, "0.0313725", True),  # six digits, as the name of a grid's point has them
        (8 / 255, "0.0314", False),
        (8 / 255, "9/255", False),
        (0.1 + 0.2, "0.3", True),
        (0.03, "3e-2", True),
        (0.0, "0", True),
        (0.0, "0.1", False),
        (16, "16.0", True),
        (16, "sixteen", False),
        (16, "16/0", False),
        ("linf 0.0313725", "linf 8/255", True),
        ("linf 0.0313725", "linf  0.031372549", True),
        ("linf 0.0313725", "l2 8/255", False),
        ("linf 0.0313725", "8/255", False),
        ("1", "1.0", False),  # names, not numbers
        ("pgd", "pgd", True),
        ("pgd", "PGD", False),
        (True, "true", True),
        (True, "1", False),
        (False, "False", True),
        (None, "none", True),
        (None, "0", False),
        (0, "none", False),
    ],
)  # fmt: skip
def test_values_are_compared_by_size_and_names_by_letters(value, text, expected) -> None:
    assert constraints.is_value(value, text) is expected


def test_the_name_of_a_grids_point_and_the_key_of_its_grid_pick_it() -> None:
    cell = {"attack": "pgd@eps=0.0313725,steps=5", "group": "pgd", "eps": 8 / 255, "steps": 5}
    for text in (
        "attack=pgd",
        "attack=pgd@eps=0.0313725,steps=5",
        "eps=8/255",
        "steps=5,eps=8/255",
    ):
        assert constraints.figure(f"success_rate@{text}").picks(cell.get), text
    for text in ("attack=fgsm", "attack=pgd@eps=0.0313725,steps=6", "eps=8/256", "norm=linf"):
        assert not constraints.figure(f"success_rate@{text}").picks(cell.get), text


# What a figure lacks


def cells(*values: tuple[str, float]) -> list[constraints.Cell]:
    return [
        {"attack": name, "eps": eps, "budget": f"linf {eps}", "batch": 10 * eps}.get
        for name, eps in values
    ]


@pytest.mark.parametrize(
    ("found", "worst_case", "expected"),
    [
        ([], False, ""),
        ([("pgd", 0.1)], False, ""),
        ([("pgd", 0.1), ("fgsm", 0.1)], False, "@attack=, one of pgd, fgsm"),
        ([("pgd", 0.1), ("fgsm", 0.1)], True, ""),
        ([("pgd", 0.1), ("fgsm", 0.2)], True, "@budget=, one of linf 0.1, linf 0.2"),
    ],
)
def test_what_must_be_added_is_named(found, worst_case, expected) -> None:
    asked = Figure("robust_accuracy")
    assert constraints.missing(asked, cells(*found), worst_case=worst_case) == expected


def test_a_cell_without_a_value_is_named_none() -> None:
    """As drift is of an attack, or of none: of the original and a variant."""
    asked = Figure("heatmap_similarity", (("explainer", "saliency"),))
    found = [{"attack": None}.get, {"attack": "pgd"}.get]
    assert constraints.missing(asked, found) == "@attack=, one of none, pgd"
    plain = constraints.figure("heatmap_similarity@attack=none")
    assert [plain.picks(cell) for cell in found] == [True, False]


def test_timings_without_a_batch_lack_nothing_the_smallest_is_meant() -> None:
    """With a batch that two cells have all the same, it is said."""
    found = [{"batch": 1}.get, {"batch": 16}.get]
    assert constraints.missing(Figure("latency_ms"), found) == ""
    assert constraints.missing(Figure("latency_ms", (("batch", "1"),)), found).startswith("@batch=")
