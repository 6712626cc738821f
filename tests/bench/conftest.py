"""What tests of the rooms share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import importable, tiny_suite
from planted import Planted

from bench.commands import run as session
from bench.matrix import Matrix
from bench.plan import Plan
from bench.store import Store

RECIPE = {"epochs": 1, "batch_size": 16, "lr": 0.01}


@pytest.fixture
def plan_of(plugins: Path, tmp_path: Path) -> Callable[..., Plan]:
    """Plan a small suite with some of its sections in other words."""

    def make(**sections: Any) -> Plan:
        suite: dict[str, Any] = {
            "suite": "small",
            "seed": 7,
            "dataset": "blobs",
            "images": {"count": 20},
            "models": {"linear": {"train": RECIPE}},
            "audit": "off",
            "run": {"threads": 1, "device": "cpu"},
        }
        return session.make_plan(suite | sections, Store(tmp_path / "store"))

    return make


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    return Planted(tmp_path)


@pytest.fixture(scope="session")
def transferred(plugin_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Matrix:
    """A run whose transfers differ in eps, target, attack and direction."""
    store = tmp_path_factory.mktemp("transferred") / "store"
    attacks = {
        "fgsm": {"grid": {"eps": [0.035, 0.3]}},
        "fgsm-targeted": {"plugin": "fgsm", "eps": 0.3, "target": 1},
        "pgd": {"eps": 0.3},
    }
    with importable(plugin_folder):
        session.run({**tiny_suite(), "attacks": attacks}, store=store, reports=None)
    return Matrix.last(Store(store))
