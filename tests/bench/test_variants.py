"""Variants: what a suite may say, and how they are planned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench import session
from bench import suite as suites
from bench.errors import SuiteError
from bench.matrix import Matrix
from bench.store import Store


def problems(tiny: dict[str, Any], variants: dict[str, Any], **more: Any) -> list[str]:
    with pytest.raises(SuiteError) as caught:
        suites.read({**tiny, "variants": variants, **more})
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("variants", "told"),
    [
        ({"original": ["jpeg"]}, "variants.original: has steps, expected none"),
        ({"bare": []}, "variants.bare: has no step"),
        ({"odd": ["jpg"]}, "did you mean 'jpeg'"),
        ({"odd": [{"jpeg": {"qualty": 3}}]}, "did you mean 'quality'"),
        ({"odd": [{"jpeg": {}, "bit_depth": {}}]}, "expected NAME or {NAME:"),
        ({"two": ["feature_squeezing", "feature_squeezing"]}, "has two detectors"),
        ({"all": [{"ensemble": {"of": ["jpeg", "nobody"]}}], "jpeg": ["jpeg"]}, "'nobody' is no"),
        (
            {
                "one": [{"ensemble": {"of": ["two", "original"]}}],
                "two": [{"ensemble": {"of": ["original", "jpeg"]}}],
                "original": [],
                "jpeg": ["jpeg"],
            },
            "'two' asks others in turn",
        ),
    ],
)
def test_mistakes_in_variants_are_told(tiny: dict[str, Any], variants: Any, told: str) -> None:
    found = problems(tiny, variants)
    assert any(told in problem for problem in found), found


def test_names_of_variants_are_checked_elsewhere(tiny: dict[str, Any]) -> None:
    found = problems(
        tiny,
        {"original": [], "coarse": ["bit_depth"]},
        run={"variants": ["corse"]},
        transfer={"from": ["linear/coarse"], "to": ["linear/corse"]},
    )
    assert len(found) == 2, found
    assert all("did you mean" in problem for problem in found)


def test_a_variant_is_judged_beside_its_original(tiny: dict[str, Any], tmp_path: Path) -> None:
    suite = {
        **tiny,
        "variants": {"original": [], "coarse": [{"bit_depth": {"bits": 1}}]},
        "attacks": {"fgsm": {"eps": 0.1}},
        "transfer": {"from": ["original"], "to": ["coarse"]},
    }
    session.run(suite, store=tmp_path / "store", reports=tmp_path / "reports")
    matrix = Matrix.last(Store(tmp_path / "store"))
    assert {entry.state for entry in matrix.entries} == {"done"}
    labels = {entry.label for entry in matrix.entries}
    assert "attack linear/coarse/fgsm" in labels
    assert "transfer linear>linear/coarse/fgsm" in labels
    assert not any(label.startswith("transfer linear/coarse>") for label in labels)
    # one training serves both, and the verdict is the coarse one's own
    assert len([e for e in matrix.entries if e.kind == "train"]) == 2
    plain, coarse = (
        matrix.records(next(e for e in matrix.entries if e.label == label))
        for label in ("evaluate linear", "evaluate linear/coarse")
    )
    assert not plain["confidence"].equals(coarse["confidence"])
    page = (tmp_path / "reports" / "tiny" / "README.md").read_text(encoding="utf-8")
    assert "linear/coarse" in page
    chosen = {**suite, "run": {**suite["run"], "variants": ["original"]}, "transfer": None}
    session.run(chosen, store=tmp_path / "store", reports=None)
    assert not any("coarse" in e.label for e in Matrix.last(Store(tmp_path / "store")).entries)
