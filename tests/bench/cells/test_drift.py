"""Explanations under attack: the cell, its records and its page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench import suite as suites
from bench.commands import run as session
from bench.errors import SuiteError
from bench.matrix import Matrix
from bench.referee import heatmaps as faithfulness
from bench.store import Store


@pytest.fixture
def asked(tiny: dict[str, Any]) -> dict[str, Any]:
    return {
        **tiny,
        "images": {"count": 12},
        "transfer": None,
        "attacks": {"fgsm": {"grid": {"eps": [0.035, 0.3]}}, "identity": {"eps": 0.1}},
        "explainers": {"saliency": {}, "brightness": {}},
        "explain_attacks": ["fgsm@eps=0.3", "identity"],
    }


def test_maps_are_compared_before_and_after(asked: dict[str, Any], tmp_path: Path) -> None:
    asked["models"].pop("linear")
    session.run(asked, store=tmp_path / "store", reports=tmp_path / "reports")
    store = Store(tmp_path / "store")
    matrix = Matrix.last(store)
    found = {str(e.coordinates): e for e in matrix.entries if e.kind == "drift"}
    assert set(found) == {
        f"gaudy/{attack}/{explainer}"
        for attack in ("fgsm@eps=0.3", "identity")
        for explainer in ("saliency", "brightness")
    }
    assert {entry.state for entry in found.values()} == {"done"}
    # an attack that changes nothing moves no map
    still = matrix.records(found["gaudy/identity/saliency"])
    assert np.allclose(still["heatmap_similarity"].dropna(), 1)
    # the gallery's maps give the records' figures again
    entry = found["gaudy/fgsm@eps=0.3/saliency"]
    arrays = store.arrays(matrix.stored(entry))
    records = matrix.records(entry)
    alike = faithfulness.similarity(
        torch.from_numpy(arrays["heatmaps"]), torch.from_numpy(arrays["adversarial_heatmaps"])
    )
    reported = records["heatmap_similarity"].iloc[arrays["shown"]]
    assert np.allclose(reported, alike.rank_correlation, equal_nan=True)
    fooled = (records["clean_prediction"] == records["label"]) & (
        records["prediction"] != records["label"]
    )
    assert fooled.iloc[arrays["shown"][: min(6, fooled.sum())]].all()
    attacked = matrix.adversarial_images("gaudy/fgsm@eps=0.3")
    assert (attacked[arrays["shown"]] == arrays["adversarial_images"]).all()
    page = (tmp_path / "reports" / "tiny" / "README.md").read_text(encoding="utf-8")
    assert "## Explanations under attack" in page
    assert list((tmp_path / "reports" / "tiny" / "figures").glob("drift-gaudy*identity.svg"))


def test_an_attack_that_is_not_there_is_reported(asked: dict[str, Any]) -> None:
    with pytest.raises(SuiteError, match=r"explain_attacks\[1\]: 'pgdd' is no attack"):
        suites.read({**asked, "explain_attacks": ["fgsm", "pgdd"]})


def test_the_batch_size_is_identity_where_either_side_draws_noise(
    asked: dict[str, Any], tmp_path: Path
) -> None:
    asked["variants"] = {"original": [], "jpeg": ["jpeg"], "noisy": ["randomized_smoothing"]}
    asked["explain_attacks"] = []
    asked["explain_variants"] = True
    identities = []
    for size in (4, 8):
        asked["run"] = {**asked["run"], "batch_size": size}
        planned = session.make_plan(asked, Store(tmp_path / "store"))
        identities.append(
            {
                step.cell.coordinates.variant: step.cell.inputs
                for step in planned.steps
                if step.cell.kind == "drift"
                and (step.cell.coordinates.model, step.cell.coordinates.explainer)
                == ("linear", "saliency")
            }
        )
    small, large = identities
    assert {v for v, inputs in small.items() if inputs != large[v]} == {"noisy"}
    assert set(small) == {"jpeg", "noisy"}


def test_images_without_a_verdict_have_no_figures(asked: dict[str, Any], tmp_path: Path) -> None:
    """Every second image of ``greedy`` is over its budget."""
    asked["attacks"] = {"greedy": {}}
    asked["explain_attacks"] = ["greedy"]
    outcome = session.run(asked, store=tmp_path / "store", reports=None)
    entry = next(e for e in outcome.matrix.entries if str(e.coordinates) == "gaudy/greedy/saliency")
    attack = next(e for e in outcome.matrix.entries if e.label == "attack gaudy/greedy")
    records, judged = (outcome.matrix.records(each) for each in (entry, attack))
    broken = judged["violation"].notna()
    assert 0 < broken.sum() < len(broken)
    assert (records["violation"].fillna("") == judged["violation"].fillna("")).all()
    for name in ("prediction", "heatmap_similarity", "heatmap_overlap"):
        assert records.loc[broken, name].isna().all()
    assert records.loc[~broken, "heatmap_similarity"].notna().any()
    table = outcome.table("heatmap_similarity", where={"model": "gaudy", "explainer": "saliency"})
    assert "over budget" in str(table)
