"""Checkpoints: written by export, found by what they were trained from, never a substitute."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

import bench
from bench import suite
from bench.commands import export
from bench.commands import run as session
from bench.errors import UsageError
from bench.plan import checkpoints
from bench.store import Store
from bench.suite.overrides import Overrides


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in place of the shipped checkpoints."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    monkeypatch.setattr(checkpoints, "shipped", lambda _: folder)
    checkpoints._claims.cache_clear()
    yield folder
    checkpoints._claims.cache_clear()


def kinds(values: dict[str, Any], store: Path, **overrides: Any) -> set[str]:
    made = session.make_plan(values, Store(store), Overrides(**overrides))
    return {step.cell.label for step in made.steps if step.cell.kind in ("load", "train")}


def exported(values: dict[str, Any], store: Path, shelf: Path) -> list[Path]:
    bench.run(values, store=store, reports=None)
    paths = list(export.write(session.make_plan(values, Store(store)), Store(store), shelf))
    checkpoints._claims.cache_clear()
    return paths


def test_an_exported_model_is_loaded_instead_of_trained(
    tiny: dict[str, Any], tmp_path: Path, shelf: Path
) -> None:
    trained = bench.run(tiny, store=tmp_path / "a", reports=None)
    paths = exported(tiny, tmp_path / "a", shelf)
    assert sorted(path.name for path in paths) == [
        "gaudy-blobs-seed7.safetensors",
        "linear-blobs-seed7.safetensors",
    ]
    assert kinds(tiny, tmp_path / "b") == {"load linear", "load gaudy"}
    loaded = bench.run(tiny, store=tmp_path / "b", reports=None)
    # equal weights are equal parents: all that follows has the same identity
    for mine, theirs in zip(loaded.matrix.entries, trained.matrix.entries, strict=True):
        if mine.kind != "load":
            assert (mine.label, mine.key) == (theirs.label, theirs.key)


@pytest.mark.parametrize(
    "sets",
    [
        ["seed=8"],
        ["models.linear.train.epochs=3"],
        ["models.linear.train.seed=3"],
        ["dataset={plugin: blobs, noise: 50}"],
        ["models.linear.mean=[0, 0, 0]", "models.linear.std=[1, 1, 1]"],
    ],
    ids=["seed", "recipe", "model's seed", "data", "normalisation"],
)  # fmt: skip
def test_another_recipe_data_or_seed_trains(
    tiny: dict[str, Any], tmp_path: Path, shelf: Path, sets: list[str]
) -> None:
    tiny["models"].pop("gaudy")
    exported(tiny, tmp_path / "a", shelf)
    assert kinds(tiny, tmp_path / "b") == {"load linear"}
    assert kinds(tiny, tmp_path / "b", sets=sets) == {"train linear"}
    assert kinds(tiny, tmp_path / "b", threads=2) == {"load linear"}  # threads train no other model


def test_the_header_says_how_it_was_made(tiny: dict[str, Any], tmp_path: Path, shelf: Path) -> None:
    tiny["models"].pop("gaudy")
    (path,) = exported(tiny, tmp_path / "a", shelf)
    with safe_open(path, framework="np") as file:
        header = file.metadata()
    account = json.loads(header["bench"])
    assert account["claim"]["recipe"]["epochs"] == 2
    assert account["claim"]["seed"] == 7
    assert account["accuracy_images"] == 30
    outcome = bench.open_last(store=tmp_path / "a")
    reported = outcome.table("clean_accuracy", rows=["model"], columns=[]).frame()
    assert account["accuracy"] == reported["value"][0]
    assert len(json.loads(header["mean"])) == 3
    assert "torch" in account["versions"]


def test_a_broken_checkpoint_fails_and_nothing_is_trained(
    tiny: dict[str, Any], tmp_path: Path, shelf: Path
) -> None:
    tiny["models"].pop("gaudy")
    (path,) = exported(tiny, tmp_path / "a", shelf)
    path.write_bytes(path.read_bytes()[:-40])
    checkpoints._claims.cache_clear()
    with pytest.raises(bench.errors.WeightsError, match="cannot be read"):
        bench.run(tiny, store=tmp_path / "b", reports=None)


def test_export_needs_a_finished_run(tiny: dict[str, Any], tmp_path: Path, shelf: Path) -> None:
    place = Store(tmp_path / "empty")
    with pytest.raises(UsageError, match="has not been trained and evaluated"):
        list(export.write(session.make_plan(tiny, place), place, shelf))


def test_shipped_checkpoints_match_their_suites() -> None:
    """No demo may train: problem_b and quick load what ships."""
    for name in ("problem_b", "quick"):
        made = session.make_plan(name, Store("memory://shipped"))
        sources = {step.cell.kind for step in made.steps} & {"load", "train"}
        assert sources == {"load"}, name
    for path in suite.shipped("checkpoints").glob("*.safetensors"):
        account = json.loads(checkpoints.read_header(path)["bench"])
        assert account["accuracy"] >= 0.985  # what a person would call trained, on digits
        assert account["claim"]["seed"] == 42
