"""Metrics that other packages offer: used like any other, and broken at their own cost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import forget_plugins, tiny_suite

import bench
from bench import metrics, registry
from bench.errors import PluginError, UsageError
from bench.metrics import METRICS, Withheld
from bench.registry import Offer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("strangers")


@pytest.fixture(scope="module")
def ran(module_plugins: Path, folder: Path) -> bench.Outcome:
    suite = tiny_suite()
    # hardly trained, and so wrong a lot
    suite["models"] = {"linear": {"train": {"epochs": 1, "batch_size": 16, "lr": 1e-6}}}
    suite |= {"attacks": {"fgsm": {"eps": 0.05}}, "transfer": {}, "profile": {}}
    suite["tables"] = {"sure": {"metric": "overconfidence", "rows": ["model"], "columns": []}}
    return bench.run(suite, store=folder / "store", reports=folder / "reports")


def test_a_stranger_s_metrics_stand_in_tables(ran: bench.Outcome, folder: Path) -> None:
    [entry] = [e for e in ran.matrix.entries if e.kind == "evaluate"]
    records = ran.matrix.records(entry)
    wrong = records[records["prediction"] != records["label"]]
    assert len(wrong)
    [found] = ran.table("overconfidence", rows=["model"]).frame().to_dict("records")
    assert (found["value"], found["n"]) == (pytest.approx(wrong["confidence"].mean()), len(wrong))
    [whole] = ran.table("bytes_per_parameter", rows=["model"]).frame().to_dict("records")
    assert whole["value"] > 4  # four bytes a number, and the file's header
    page = next((folder / "reports").rglob("*.md")).read_text(encoding="utf-8")
    assert f"{100 * found['value']:.0f}"[:2] in page


def test_a_metric_that_fails_says_so_in_its_own_place(ran: bench.Outcome) -> None:
    table = str(ran.table("clumsy", rows=["model"]))
    assert "metric clumsy raised KeyError: 'no such column'" in table


def test_numbers_are_no_rate(plugins: Path) -> None:
    import pandas as pd

    records = pd.DataFrame({"image": ["a", "b"], "label": 0, "prediction": 1, "confidence": 0.5})
    metric = type(METRICS["overconfidence"])()
    assert metrics.estimate(metric, records, {}).value == 0.5
    metric.mean = False
    found = metrics.estimate(metric, records, {})
    assert isinstance(found, Withheld)
    assert "is it a mean?" in found.reason


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("broken_metrics", "failed to import: RuntimeError: this module cannot be imported"),
        ("undefined", "has no docstring, expected one that defines it"),
        ("misplaced", r"kinds: got \('dream',\), expected some of load, "),
    ],
)
def test_a_broken_metric_costs_those_who_name_it(plugins: Path, name: str, fault: str) -> None:
    assert "success_rate" in list(METRICS)
    assert name not in list(METRICS)
    assert name in METRICS  # it is known, and is an error where it is named
    with pytest.raises(PluginError, match=f"{name}.* of bench-test-plugins 1.2.3: .*{fault}"):
        METRICS[name]


def test_a_metric_that_two_distributions_offer_names_both(plugins: Path) -> None:
    twice = Offer("metrics", "timidity", "other", "3.0", "bench_test_plugins.metrics:Timidity")
    offered = (*registry._offers(), twice)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_offers", lambda: offered)
        with pytest.raises(PluginError, match=r"offered twice: by .*plugins 1.2.3 .*other 3.0"):
            METRICS["timidity"]
        assert METRICS["overconfidence"].unit == "share"


def test_unknown_metrics_come_with_the_nearest(ran: bench.Outcome) -> None:
    with pytest.raises(UsageError, match="did you mean 'overconfidence'"):
        ran.table("overconfidense")


def test_nothing_is_imported_before_the_first_look(tmp_path: Path) -> None:
    code = "import bench.metrics, sys; assert not [m for m in sys.modules if 'bench_plugins' in m]"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_what_is_installed_is_listed_once_for_all_look_ups(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run looks metrics up tens of thousands of times."""
    listed: list[str | None] = []
    offers = registry.offers

    def counted(kind: str | None = None) -> list[Offer]:
        listed.append(kind)
        return offers(kind)

    monkeypatch.setattr(registry, "offers", counted)
    forget_plugins()
    for name in METRICS:
        assert METRICS[name].name == name
    assert [metric.name for metric in METRICS.values()] == list(METRICS)
    assert listed == ["metrics"]
