"""What is installed is listed without importing it, and described by name."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import bench
from bench import registry
from bench.api import KINDS
from bench.commands import catalog
from bench.errors import DataError, PluginError, UsageError
from bench.metrics import METRICS
from bench.store import Store
from bench.suite import shipped


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def columns(text: str) -> list[list[str]]:
    return [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]


def test_every_plugin_is_listed_with_its_distribution_and_summary(plugins: Path) -> None:
    header, *lines = columns(catalog.installed().partition("\n\n")[0])
    assert header == ["kind", "name", "from", "what it is"]
    assert [line[:2] for line in lines] == [[o.kind, o.name] for o in registry.offers()]
    assert [
        "attacks",
        "identity",
        "bench-test-plugins 1.2.3",
        "Return the images as they are.",
    ] in lines
    # broken ones are installed too: naming them is what fails
    assert [line for line in lines if line[:2] == ["attacks", "unimportable"]] != []


@pytest.mark.parametrize("kind", KINDS)
def test_one_kind_is_listed_alone(plugins: Path, kind: str) -> None:
    _, *lines = columns(catalog.installed(kind))
    assert [line[:2] for line in lines] == [[kind, o.name] for o in registry.offers(kind)]


def test_every_metric_is_listed_with_its_definition() -> None:
    text = " ".join(catalog.installed("metrics").split())
    for metric in METRICS.values():
        assert f"{metric.name} bench-classifiers {bench.__version__} {metric.definition}" in text


def test_a_stranger_s_metric_is_listed_and_what_is_broken_says_why(plugins: Path) -> None:
    text = " ".join(catalog.installed("metrics").split())
    assert "overconfidence bench-test-plugins 1.2.3 Mean confidence of the predictions" in text
    assert "timidity bench-test-plugins 1.2.3 Images that are right" in text
    assert "metric plugin 'broken_metrics' of bench-test-plugins 1.2.3: failed to import" in text
    assert "'undefined' of bench-test-plugins 1.2.3: undefined: has no docstring" in text


def test_shipped_suites_are_listed_by_the_names_that_run_takes() -> None:
    names = catalog.installed("suites").splitlines()
    assert names == sorted(path.stem for path in shipped("suites").glob("*.yaml"))
    assert "quick" in names


def test_an_unknown_kind_comes_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"got 'atacks', .*did you mean 'attacks'\?"):
        catalog.installed("atacks")


NOTHING = """
import json, sys
from bench.commands import catalog
text = [catalog.installed(kind) for kind in (None, "attacks", "suites")]
heavy = {"torch", "torchvision", "torchattacks", "timm", "sklearn"}
mine = [m for m in sys.modules if m.startswith(("bench_test_plugins", "bench_plugins"))]
print(json.dumps([sorted(heavy & set(sys.modules)), mine, "unimportable" in text[0]]))
"""


@pytest.mark.slow
def test_listing_imports_neither_plugins_nor_torch(plugins: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NOTHING], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[], [], True]


# Describing


def test_an_attack_is_described_with_all_that_a_suite_may_say(plugins: Path, store: Store) -> None:
    text = catalog.describe("pgd", None, store)
    plugin = registry.load("attacks", "pgd")
    assert text.startswith("pgd (attack), bench-classifiers ")
    assert "Source: Madry et al." in text
    assert f"library: torchattacks {registry.installed_version('torchattacks')}" in text
    for line in ("revision: 1", "norm: linf", "targetable: yes", "batch_invariant: no"):
        assert line.replace("1", str(plugin.revision)) in text.splitlines()
    table = columns(text[text.index("parameter  ") :])
    assert table[0] == ["parameter", "type", "default", "range", "meaning"]
    assert [line[0] for line in table[1:] if line[0] in plugin.model_fields] == list(
        plugin.model_fields
    )
    steps = next(line for line in table if line[0] == "steps")
    assert steps == ["steps", "int", "10", ">= 1", "number of steps"]
    alpha = next(line for line in table if line[0] == "alpha")
    assert alpha[1:4] == ["float | null", "None", "> 0, <= 1"]


def test_a_required_parameter_is_reported_as_such(plugins: Path, store: Store) -> None:
    table = columns(catalog.describe("timm", None, store))
    rows = [line for line in table if "required" in line]
    # the name that a suite gives it, not the name of the field in Python
    assert [line[:3] for line in rows] == [["architecture", "str", "required"]]


def test_a_dataset_is_described_with_its_images(plugins: Path, store: Store) -> None:
    text = catalog.describe("blobs", None, store)
    table = [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines()[-6:]]
    assert table[0] == ["class", "train", "test"]
    # 96 and 30 images of three classes
    assert table[2:] == [[name, "32", "10"] for name in ("north", "east", "south")] + [
        ["all", "96", "30"]
    ]


def test_a_dataset_that_needs_a_folder_says_so(plugins: Path, store: Store) -> None:
    assert "--data-root" in catalog.describe("image_folder", None, store)


def test_a_dataset_without_a_folder_takes_none(plugins: Path, store: Store, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--data-root: 'blobs' has no root"):
        catalog.describe("blobs", str(tmp_path), store)


def test_an_unknown_plugin_comes_with_the_nearest(plugins: Path, store: Store) -> None:
    with pytest.raises(UsageError, match=r"'idenity' is not installed; did you mean 'identity'"):
        catalog.describe("idenity", None, store)
    with pytest.raises(PluginError, match=r"'idenity': is not installed; did you mean 'identity'"):
        catalog.describe("attacks/idenity", None, store)


@pytest.mark.parametrize("name", ["attacks/identity", "attack/identity", "identity"])
def test_a_plugin_may_be_named_with_its_kind(plugins: Path, store: Store, name: str) -> None:
    assert catalog.describe(name, None, store).startswith("identity (attack)")


def test_a_kind_that_there_is_not_is_reported(plugins: Path, store: Store) -> None:
    with pytest.raises(UsageError, match="expected one of datasets, models, attacks"):
        catalog.describe("defenders/identity", None, store)


def test_a_broken_plugin_is_reported_with_its_fault(plugins: Path, store: Store) -> None:
    with pytest.raises(PluginError, match=r"'unimportable' of bench-test-plugins 1\.2\.3: failed"):
        catalog.describe("unimportable", None, store)


def test_a_name_of_several_kinds_asks_for_the_kind(plugins: Path, store: Store) -> None:
    offers = tuple(registry.offers())
    model = next(offer for offer in offers if offer.kind == "models" and offer.name == "linear")
    twice = (*offers, dataclasses.replace(model, name="identity"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_offers", lambda: twice)
        with pytest.raises(UsageError) as error:
            catalog.describe("identity", None, store)
        assert "'attacks/identity'" in str(error.value)
        assert "'models/identity'" in str(error.value)
        assert catalog.describe("attacks/identity", None, store)


def test_every_default_is_reported_as_a_suite_would_write_it(plugins: Path, store: Store) -> None:
    for offer in registry.offers():
        try:
            text = catalog.describe(f"{offer.kind}/{offer.name}", None, store)
        except (PluginError, DataError):
            continue
        assert "PydanticUndefined" not in text, offer.name


def test_a_metric_is_described(tmp_path: Path) -> None:
    text = catalog.describe("success_rate", None, Store(tmp_path))
    assert text.startswith(
        "success_rate (metric), bench-classifiers 0.1.0, of attack cells, in share"
    )
    assert METRICS["success_rate"].definition in text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("clean_acuracy", "did you mean 'clean_accuracy'"),
        ("over-buget", "did you mean 'over-budget'"),
        ("metric/clean_acuracy", "'clean_acuracy' is no metric; did you mean 'clean_accuracy'"),
        ("rules/over-buget", "'over-buget' is no rule; did you mean 'over-budget'"),
    ],
)
def test_metrics_and_rules_are_suggested_too(name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        catalog.describe(name, None, Store(tmp_path))


@pytest.mark.parametrize("name", ["metric/clean_accuracy", "metrics/clean_accuracy"])
def test_a_metric_is_described_by_its_kind_and_name(name: str, tmp_path: Path) -> None:
    text = catalog.describe(name, None, Store(tmp_path))
    assert text == catalog.describe("clean_accuracy", None, Store(tmp_path))
    assert catalog.describe("rule/over-budget", None, Store(tmp_path)).startswith("over-budget (")
