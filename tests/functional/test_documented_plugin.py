"""The plugin that docs/extending.md prints works as it stands there."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from planted import Planted

from bench import metrics
from bench.audit.evidence import Evidence
from bench.norms import measure

PAGE = Path(__file__).parent.parent.parent / "docs" / "extending.md"


def printed(name: str) -> Any:
    """The class of a name that the page prints."""
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"^ *```python\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    [code] = [block for block in blocks if f"class {name}" in block]
    names: dict[str, Any] = {}
    exec(compile(textwrap.dedent(code), PAGE.name, "exec", dont_inherit=True), names)
    return names[name]


def test_the_printed_metric_is_estimated() -> None:
    metric = printed("Overconfidence")("overconfidence")
    assert metric.fault == ""
    reported = {"image": ["a", "b", "c"], "label": 0, "prediction": [0, 1, 1]}
    records = pd.DataFrame({**reported, "confidence": [0.9, 0.5, 0.7]})
    found = metrics.estimate(metric, records, {})
    assert (found.value, found.n) == (pytest.approx(0.6), 2)


def test_the_printed_rule_has_cases(tmp_path: Path) -> None:
    planted = Planted(tmp_path)
    planted.evaluate("sure", [True] * 20 + [False] * 20)  # confidences are 0.75
    planted.evaluate("right", [True] * 40)
    rule = printed("TooConfident")()
    assert rule.fault == ""
    assert [case.is_material for case in rule.look(Evidence(planted.matrix))] == [True, False]


def test_the_printed_attack_keeps_its_promises() -> None:
    attack = printed("SaltAndPepper")(eps=30)
    images = torch.rand(4, 3, 8, 8) * 0.8 + 0.1
    found = attack.perturb(None, images, None, generator=torch.Generator().manual_seed(0))
    assert measure("l0", found - images).tolist() == [30] * 4
    assert (found.min(), found.max()) == (0, 1)
    assert str(attack.budget) == "l0 30"
