"""Golden identities: one pinned hash for each kind of cell and each kind of plugin.

A hash that moves loses every stored result of its kind, of every user. So one moves only together
with a revision that was raised on purpose, and CHANGELOG names it.
"""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace
from typing import Any, get_args

import pytest

from bench import data, fingerprint, machine, plan, registry, suite
from bench.api import KINDS
from bench.cells.cell import Cell
from bench.records import Kind

SUITE: dict[str, Any] = {
    "suite": "golden",
    "seed": 7,
    "dataset": {"plugin": "twins"},
    "images": {"from": ["test"], "count": 20},
    "models": {
        "gaudy": {"train": {"epochs": 2, "batch_size": 16, "lr": 0.01}},
        "probe": {"plugin": "linear", "weights": "", "mean": [0, 0, 0], "std": [1, 1, 1]},
    },
    "variants": {
        "original": [],
        "pruned": [{"magnitude": {"sparsity": 0.5}}, {"fine_tune": {"epochs": 1}}],
        "smoothed": [{"randomized_smoothing": {"sigma": 0.1}}],
        "squeezed": ["feature_squeezing"],
    },
    "attacks": {"pgd": {"eps": 0.2, "alpha": 0.05, "steps": 5}, "bisection": {}},
    "budget": {"norm": "linf", "eps": 0.1},
    "transfer": {"from": ["original"], "to": "all"},
    "explainers": {"saliency": {}},
    "explain_attacks": ["pgd"],
    "explain_variants": True,
    "profile": {"batches": [1]},
    "sensitivity": {"step": {"magnitude": {"sparsity": 0.8}}, "attack": "pgd"},
    "run": {"threads": 1, "device": "cpu"},
}

CELLS = {
    "load probe": "ce043f3865c491f93dad846c61bbb32f5b4a9f50a2e9a33bd0675ed814555239",
    "train gaudy": "ab4f225a2166e0fc4e714f6bb28a9fd0aeb60add7b098a4bc7ee78c1270104a0",
    "train gaudy/pruned@2-fine_tune": (
        "8b51e6384062656334ead6eebd94dc0c6d819bf9c2e8ba7ef3e29223dd6efe46"
    ),
    "compress gaudy/pruned@1-magnitude": (
        "a7f3da660600bf05a4b28a28ac2b7c5e6482d17461b9060c20678ca058874cc2"
    ),
    "evaluate gaudy": "c2b270b9d0c5d736461995ee7927dff1728b2d5c6ee78d85830f908a4e0e721c",
    "evaluate gaudy/smoothed": "6bf506eeff90ee28275af3261a16c6a3c1b3aa8066c6b19534faaf20732792a6",
    "interim gaudy/pruned": "a764b7b7f77642bba82188494ce24fa6537553d8953f58cf6641822ae28d47f4",
    "profile gaudy": "bbfd7657d412d1f9b69f89d3798b7f43d837b5521e149d8bbed04d641f826598",
    "latency gaudy@batch=1": "d59ea3fc08bfccc0aa7ef8f1606df4c72f563423188cc74d83523b4434663fa9",
    "explain gaudy/saliency": "7e7cde7c020330b799ac89798ee56c8eb44bd3bd7c4e5f3cfe4db3e9f7fac017",
    "gallery gaudy/saliency": "b9f40fe919086723fd9aa006cef15d0497da5d9e9e3f6467d550725951253dc0",
    "attack gaudy/pgd": "0045fff0234658c18e0943c824e44e003607ddff814641657da172d9b226c589",
    "attack gaudy/bisection": "5f24e650157608407646368a06b949232fb131ae646638b11fcffcd993716996",
    "transfer gaudy>gaudy/pruned/pgd": (
        "1c5ce5fb5cb1107f5f8f3f36e3d721be5a18c0f1c847e6460f05878d6311997f"
    ),
    "certify gaudy/smoothed": "d07dd507b4dc957bf9e92f756de7c17f15da711c82f5981be4b366250c3353ce",
    "detect gaudy/squeezed/pgd": (
        "4ab7c781fedcef555fe865c79bb143d6de43d18d6782db0c7ad04fafffa88e3b"
    ),
    "drift gaudy/pgd/saliency": "72b759cc8176b9ae7799a2493dcda90bbe0ecfa8ec759188429f010838b37c3b",
    "drift gaudy/pruned/saliency": (
        "cc440a60fd7adf2036ad881dc8fabb8d3ca8080db3af30a356b2a82fc1bd410a"
    ),
    "sensitivity gaudy": "b5d6a2bde55d1cc408d9e5c5371cf8f1fce5787f2b910f0a8797e0ef477c99ec",
    "contract gaudy": "d76d5288ad8bc3ccc0ea8fca4577c09d73afbf653a653f477a1095cfea20f394",
    "contract gaudy/smoothed": "9b4b8f0cc037798b62beb482f08348ea4602723de5fd55cc867dbfd1ba70adb4",
    "probe gaudy/loss~gradients": (
        "488bf86429c73b4f0e3e371036b610af24061c4906eaa6cecba734f175f7cbc8"
    ),
    "probe gaudy/pgd~doubled-steps": (
        "bb48ef75ceef3b59d0a3389e3f08dc4526fbf7973161962c693b9f8e6c74e357"
    ),
    "reference gaudy/reference~linf": (
        "5176ffd728bdb6d92d3f73ab5de71147a4e3b78e781a45ee8a9d315ad2dc8f3d"
    ),
    "probe gaudy/pgd~repeat": "8cd2c443284b9b154fc71e49a37dd0b0e3e7a29ae4ee4d442b46090732d066fc",
}
"""For some cells of each kind, its hash."""

PLUGINS = {
    "datasets/digits": "bd2dbf03996a70f1963d7cc86cdc930bfa891de1b2b08c3c5b56ccd6df523fca",
    "models/resnet_small": "89054700615b5a8f26613e2ed17f141fd81ed8e27a98a15c04eeaa3a9f1f5c24",
    "attacks/pgd": "c2725f1f1847c8ef4ab642fcf166cae2f58fd8d74ac6af1a6c8a0b641abc7980",
    "attacks/fmn": "075b1f5a875dc691fe498d3a9b5e8182ddf92a096b5ba6bb01c4d96cb3370b41",
    "attacks/auto_pgd": "cdff4e904bae16f02085df9d2b38f342a670cad59b8ad10f8e9e81ea28c6c105",
    "attacks/square_attack": "65061985c31a1d9b111a8d9f5466e6499bfabf05f9b6e5e7c82a174228168ba9",
    "attacks/noise": "064060e83de123aedcc766068501cfbc50ade977eb00ac7799f90f91879c1d9c",
    "explainers/saliency": "0d76966fa658760bf0bed7fb6d276ab0d83ca8e29599327572602158dd43db6f",
    "explainers/grad_cam": "3846e4f636d021586a05b74a33559fe5d3ff2ff608831c5f65959eddba1cdcde",
    "compressors/magnitude": "871387cfcfa54fedb7f44a1048f191269fa8dd64a3954462f38aa97c09da2d00",
    "compressors/fine_tune": "d5243329bc4a154686cc7a556d30e7dd201ce00f58bdb133c133c4ea53d90b6d",
    "defenses/jpeg": "806b47f1086b5d976a6387ae6e5d5f7ab793e57ab2da2fbe5bfeec578b2363fe",
    "defenses/adversarial_training": (
        "03a6bda1bb8ea7b4266266c5bf4621b81411954dc45b8d2584aa0238795f8678"
    ),
}
"""For some plugins of each kind, the hash of what identities say of them at their defaults."""


@pytest.fixture
def _fixed_surroundings(plugins: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What identities see of the machine and of installed libraries is the same everywhere."""
    monkeypatch.setattr(registry, "installed_version", lambda _: "1.2.3")
    monkeypatch.setattr(registry, "source_digest", lambda name: f"the source of {name}")
    monkeypatch.setattr(machine, "identity", lambda _: "a machine")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")


def _key(cell: Cell) -> str:
    """The cell's hash, where each of its parents gave outputs named after its label."""
    parents = {
        role: SimpleNamespace(outputs=defaultdict(lambda label=parent.cell.label: label))
        for role, parent in cell.parents.items()
    }
    return cell.key(parents)  # type: ignore[arg-type]


@pytest.fixture
def cells(_fixed_surroundings: None, tmp_path: Any) -> dict[str, Cell]:
    """All cells of the suite, by label."""
    weights = tmp_path / "weights.pt"
    weights.write_bytes(b"weights")
    models = {**SUITE["models"], "probe": {**SUITE["models"]["probe"], "weights": str(weights)}}
    read = suite.read({**SUITE, "models": models})
    made = plan.build(read, data.prepare(read.dataset, tmp_path))
    return {step.cell.label: step.cell for step in made.steps}


def test_every_kind_of_cell_has_a_golden_identity(cells: dict[str, Cell]) -> None:
    assert {cells[label].kind for label in CELLS} == set(get_args(Kind))
    assert {label: _key(cells[label]) for label in CELLS} == CELLS


@pytest.mark.usefixtures("_fixed_surroundings")
def test_every_kind_of_plugin_has_a_golden_identity() -> None:
    assert {name.partition("/")[0] for name in PLUGINS} == set(KINDS)
    found = {}
    for name in PLUGINS:
        kind, _, plain = name.partition("/")
        plugin = registry.load(kind, plain)()
        identity = {**registry.identity(kind, plain, plugin), "parameters": plugin.parameters()}
        found[name] = fingerprint.fingerprint(identity)
    assert found == PLUGINS
