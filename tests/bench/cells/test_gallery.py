"""What is shown of explanations, and that what is measured does not depend on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench import Outcome
from bench.commands import run as session
from bench.store import Store


@pytest.fixture
def suite(tiny: dict[str, Any]) -> dict[str, Any]:
    return {
        **tiny,
        "models": {"gaudy": tiny["models"]["gaudy"]},
        "explainers": {"saliency": {}},
        "attacks": {"fgsm": {"eps": 0.1}},
        "explain_attacks": ["fgsm"],
        "transfer": None,
    }


def keys(outcome: Outcome) -> dict[str, str]:
    return {entry.label: entry.key for entry in outcome.matrix.entries}


def test_what_is_measured_does_not_depend_on_what_is_shown(
    suite: dict[str, Any], tmp_path: Path
) -> None:
    small, large = (
        session.run({**suite, "gallery": gallery}, store=tmp_path / "store", reports=None)
        for gallery in ({"right": 1, "wrong": 0}, {"right": 2, "wrong": 1})
    )
    assert set(keys(small).items()) ^ set(keys(large).items()) == {
        ("gallery gaudy/saliency", keys(one)["gallery gaudy/saliency"]) for one in (small, large)
    }
    again = {
        entry.label
        for entry in large.matrix.entries
        if large.matrix.stored(entry).provenance["run"] == large.matrix.run["name"]
    }
    assert again == {"gallery gaudy/saliency"}


def test_what_is_shown_does_not_depend_on_what_is_measured(
    suite: dict[str, Any], tmp_path: Path
) -> None:
    one, other = (
        session.run({**suite, "images": {"count": n}}, store=tmp_path / "store", reports=None)
        for n in (4, 6)
    )
    assert keys(one)["gallery gaudy/saliency"] == keys(other)["gallery gaudy/saliency"]
    assert keys(one)["explain gaudy/saliency"] != keys(other)["explain gaudy/saliency"]


@pytest.mark.parametrize(("right", "wrong", "planned"), [(0, 0, 0), (1, 0, 1), (0, 1, 1)])
def test_a_gallery_of_no_image_is_not_planned(
    suite: dict[str, Any], tmp_path: Path, right: int, wrong: int, planned: int
) -> None:
    suite["gallery"] = {"right": right, "wrong": wrong}
    made = session.make_plan(suite, Store(tmp_path / "store"))
    kinds = [step.cell.kind for step in made.steps]
    assert (kinds.count("explain"), kinds.count("gallery")) == (1, planned)


def test_a_gallery_that_finds_no_image_is_done_and_shows_none(
    suite: dict[str, Any], tmp_path: Path
) -> None:
    suite["dataset"] = {"plugin": "blobs", "noise": 0}
    suite["models"] = {"linear": {"train": {"epochs": 20, "batch_size": 16, "lr": 0.03}}}
    suite["gallery"] = {"right": 0, "wrong": 1}
    outcome = session.run(suite, store=tmp_path / "store", reports=tmp_path / "reports")
    (entry,) = [e for e in outcome.matrix.entries if e.kind == "gallery"]
    assert (entry.state, outcome.matrix.stored(entry).summary["images"]) == ("done", 0)
    page = (tmp_path / "reports" / "tiny" / "README.md").read_text(encoding="utf-8")
    assert "## Explanations" in page
    assert "linear: images" not in page
