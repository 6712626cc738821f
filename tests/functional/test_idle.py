"""A compressor that changes nothing, run for real, beside those that do what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bench


def test_a_compressor_that_leaves_the_network_as_it_is(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    tiny["models"].pop("linear")
    tiny["attacks"] = {}
    tiny.pop("transfer")
    tiny["variants"] = {
        "original": [],
        "idle": ["idle"],
        "none": [{"magnitude": {"sparsity": 0}}],
        "half": [{"magnitude": {"sparsity": 0.5}}],
        "again": [{"magnitude": {"sparsity": 0.5}}, {"magnitude": {"sparsity": 0.2}}],
        "scaled": ["scaled"],
        "bytes": ["int8"],
    }
    outcome = bench.run(tiny, store=tmp_path / "store", reports=None)
    found = [f for f in outcome.audit.findings if f.rule == "changes-nothing"]
    assert [finding.cells for finding in found] == [("evaluate gaudy/idle",)]
    assert outcome.audit.cases["changes-nothing"] == 7
