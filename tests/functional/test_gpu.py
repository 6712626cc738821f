"""The same suite on a GPU: every cell runs, budgets hold, and twice gives the same records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import bench

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def test_a_suite_on_a_gpu(tiny: dict[str, Any], tmp_path: Path) -> None:
    outcomes = [
        bench.run(tiny, store=tmp_path / name, reports=None, device="cuda") for name in "ab"
    ]
    first, second = (outcome.matrix for outcome in outcomes)
    assert set(outcomes[0].counts) == {"done"}
    for mine, theirs in zip(first.entries, second.entries, strict=True):
        records = first.records(mine)
        if records is None:
            continue
        pd.testing.assert_frame_equal(records, second.records(theirs), check_exact=True)
        if mine.kind == "attack":
            assert records["violation"].isna().all()
            assert (records["linf"] <= float(mine.facts["eps"]) + 1e-6).all()


def test_a_gpu_is_another_identity(tiny: dict[str, Any], tmp_path: Path) -> None:
    tiny["models"].pop("gaudy")
    on_cpu = bench.run(tiny, store=tmp_path / "store", reports=None)
    on_gpu = bench.run(tiny, store=tmp_path / "store", reports=None, device="cuda")
    keys = {entry.key for entry in on_cpu.matrix.entries}
    assert not keys & {entry.key for entry in on_gpu.matrix.entries}
