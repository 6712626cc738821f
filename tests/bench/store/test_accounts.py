"""Accounts of earlier versions, which hold no resolved entries, are read as if they did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.commands import run as session
from bench.matrix import Matrix
from bench.runner import Run
from bench.store import Store, accounts


def test_an_account_without_entries_gains_those_that_a_run_would_note(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    variants = {
        "original": [],
        "half": [{"magnitude": {"sparsity": 0.5, "scope": "layer"}}, "fine_tune"],
        "coarse": [{"bit_depth": None}],
    }
    store = Store(tmp_path / "store")
    plan = session.make_plan({**tiny, "variants": variants, "audit": "off"}, store)
    now = Run(plan, store, "tiny", "bench run tiny").account()
    assert now["variants"]["half"] == [
        {"step": "magnitude", "parameters": {"sparsity": 0.5, "scope": "layer"}},
        {"step": "fine_tune", "parameters": {}},
    ]
    assert now["audit_extent"] == "off"
    before = {key: value for key, value in now.items() if key not in ("variants", "audit_extent")}
    assert accounts.resolved(before) == now


def test_an_account_keeps_what_it_holds() -> None:
    whole = {"document": {"audit": "full"}, "variants": {"original": []}, "audit_extent": "off"}
    assert accounts.resolved(whole) == whole


def test_a_suite_that_says_nothing_has_the_defaults() -> None:
    found = accounts.resolved({"document": {}})
    assert (found["variants"], found["audit_extent"]) == ({}, "cheap")


def test_the_matrix_reads_accounts_so(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.put_run("20260101T000000.000000Z-old-abcdef", {"document": {"audit": "full"}})
    assert Matrix.last(store).run["audit_extent"] == "full"
