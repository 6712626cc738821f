"""Recommendations of a suite: what is refused before a cell runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench import suite
from bench.errors import SuiteError


@pytest.mark.parametrize(
    ("best", "words"),
    [
        ("robust_accuracy@norm=linf", "add @attack=, one of fgsm@eps=0.05, fgsm@eps=8/255, "),
        ("worst_case_accuracy", "add @budget=, one of linf 0.05, linf 8/255, "),
        ("robust_accuracy@eps=0.3", "eps one of 0.05, 8/255, "),
    ],
)
def test_radii_that_there_are_are_named_as_they_were_written(
    tiny: dict[str, Any], best: str, words: str
) -> None:
    tiny["attacks"]["fgsm"] = {"grid": {"eps": [0.05, "8/255"]}}
    tiny["recommend"] = {"x": {"best": best}}
    with pytest.raises(SuiteError, match=words):
        suite.read(tiny)


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
        ({"best": "robust_accuracy@eps"}, r"recommend.x.best: got 'robust_accuracy@eps'"),
        (
            {"best": "robust_accuracy"},
            r"x.best: 'robust_accuracy' may mean several cells; add @attack=, one of fgsm@eps=0.05",
        ),
        ({"best": "robust_accuracy@norm=linf"}, r"add @attack=, one of fgsm@eps=0.05"),
        (
            {"where": ["worst_case_accuracy > 0"]},
            r"where\[0\]: .* add @budget=, one of linf 0.05, ",
        ),
        (
            {"best": "robust_accuracy@eps=8/255"},
            r"x.best: .* picks no cell, expected eps one of 0.05",
        ),
        ({"best": "robust_accuracy@norm=l2@eps=0.05"}, r"picks no cell, expected norm one of linf"),
        ({"best": "success_rate@attack=pgd@eps=0.05"}, r"picks no cell, expected values that one "),
        (
            {"best": "robust_accuracy@model=linear"},
            r"may mean several cells; add @attack=, one of ",
        ),
        ({"best": "detection_auroc"}, r"may mean several cells; add @attack=, one of "),
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


@pytest.mark.parametrize(
    "text",
    [
        "robust_accuracy@eps=1/20",
        "robust_accuracy@attack=fgsm@eps=0.2",
        "robust_accuracy@attack=fgsm,eps=0.05",
        "worst_case_accuracy@budget=linf 0.2",
        "robust_accuracy@budget=linf 1/20",
        "latency_ms",
        "heatmap_similarity@attack=none@explainer=saliency",
        "training_seconds@step=1-fine_tune",
    ],
)
def test_a_figure_of_one_cell_is_read_in_yaml_as_it_is(
    tiny: dict[str, Any], tmp_path: Path, text: str
) -> None:
    path = tmp_path / "s.yaml"
    recommend = f"recommend:\n  x:\n    best: {text}\n    where:\n      - {text} >= 0\n"
    path.write_text(yaml.safe_dump(tiny) + recommend, encoding="utf-8")
    read = suite.read(path).recommend["x"]
    assert (read.best, read.where) == (text, (f"{text} >= 0",))


@pytest.mark.parametrize("key", ["best", "where"])
def test_no_recommendation_rests_on_a_control(tiny: dict[str, Any], key: str) -> None:
    tiny["attacks"]["mist"] = {"plugin": "noise", "eps": 0.05}
    figure = "robust_accuracy@attack=mist"
    tiny["recommend"] = {"x": {key: figure if key == "best" else [f"{figure} > 0"]}}
    with pytest.raises(SuiteError, match="rests on mist, a control, which shows what no attack"):
        suite.read(tiny)


def test_attacks_of_one_budget_are_the_worst_case_together(tiny: dict[str, Any]) -> None:
    """A control of another budget changes nothing; another attack does."""
    tiny["attacks"] = {"fgsm": {"eps": 0.2}, "pgd": {"eps": 0.2}, "noise": {"eps": 0.3}}
    tiny["recommend"] = {"x": {"best": "robust_accuracy"}}
    assert suite.read(tiny).recommend
    tiny["attacks"]["bim"] = {"eps": 0.1}
    with pytest.raises(SuiteError, match=r"add @attack=, one of fgsm, pgd, bim"):
        suite.read(tiny)


def test_a_figure_of_several_explainers_must_name_one(tiny: dict[str, Any]) -> None:
    tiny["explainers"] = {"first": {"plugin": "saliency"}, "second": {"plugin": "saliency"}}
    tiny["recommend"] = {"x": {"where": ["faithfulness_gain > 0"]}}
    with pytest.raises(SuiteError, match=r"where\[0\]: .* add @explainer=, one of first, second"):
        suite.read(tiny)
    tiny["recommend"] = {"x": {"where": ["faithfulness_gain@explainer=first > 0"]}}
    assert suite.read(tiny).recommend


def test_what_cannot_be_chosen_is_reported_with_its_line_all_at_once(
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
    reported = map(str, error.value.problems)
    ways, share, percent = sorted(reported, key=lambda one: int(one.split(":")[1]))
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
