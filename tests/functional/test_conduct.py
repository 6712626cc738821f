"""Attacks that do less than they say, run for real, and honest ones beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import forget_plugins

import bench
from bench.audit import Audit

HONEST = ("steady", "finished", "drawn", "pgd")
SHORT = {"hasty", "shortened", "halved", "repeated", "unmoved"}
UNREPEATABLE = {"unseeded", "clocked", "remembering", "warm"}
PARTIAL = {
    "red": "moves 1 of 3 channels",
    "framed": "% of the places of an image",
    "positive": "only brightens",
    "timid": "goes 25 % of its radius at the most",
}
SUITE: dict[str, Any] = {
    "suite": "conduct",
    "seed": 7,
    "dataset": {"plugin": "blobs", "test": 60},
    "images": {"from": ["test"], "count": 60},
    "models": {"gaudy": {"train": {"epochs": 6, "batch_size": 16, "lr": 0.01}}},
    "attacks": {
        name: {"eps": 0.04, "steps": 8}
        for name in (*HONEST, *sorted(SHORT | UNREPEATABLE), *PARTIAL)
    },
    "run": {"threads": 1, "device": "cpu"},
}


@pytest.fixture(scope="module")
def audited(plugin_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audit]:
    folder = tmp_path_factory.mktemp("conduct")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(plugin_folder))
        forget_plugins()
        yield bench.run(SUITE, store=folder / "store", reports=None).audit
    forget_plugins()


def found(audited: Audit, rule: str) -> dict[str, str]:
    """What a rule says, by the attack that it says it of."""
    return {
        cell.partition("/")[2]: finding.sentence
        for finding in audited.findings
        if rule in finding.rules
        for cell in finding.cells
    }


def test_steps_are_counted_for_each_image(audited: Audit) -> None:
    """Also where the average over the batch is what was declared, and where no image moved."""
    sentences = found(audited, "fewer-steps")
    assert set(sentences) == SHORT
    assert "had fewer gradients, 3 at least" in sentences["shortened"]
    assert "never left their places" in sentences["unmoved"]
    assert "had fewer gradients, 0 at least" in sentences["halved"]


def test_what_differs_under_one_seed_is_reported(audited: Audit) -> None:
    """Generators of one's own, the clock, and what earlier cells left."""
    assert set(found(audited, "not-repeatable")) == UNREPEATABLE


def test_what_part_of_a_ball_was_left_out_is_reported(audited: Audit) -> None:
    """That such an attack is weaker than another is the same fact, and stated with it."""
    sentences = found(audited, "part-of-the-ball")
    assert sentences.keys() >= PARTIAL.keys()
    for name, words in PARTIAL.items():
        assert words in sentences[name]
        assert "at the same budget" in sentences[name]
        assert sum(f"attack gaudy/{name}" in each.cells for each in audited.findings) == 1
    assert not sentences.keys() & {*HONEST}


def test_honest_attacks_are_looked_at(audited: Audit) -> None:
    assert audited.cases["fewer-steps"] == len(SUITE["attacks"])
    assert audited.cases["not-repeatable"] == len(SUITE["attacks"])
    accused = found(audited, "fewer-steps").keys() | found(audited, "not-repeatable").keys()
    assert not accused & {*HONEST}
