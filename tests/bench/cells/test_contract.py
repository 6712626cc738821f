"""The contract cell: one for each model variant, checked anew where its source is edited."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import tiny_suite

import bench
from bench import registry
from bench.api import Model
from bench.cells.contract import IMAGES, ContractCell
from bench.plan import Plan

NETWORKS = """
import torch
from torch import nn


class Honest(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(192, 16)
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        return self.head(self.first(x.flatten(1)).relu())


class Softmax(Honest):
    def forward(self, x):
        return super().forward(x).softmax(1)


class ByBatch(Honest):
    def forward(self, x):
        return super().forward(x - x.mean(0, keepdim=True))


class Noisy(Honest):
    def forward(self, x):
        return super().forward(x + torch.rand_like(x))


class ByMode(Honest):
    def forward(self, x):
        logits = super().forward(x)
        return -logits if torch.is_grad_enabled() else logits


class Rounds(Honest):
    def forward(self, x):
        return super().forward(torch.round(4 * x) / 4)


class Beside(Honest):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(192, 192)]

    def forward(self, x):
        return super().forward(self.layers[0](x.flatten(1)))


class Fails(Honest):
    def forward(self, x):
        if len(x) == 32:
            raise ValueError("too many")
        return super().forward(x)
"""
RULES = {
    "Softmax": "not-logits",
    "ByBatch": "answers-by-batch",
    "Noisy": "answers-by-history",
    "ByMode": "answers-by-mode",
    "Rounds": "gradient-misleads",
    "Beside": "numbers-outside-weights",
}


def cells(plan: Plan) -> dict[str, ContractCell]:
    found = {step.cell.label: step.cell for step in plan.steps}
    return {label: cell for label, cell in found.items() if isinstance(cell, ContractCell)}


def test_each_training_of_each_variant_has_one_without_an_audit_too(
    plan_of: Callable[..., Plan],
) -> None:
    recipe = {"epochs": 1, "batch_size": 16, "lr": 0.01}
    plan = plan_of(
        models={"linear": {"train": recipe, "seeds": [1, 2]}},
        variants={"original": [], "coarse": ["bit_depth"]},
        images={"count": 50},
        audit="off",
    )
    found = cells(plan)
    assert set(found) == {
        f"contract linear:seed{seed}{variant}" for seed in (1, 2) for variant in ("", "/coarse")
    }
    assert {len(cell.images) for cell in found.values()} <= {IMAGES, 20, 30, 32}
    used = {parent.cell.label for step in plan.steps for parent in step.cell.parents.values()}
    assert not used & set(found)  # nothing depends on it


def test_an_edited_source_moves_its_identity_alone(
    plan_of: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {step.cell.label: step.cell.inputs for step in plan_of().steps}
    monkeypatch.setattr(registry, "source_digest", lambda name: f"another {name}")
    after = {step.cell.label: step.cell.inputs for step in plan_of().steps}
    assert {label for label, inputs in after.items() if inputs != before[label]} == {
        "contract linear"
    }


def test_a_module_s_packages_are_among_its_sources(plugins: Path, tmp_path: Path) -> None:
    kind = registry.load("models", "checkpoint")
    given = {"weights": "w.pt", "mean": [0.0], "std": [1.0]}
    named = kind.model_validate({"architecture": "collections.abc:Sized", **given})
    assert isinstance(named, Model)
    assert named.sources() == ("collections.abc", "collections")
    (tmp_path / "net.py").touch()
    filed = kind.model_validate({"architecture": f"{tmp_path}/net.py:Net", **given})
    assert isinstance(filed, Model)
    assert filed.sources() == ()


def run(folder: Path, *names: str) -> bench.Outcome:
    """Run networks of a user's own, attacked once, in a tiny suite whose audit is off."""
    import torch

    source, weights = folder / "model.py", folder / "net.pt"
    source.write_text(NETWORKS)
    made: dict[str, Any] = {}
    exec(compile(NETWORKS, "model", "exec"), made)
    torch.manual_seed(0)
    torch.save(made["Honest"]().state_dict(), weights)
    model = {"plugin": "checkpoint", "weights": str(weights), "mean": [0, 0, 0], "std": [1, 1, 1]}
    suite = tiny_suite()
    suite["models"] = {name: {**model, "architecture": f"{source}:{name}"} for name in names}
    suite["attacks"] = {"fgsm": {"eps": 0.05}}
    suite.pop("transfer")
    return bench.run(suite, store=folder / "store", reports=None)


@pytest.mark.usefixtures("plugins")
def test_a_broken_contract_is_a_finding_on_every_figure(tmp_path: Path) -> None:
    outcome = run(tmp_path, "Honest", "ByBatch", "Fails")
    found = [finding for finding in outcome.audit.findings if finding.rule in RULES.values()]
    [finding] = found
    assert (finding.rule, finding.cells) == (
        "answers-by-batch",
        ("evaluate ByBatch", "attack ByBatch/fgsm"),
    )
    page = str(outcome.table("clean_accuracy"))
    assert "ByBatch answers 4 of 4 images otherwise" in page
    # what could not be carried out is said, and fails no run
    gaps = [words for rule, words in outcome.audit.gaps if rule == "gradient-misleads"]
    assert any("Fails: gradient: " in words and "ValueError: too many" in words for words in gaps)


@pytest.mark.slow
@pytest.mark.usefixtures("plugins")
def test_each_plant_is_caught_by_its_rule_in_a_whole_run(tmp_path: Path) -> None:
    outcome = run(tmp_path, "Honest", *RULES)
    found: dict[str, set[str]] = {}
    for finding in outcome.audit.findings:
        if finding.rule in RULES.values():
            for label in finding.cells:
                found.setdefault(label, set()).add(finding.rule)
    for name, rule in RULES.items():
        assert found[f"evaluate {name}"] == {rule}
        assert found[f"attack {name}/fgsm"] == {rule}
    assert not [label for label in found if "Honest" in label]
