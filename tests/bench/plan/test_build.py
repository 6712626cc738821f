"""Which cells a plan has: each once, none lost, and members that saw nothing they are judged on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.commands import run as session
from bench.errors import SuiteError
from bench.plan import Plan
from bench.store import Store


@pytest.fixture
def plan_of(tiny: dict[str, Any], tmp_path: Path) -> Callable[..., Plan]:
    return lambda **sections: session.make_plan(tiny | sections, Store(tmp_path / "store"))


def test_two_cells_of_one_label_are_an_error_that_names_both(
    plan_of: Callable[..., Plan],
) -> None:
    """A drift from an attack's images, and one from the variant that is called as the attack is."""
    sections: dict[str, Any] = {
        "variants": {"original": [], "pgd": ["jpeg"]},
        "explainers": {"saliency": {}},
        "explain_attacks": ["pgd"],
        "transfer": None,
    }
    assert plan_of(**sections)
    with pytest.raises(SuiteError, match="'drift linear/pgd/saliency': two cells") as caught:
        plan_of(**sections, explain_variants=True)
    assert "'variant': 'original', 'attack': 'pgd'" in str(caught.value)
    assert "'variant': 'pgd', 'attack': None" in str(caught.value)


def test_weights_that_several_variants_start_from_are_one_cell(
    plan_of: Callable[..., Plan],
) -> None:
    made = plan_of(variants={"original": [], "b": ["jpeg"], "c": ["bit_depth"]})
    assert sum(step.cell.label == "train linear" for step in made.steps) == 1


@pytest.mark.parametrize("own", [{"folds": 3}, {"folds": 3, "seeds": [1, 2]}])
def test_no_member_has_seen_the_images_of_a_fold(
    plan_of: Callable[..., Plan], own: dict[str, Any]
) -> None:
    recipe = {"train": {"epochs": 1}}
    voting = {"original": [], "voting": [{"ensemble": {"of": ["original", "gaudy/original"]}}]}
    models = {
        "linear": {**recipe, **own, "variants": ["original", "voting"]},
        "gaudy": {**recipe, "variants": ["original"]},
    }
    sections = {"variants": voting, "transfer": None, "attacks": {}, "models": models}
    with pytest.raises(SuiteError, match=r"asks 'gaudy/original', which has no training '.*fold1"):
        plan_of(**sections)
    models["gaudy"] |= own
    made = plan_of(**sections)
    judged = [s.cell for s in made.steps if s.cell.label.startswith("evaluate linear:")]
    shielded = [cell for cell in judged if cell.coordinates.variant == "voting"]
    assert len(shielded) == 3 * len(own.get("seeds", [1]))
    for cell in shielded:
        for _, member in cell.subject.members:
            assert member.weights.coordinates.replica == cell.coordinates.replica
            assert not set(member.weights.images.names) & set(cell.images.names)


def test_one_training_may_stand_beside_several(plan_of: Callable[..., Plan]) -> None:
    recipe = {"train": {"epochs": 1}}
    models = {
        "linear": {**recipe, "seeds": [1, 2], "variants": ["original", "voting"]},
        "gaudy": {**recipe, "variants": ["original"]},
    }
    voting = {"original": [], "voting": [{"ensemble": {"of": ["original", "gaudy/original"]}}]}
    made = plan_of(variants=voting, models=models, transfer=None, attacks={})
    found = [s.cell for s in made.steps if s.cell.label.startswith("evaluate linear:")]
    members = [cell.subject.members for cell in found if cell.coordinates.variant == "voting"]
    assert [[m.weights.coordinates.replica for _, m in each] for each in members] == [
        ["seed1", None],
        ["seed2", None],
    ]
