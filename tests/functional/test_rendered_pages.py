"""The pages that are rendered from finished runs: what they show, and what they say is missing."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from planted import Planted

from bench.compare.claims import CLAIMS, PRUNING

ROOT = Path(__file__).parent.parent.parent
SEEDS = ("seed1", "seed2", "seed3")


@pytest.fixture
def experiments(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    for name in ("render", "experiments"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    module = importlib.import_module("experiments")
    monkeypatch.setattr(module, "DOCS", tmp_path)
    return module


Run = Callable[..., Planted]


@pytest.fixture
def planted(tmp_path: Path) -> Run:
    """Plant a run of a suite: PGD fools far more images than FGSM does, over three trainings."""

    def plant(suite: str, state: str = "done") -> Planted:
        run = Planted(tmp_path)
        ease = np.random.default_rng(3).permutation(60) / 60
        for seed in SEEDS:
            for plugin, share in (("fgsm", 0.3), ("pgd", 0.6)):
                facts = {"plugin": plugin, "single_step": plugin == "fgsm", "control": False}
                facts |= {"iterations": 10, "step_size": 0.01} if plugin == "pgd" else {}
                reported = {"facts": facts, "replica": seed, "state": state}
                run.attack("small", f"{plugin}@eps=0.1", list(ease < share), **reported)
        account = dict(run.matrix.run) | {"suite": suite, "description": f"What {suite} is."}
        run.store.put_run(f"20260101T000000.000000Z-{suite}-aaaaaa", account)
        return run

    return plant


def test_a_page_of_claims_shows_each_claim_and_names_the_run_that_is_missing(
    experiments: ModuleType, planted: Run, tmp_path: Path
) -> None:
    store = planted("findings").store
    assert experiments.main(["findings", "--store", store.url]) == 0
    page = (tmp_path / "findings.md").read_text()
    assert all(f"### {claim.name}?" in page for claim in CLAIMS)
    [row] = [line for line in page.splitlines() if line.startswith("| Several steps beat")]
    assert "several steps: 60.0 %" in row
    assert "30.0 points" in row
    assert "**holds**" in row
    assert "What findings is." in page
    assert "**Not part of this page: findings_pruning, whose run is not finished.**" in page
    assert not any(claim.name in page for claim in PRUNING)


def test_an_unfinished_run_makes_no_page(
    experiments: ModuleType, planted: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = planted("findings", state="failed").store
    assert experiments.main(["findings", "--store", store.url]) == 1
    reported = capsys.readouterr().err
    assert "6 cells of findings have no result: attack small:seed1/fgsm@eps=0.1" in reported
    assert "has no run of findings_pruning: run suites/findings_pruning.yaml" in reported
    assert not (tmp_path / "findings.md").exists()


def test_a_page_on_recipes_needs_every_cell_of_both_suites(
    experiments: ModuleType, planted: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = planted("cross_validation").store
    planted("held_out", state="failed")
    assert experiments.main(["cross_validation", "--store", store.url]) == 1
    assert "attack small:seed1/pgd@eps=0.1" in capsys.readouterr().err
    assert not (tmp_path / "cross_validation.md").exists()


def test_a_store_without_any_run_is_said_to_lack_them(
    experiments: ModuleType, tmp_path: Path
) -> None:
    assert experiments.main(["pruning", "--store", str(tmp_path / "none")]) == 1


def test_a_page_on_pruning_reports_costs_flips_and_what_magnitude_is_worth(
    experiments: ModuleType, tmp_path: Path
) -> None:
    run = Planted(tmp_path)
    right = {"original": 15, "pruned-80%": 14, "random-80%": 6}  # of 20 a fold
    for variant, count in right.items():
        run.profile("small", variant=variant, sparsity=0.0 if variant == "original" else 0.8)
        for fold in range(3):
            reported = {"variant": variant, "replica": f"fold{fold + 1}of3"}
            if variant != "original":
                run.reduced("small", variant, "magnitude", "fine_tune", replica=reported["replica"])
            some = [i < count + fold % 2 for i in range(20)]
            run.evaluate("small", some, prefix="train", start=20 * fold, **reported)
    run.document = {"models": {"small": {}, "large": {}}}
    account = {**run.matrix.run, "suite": "pruning", "description": "What pruning is."}
    run.store.put_run("20260101T000000.000000Z-pruning-aaaaaa", account)
    assert experiments.main(["pruning", "--store", run.store.url]) == 0
    page = (tmp_path / "pruning.md").read_text()
    assert "**Not part of this run: large.**" in page
    assert "python docs/experiments.py pruning" in page
    flips = [line for line in page.splitlines() if line.startswith("| small/pruned-80%")]
    # 46 of 60 right before, 43 after: three lost, none won
    reported = [cell.strip() for cell in flips[0].split("|")]
    assert reported[2:6] == ["before any attack", "3", "0", "60"]
    [tested] = [line for line in page.splitlines() if line.startswith("| clean_accuracy")]
    assert "small/pruned-80%" in tested
    assert "small/random-80%" in tested
    assert "40.0 points" in tested
