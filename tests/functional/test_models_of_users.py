"""Networks of people's own in a whole run: judged as the plain one, or refused by their names."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch

import bench

CODE = """
import threading
import torch
from torch import nn

class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(16, 3)
    def features(self, x):
        return nn.functional.adaptive_avg_pool2d(self.conv(x).relu(), 2)
    def forward(self, x):
        return self.head(self.features(x).flatten(1))

class HasLock(Plain):
    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()

class KeepsMap(Plain):
    def features(self, x):
        self.last = super().features(x)
        return self.last

class Counter(Plain):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.tensor(0))
    def forward(self, x):
        self.calls += 1
        return super().forward(x)

class Hooked(Plain):
    def __init__(self):
        super().__init__()
        def keep(_module, _given, out):
            self.kept = out
        self.conv.register_forward_hook(keep)
    def features(self, x):
        self.conv(x)
        return nn.functional.adaptive_avg_pool2d(self.kept.relu(), 2)

class Double(Plain):
    def __init__(self):
        super().__init__()
        self.double()
    def forward(self, x):
        return super().forward(x.double())

class Leaves(Plain):
    def forward(self, x):
        if len(x) > 1:
            raise SystemExit(3)
        return super().forward(x)

class Small(Plain):
    def forward(self, x):
        if torch.is_grad_enabled() and len(x) > 8:
            raise ValueError("too many")
        return super().forward(x)

class Forgets(Plain):
    def train(self, mode=True):
        super().train(mode)  # and returns nothing

class NoGrad(Plain):
    forward = torch.no_grad()(Plain.forward)

class Step(Plain):
    def forward(self, x):
        with torch.enable_grad():
            leaf = x.detach().clone().requires_grad_()
            (gradient,) = torch.autograd.grad(super().forward(leaf).logsumexp(1).sum(), leaf)
        return super().forward(x + 0.1 * gradient.sign())

class WeightNorm(Plain):
    def __init__(self):
        super().__init__()
        self.conv = nn.utils.weight_norm(self.conv)

def scripted():
    return torch.jit.script(Plain())
"""


def run_of(
    names: list[str], tiny: dict[str, Any], tmp_path: Path, **sections: Any
) -> bench.Outcome:
    """Run models of equal weights, in a file as the ``Plain`` one leaves them."""
    file = tmp_path / "nets.py"
    file.write_text(CODE, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("nets", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tiny["models"] = {}
    for name in names:
        torch.manual_seed(0)
        weights = tmp_path / f"{name}.pt"
        torch.save(getattr(module, name)().state_dict(), weights)
        tiny["models"][name] = {
            "plugin": "checkpoint",
            "architecture": f"{file}:{name}",
            "weights": str(weights),
            "mean": [0, 0, 0],
            "std": [1, 1, 1],
        }
    del tiny["transfer"]
    tiny["attacks"] = {"fgsm": {"eps": 0.2}}
    return bench.run(tiny | sections, store=tmp_path / "store", reports=None)


def errors(outcome: bench.Outcome) -> dict[str, str]:
    """What the cells that failed say, by their labels."""
    return {e.label: e.reason for e in outcome.matrix.entries if e.state == "failed"}


def success(outcome: bench.Outcome) -> dict[tuple[str, str], float]:
    frame = outcome.table("success_rate").frame()
    return {(r.model, getattr(r, "variant", "original")): r.value for r in frame.itertuples()}


def test_a_model_that_cannot_be_copied_is_attacked_as_the_plain_one(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    names = ["Plain", "HasLock", "Hooked"]
    twice = {"a": {"plugin": "fgsm", "eps": 0.2}, "fgsm": {"eps": 0.2}}
    outcome = run_of(names, tiny, tmp_path, attacks=twice)
    assert errors(outcome) == {}
    assert len(set(success(outcome).values())) == 1


def test_a_model_without_gradients_is_named(tiny: dict[str, Any], tmp_path: Path) -> None:
    found = errors(run_of(["NoGrad"], tiny, tmp_path))
    assert list(found) == ["attack NoGrad/fgsm"]
    assert found["attack NoGrad/fgsm"].startswith("model 'NoGrad' (plugin checkpoint): its forward")


def test_a_model_that_fails_on_some_batches_is_named(tiny: dict[str, Any], tmp_path: Path) -> None:
    (found,) = errors(run_of(["Small"], tiny, tmp_path)).values()
    assert found.startswith(
        "model 'Small' (plugin checkpoint): fails in its forward pass: ValueErr"
    )


def test_a_model_that_leaves_the_program_is_named(tiny: dict[str, Any], tmp_path: Path) -> None:
    found = errors(run_of(["Leaves"], tiny, tmp_path))
    assert set(found) == {"evaluate Leaves", "attack Leaves/fgsm"}
    assert all(
        "model 'Leaves'" in reason and "SystemExit: 3" in reason for reason in found.values()
    )


def test_bytes_are_made_of_float32_alone(tiny: dict[str, Any], tmp_path: Path) -> None:
    variants = {"original": [], "bytes": ["int8"]}
    (found,) = errors(run_of(["Double"], tiny, tmp_path, variants=variants)).values()
    assert "got a network whose weights are float64, expected float32" in found


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_what_looks_into_models_names_them(tiny: dict[str, Any], tmp_path: Path) -> None:
    """The honest one, and each other: pruned, explained, counted and timed."""
    odd = ["HasLock", "KeepsMap", "Counter", "Forgets", "Hooked"]
    names = ["Plain", *odd, "Step", "WeightNorm", "scripted", "NoGrad"]
    outcome = run_of(
        names,
        tiny,
        tmp_path,
        variants={
            "original": [],
            "pruned": [{"magnitude": {"sparsity": 0.5}}],
            "drawn": [{"random": {"sparsity": 0.5}}],
        },
        explainers={"grad_cam": {}, "saliency": {}},
        profile={"batches": [1], "warmup": 1, "runs": 100},
    )
    found = errors(outcome)
    blamed: dict[str, set[str]] = {}
    for label, reason in found.items():
        name = label.split()[1].partition("/")[0].partition("@")[0]
        blamed.setdefault(name, set()).add(label.split()[0])
        assert ", expected " in reason
        assert "; " in reason
        assert f"model '{name}'" in reason or "explainer" in reason or "layer" in reason, reason
    assert blamed == {
        "HasLock": {"compress"},  # 'random' copies what it prunes
        "Step": {"explain", "gallery"},  # its layers run twice
        "WeightNorm": {"compress"},
        "scripted": {"compress", "profile", "explain", "gallery"},
        "NoGrad": {"attack", "explain", "gallery"},
    }
    attacked = success(outcome)
    for name in odd:
        for variant in ("original", "pruned"):
            assert attacked[name, variant] == attacked["Plain", variant]
    counts = {
        e.coordinates.model: outcome.matrix.stored(e).summary
        for e in outcome.matrix.entries
        if e.kind == "profile" and e.state == "done" and e.coordinates.variant == "original"
    }
    assert counts["Step"]["parameters"] == counts["Plain"]["parameters"]
    assert counts["Step"]["macs"] == pytest.approx(3 * counts["Plain"]["macs"])
