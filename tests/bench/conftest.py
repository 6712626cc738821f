"""What tests of the rooms share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.commands import run as session
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
