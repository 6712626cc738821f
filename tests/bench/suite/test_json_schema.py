"""The JSON Schema takes what suites take, and refuses keys that nobody has."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import importable
from jsonschema import Draft202012Validator

from bench import suite
from bench.suite import document, json_schema, shipped

SHIPPED = sorted(shipped("suites").glob("*.yaml"))


@pytest.fixture(scope="module")
def made(plugin_folder: Path) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Make the schema once, the package of test plugins installed."""
    with importable(plugin_folder):
        yield json_schema.suite_schema()


@pytest.fixture(scope="module")
def validator(made: tuple[dict[str, Any], list[str]]) -> Draft202012Validator:
    return Draft202012Validator(made[0])


def test_the_schema_is_one(made: tuple[dict[str, Any], list[str]]) -> None:
    Draft202012Validator.check_schema(made[0])


def changed(values: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    values = copy.deepcopy(values)
    place = values
    *above, last = path.split(".")
    for key in above:
        place = place[key]
    place[last] = value
    return values


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_suite_is_valid(validator: Draft202012Validator, path: Path) -> None:
    data = document.parse(path.read_text(encoding="utf-8"), str(path)).data
    assert [error.message for error in validator.iter_errors(data)] == []


def test_there_are_shipped_suites() -> None:
    assert {path.stem for path in SHIPPED} >= {"quick", "problem_b"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("seed", 3),
        ("dataset", "blobs"),
        ("dataset", {"plugin": "blobs", "noise": 3}),
        ("attacks.pgd", None),
        ("attacks.pgd.eps", "8/255"),
        ("attacks.pgd.eps", 8 / 255),
        ("attacks.pgd.alpha", None),
        ("attacks.pgd.target", 1),
        ("attacks.fgsm.grid", {"eps": ["8/255", 0.1]}),
        ("models.linear.train.lr", "1/1000"),
        ("models.linear", {"weights": "w.safetensors", "mean": [0.5], "std": [0.2]}),
        ("models.net", {"plugin": "timm", "architecture": "resnet18", "train": {}}),
        ("images.count", None),
        ("run.models", ["linear"]),
        ("transfer", None),
        ("budget", {"norm": "l2", "eps": "1/2"}),
        ("budget", [{"norm": "l2", "eps": 1}, {"norm": "l0", "eps": 20}]),
        ("attacks.blend", {"budget": {"norm": "l2", "eps": 1}}),
        ("attacks.blend", {"steps": 3}),
        ("variants", {"original": [], "rough": ["jpeg", {"bit_depth": {"bits": 3}}]}),
        ("variants", {"half": ["magnitude", {"fine_tune": {"epochs": 1}}, {"magnitude": None}]}),
        ("variants", {"both": [{"magnitude": {"sparsity": "1/2", "layers": ["fc"]}}, "jpeg"]}),
        ("explain_attacks", ["pgd"]),
        ("explain_variants", True),
        ("sensitivity", {"step": {"magnitude": {"sparsity": 0.8}}, "attack": "pgd"}),
        ("sensitivity", {"step": "magnitude", "attack": "pgd"}),
        ("recommend", {"best": {"best": "robust_accuracy@attack=pgd"}}),
        ("tables", {"t": {"metric": "l2", "where": {"eps": 0.1, "targeted": True}}}),
        ("tables", {"t": {"metric": ["l2", "overconfidence"]}}),
        ("recommend", {"best": {"best": "worst_case_accuracy@budget=linf 0.2"}}),
    ],
    ids=repr,
)
def test_what_a_suite_takes_the_schema_takes(validator, tiny, path: str, value: Any) -> None:
    values = changed(tiny, path, value)
    assert [error.message for error in validator.iter_errors(values)] == []
    suite.read(values)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("extra", 1),
        ("images.cuont", 3),
        ("dataset.trian", 3),
        ("models.linear.wieghts", "w"),
        ("models.linear.train.epoch", 3),
        ("attacks.pgd.epps", 0.1),
        ("run.thread", 1),
        ("budget", {"norm": "l2", "esp": 1}),
        ("attacks.both", {"cascade": ["fgsm", "pgd"], "eps": 0.1}),
        ("variants", {"rough": [{"jpeg": {"qualty": 3}}]}),
        ("variants", {"rough": ["jpg"]}),
        ("variants", {"half": [{"magnitude": {"sparsty": 0.5}}]}),
        ("variants", {"half": [{"magnitude": {}, "fine_tune": {}}]}),
        ("sensitivity", {"step": "magnitude", "attack": "pgd", "layer": "fc"}),
        ("sensitivity", {"step": "magnitud", "attack": "pgd"}),
        ("explain_variant", True),
        ("transfer.too", "all"),
        ("tables", {"t": {"metric": "l2", "column": ["model"]}}),
        ("tables", {"t": {"metric": "l3"}}),
        ("tables", {"t": {"metric": ["l2", "l3"]}}),
        ("recommend", {"best": {"best": "robustness@attack=pgd"}}),
    ],
    ids=repr,
)
def test_an_unknown_key_is_refused(validator, tiny, path: str, value: Any) -> None:
    assert validator.is_valid(tiny)
    assert not validator.is_valid(changed(tiny, path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("suite", "a name"),
        ("seed", -1),
        ("models", {}),
        ("models.linear.train.epochs", 0),
        ("attacks.pgd.eps", 2),
        ("attacks.pgd.eps", "much"),
        ("attacks.pgd.steps", 1.5),
        ("attacks.fgsm.grid", [1]),
        ("attacks.pgd.target", "one"),
        ("run.device", "gpu"),
        ("images.from", []),
        ("variants", {"half": [{"magnitude": {"sparsity": 1}}]}),
        ("explain_variants", "yes please"),
        ("sensitivity", {"step": "magnitude"}),
    ],
    ids=repr,
)
def test_values_out_of_range_are_refused(validator, tiny, path: str, value: Any) -> None:
    assert not validator.is_valid(changed(tiny, path, value))


@pytest.mark.parametrize("key", ["suite", "dataset", "models"])
def test_what_is_required_is_required(validator, tiny, key: str) -> None:
    tiny.pop(key)
    assert not validator.is_valid(tiny)


def test_parameters_bear_their_descriptions(made: tuple[dict[str, Any], list[str]]) -> None:
    definitions = made[0]["$defs"]
    properties = definitions["attack-pgd"]["properties"]
    assert properties["eps"]["description"] == "radius, in pixels of [0, 1]"
    assert properties["plugin"] == {"const": "pgd"}
    assert definitions["dataset-blobs"]["description"].startswith("Three classes of noisy")


def test_broken_plugins_are_left_out_and_reported(made: tuple[dict[str, Any], list[str]]) -> None:
    whole, broken = made
    names = {"unimportable", "impostor", "unsigned", "unnormed", "unfinished", "missing"}
    metrics = {"broken_metrics", "misplaced", "undefined"}
    assert len(broken) == len(names | metrics)
    assert not metrics & {*whole["$defs"]["metric"]["enum"]}
    for name in names:
        assert f"attack-{name}" not in whole["$defs"]
    for name in names | metrics:
        assert [line for line in broken if f"'{name}' of bench-test-plugins" in line] != []
