"""A model that gives no numbers: no verdict on any image, an error that says so, no crash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

import bench


def test_logits_that_are_no_numbers_have_no_verdict(tiny: dict[str, Any], tmp_path: Path) -> None:
    weights = tmp_path / "broken.pt"
    shape = {"1.weight": torch.full((3, 192), float("nan")), "1.bias": torch.zeros(3)}
    torch.save(shape, weights)
    tiny["models"] = {
        "linear": {"weights": str(weights), "mean": [0, 0, 0], "std": [1, 1, 1]},
        "gaudy": tiny["models"]["gaudy"],
    }
    tiny["explainers"] = {"saliency": {}}
    outcome = bench.run(tiny, store=tmp_path / "store", reports=tmp_path / "reports")
    found = {entry.label: entry for entry in outcome.matrix.entries}
    for label in ("attack linear/pgd", "transfer gaudy>linear/pgd", "transfer linear>gaudy/pgd"):
        assert found[label].state == "done", found[label].reason
        records = outcome.matrix.records(found[label])
        assert set(records["violation"]) == {"the model's logits are not finite"}
        assert records["prediction"].isna().all()
    assert outcome.matrix.records(found["attack linear/pgd"])["clean_confidence"].isna().all()
    table = outcome.table("robust_accuracy").frame().set_index(["attack", "model"])
    assert "logits are not finite" in table.loc[("pgd", "linear"), "note"]
    for label in ("evaluate linear", "explain linear/saliency"):
        assert found[label].state == "failed"
        assert "logits that are not finite" in found[label].reason
