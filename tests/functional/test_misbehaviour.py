"""Attacks that break the rules: a withheld rate or a failed cell, never a robust model."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import bench
from bench.errors import StoreError
from bench.store import Store

WITHHELD = {"greedy": "over budget", "bright": "leaves [0, 1]", "not_a_number": "is not finite"}
FAILED = {
    "raises": "RuntimeError: lost my way",
    "cropped": "attack 'cropped'",
    "vandal": "changed the weights",
    "quitter": "SystemExit: 0",
}


@pytest.fixture
def outcome(tiny: dict[str, Any], tmp_path: Path) -> bench.Outcome:
    """Every misbehaving attack before a good one."""
    tiny["attacks"] = {name: {} for name in (*WITHHELD, *FAILED, "litterer", "swapper")} | {
        "pgd": {"eps": 0.2, "steps": 4}
    }
    tiny["models"].pop("linear")
    return bench.run(tiny, store=tmp_path / "store", reports=None)


def test_rates_are_withheld_and_say_why(outcome: bench.Outcome) -> None:
    table = outcome.table("robust_accuracy").frame().set_index("attack")
    for attack, reason in WITHHELD.items():
        assert table.loc[attack, "value"] is None or np.isnan(table.loc[attack, "value"])
        assert reason in table.loc[attack, "note"]
        assert "withheld" in str(outcome.table("success_rate", where={"attack": attack}))
    assert table.loc["pgd", "value"] is not None


def test_images_without_verdict_are_kept_as_they_came(outcome: bench.Outcome) -> None:
    entry = next(e for e in outcome.matrix.entries if e.label == "attack gaudy/greedy")
    records = outcome.matrix.records(entry)
    broken = records[records["violation"].notna()]
    # every second image of each batch of 50 steps 2 eps; the others stay within eps
    assert list(broken.index) == list(range(0, 20, 2))
    assert broken["prediction"].isna().all()
    assert (broken["linf"] > 0.1 + 1e-6).all()
    arrays = outcome.matrix.store.arrays(outcome.matrix.stored(entry))
    assert arrays["adversarial_images"].shape == (20, 3, 8, 8)


def test_failures_fail_and_say_why(outcome: bench.Outcome) -> None:
    states = {e.coordinates.attack: e for e in outcome.matrix.entries if e.kind == "attack"}
    store: Store = outcome.matrix.store
    for attack, reason in FAILED.items():
        entry = states[attack]
        assert entry.state == "failed"
        assert reason in entry.reason
        assert store.find(entry.key) is None  # never cached as a result
        assert "Traceback" in store.failure(entry.key)["traceback"]
    assert {states[a].state for a in (*WITHHELD, "litterer", "swapper", "pgd")} == {"done"}


def test_what_an_attack_leaves_behind_changes_no_other(
    outcome: bench.Outcome, tiny: dict[str, Any], tmp_path: Path
) -> None:
    """pgd after vandal, litterer and the rest is pgd alone, bit for bit."""
    tiny["attacks"] = {"pgd": {"eps": 0.2, "steps": 4}}
    single = bench.run(tiny, store=tmp_path / "single", reports=None)
    found = []
    for one in (outcome, single):
        entry = next(e for e in one.matrix.entries if e.label == "attack gaudy/pgd")
        found.append(one.matrix.records(entry))
    pd.testing.assert_frame_equal(*found, check_exact=True)


def test_global_generators_are_as_before(tiny: dict[str, Any], tmp_path: Path) -> None:
    tiny["attacks"] = {"litterer": {}, "raises": {}, "pgd": {"eps": 0.1, "steps": 2}}
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    bench.run(tiny, store=tmp_path / "store", reports=None)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()
    assert random.getstate() == before[2]


def test_a_failed_cell_is_tried_again(tiny: dict[str, Any], tmp_path: Path, monkeypatch) -> None:
    tiny["attacks"] = {"raises": {}}
    tiny["models"].pop("gaudy")
    store = tmp_path / "store"
    first = bench.run(tiny, store=store, reports=None)
    assert first.counts["failed"] == 1
    from bench_test_plugins.attacks import Raises

    monkeypatch.setattr(Raises, "perturb", lambda self, classifier, images, labels, **_: images)
    second = bench.run(tiny, store=store, reports=None)
    assert second.counts == {"done": 3}
    key = next(e.key for e in second.matrix.entries if e.kind == "attack")
    assert Store(store).failure(key) is None


def test_a_ruined_model_is_judged_by_nobody(tiny: dict[str, Any], tmp_path: Path) -> None:
    """What an attack does to layers is gone with its own copy: its images are the originals."""
    tiny["attacks"] = {"swapper": {}, "identity": {}, "pgd": {"eps": 0.2, "steps": 4}}
    outcome = bench.run(tiny, store=tmp_path / "store", reports=None)
    for entry in outcome.matrix.entries:
        if entry.kind == "attack" and entry.coordinates.attack in ("swapper", "identity"):
            records = outcome.matrix.records(entry)
            assert (records["prediction"] == records["clean_prediction"]).all()
            assert (records["confidence"] == records["clean_confidence"]).all()
            assert (records["clean_prediction"] == records["label"]).mean() > 0.5


def test_global_generators_are_seeded_for_those_who_draw_from_them(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    tiny["attacks"] = {"gambler": {}}
    tiny["models"].pop("gaudy")
    digests = set()
    for name in "ab":
        outcome = bench.run(tiny, store=tmp_path / name, reports=None)
        entry = next(e for e in outcome.matrix.entries if e.kind == "attack")
        digests.add(outcome.matrix.stored(entry).outputs["adversarial_images"])
        assert (outcome.matrix.records(entry)["linf"] > 0).all()
    assert len(digests) == 1


def test_a_full_disk_ends_the_run_and_fails_no_cell(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link
    count = iter(range(100))

    def full(source: str, target: str) -> None:
        if next(count) >= 4:
            raise OSError(28, "No space left on device")
        link(source, target)

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(StoreError, match=r"No space left on device.*run the same command again"):
        bench.run(tiny, store=tmp_path / "store", reports=None)
    monkeypatch.undo()
    place = Store(tmp_path / "store")
    assert len(place.keys()) == 4
    assert not list((tmp_path / "store").glob("failures/*"))
    assert set(bench.run(tiny, store=tmp_path / "store", reports=None).counts) == {"done"}


def test_an_attack_without_a_budget_has_no_rate(tiny: dict[str, Any], tmp_path: Path) -> None:
    tiny["attacks"] = {"unbounded": {}}
    outcome = bench.run(tiny, store=tmp_path / "store", reports=None)
    assert set(outcome.counts) == {"done"}
    for metric in ("success_rate", "robust_accuracy", "transfer_rate"):
        columns = ["source", "model"] if metric == "transfer_rate" else ["model"]
        frame = outcome.table(metric, columns=columns).frame()
        assert frame["value"].isna().all()
        assert frame["note"].str.contains("no budget").all()
    assert (outcome.table("linf").frame()["value"] > 0.03).all()  # norms are reported all the same


def test_an_attack_that_cannot_answer_costs_only_its_cells(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    tiny["attacks"] = {"speechless": {}, "fgsm": {"eps": 0.1}}
    outcome = bench.run(tiny, store=tmp_path / "store", reports=None)
    assert outcome.counts == {"done": 2 + 2 + 2 + 2, "skipped": 2 + 2}
    reasons = {entry.reason for entry in outcome.matrix.entries if entry.state == "skipped"}
    assert reasons == {"its unsuited() raised KeyError: 'what'"}
