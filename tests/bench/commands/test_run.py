"""One call plans, runs, writes and opens; what it returns reads the store and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bench
from bench.commands import run as session
from bench.errors import StoreError, SuiteError, UsageError
from bench.plan import Plan
from bench.runner.events import CellStarted, Event
from bench.store import Store


@pytest.fixture
def small(tiny: dict[str, Any]) -> dict[str, Any]:
    """One model, one attack and one that fails: as quick as it gets."""
    tiny["models"] = {"linear": {"train": {"epochs": 1, "batch_size": 16, "lr": 0.01}}}
    tiny["attacks"] = {"fgsm": {"eps": 0.2}, "raises": {}}
    del tiny["transfer"]
    return tiny


@pytest.fixture
def outcome(small: dict[str, Any], tmp_path: Path) -> bench.Outcome:
    return session.run(small, store=tmp_path / "store", reports=tmp_path / "reports")


def test_an_outcome_counts_tables_and_frames_its_cells(outcome: bench.Outcome) -> None:
    assert outcome.counts == {"done": 3, "failed": 1}
    assert re.fullmatch(r"<Outcome of \S+-tiny-\w+: 3 done, 1 failed>", repr(outcome))
    frame = outcome.frame()
    assert frame.groupby("kind").size().to_dict() == {"attack": 20, "evaluate": 30}
    table = outcome.table()
    assert table.rows == (("fgsm",), ("raises",))
    assert "failed: RuntimeError: lost my way" in str(table)
    assert outcome.table("clean_accuracy").rows == (("linear",),)


def test_images_come_back_as_they_were_judged(outcome: bench.Outcome) -> None:
    images = outcome.adversarial_images("linear/fgsm")
    assert images.shape == (20, 3, 8, 8)
    assert images.dtype == np.float32
    records = outcome.frame().query("kind == 'attack'")
    assert records["linf"].max() == pytest.approx(0.2, abs=1e-6)
    with pytest.raises(UsageError, match="no finished attack"):
        outcome.adversarial_images("linear/raises")


def test_what_is_opened_later_is_what_was_returned(outcome: bench.Outcome, tmp_path: Path) -> None:
    again = session.open_last("tiny", tmp_path / "store")
    assert again.counts == outcome.counts
    assert str(again.table()) == str(outcome.table())
    assert again.audit == outcome.audit
    with pytest.raises(StoreError, match="holds no run of suite 'other'"):
        session.open_last("other", tmp_path / "store")


def test_reports_are_written_where_they_are_wanted(
    outcome: bench.Outcome, small: dict[str, Any], tmp_path: Path
) -> None:
    page = (tmp_path / "reports" / "tiny" / "README.md").read_text(encoding="utf-8")
    assert "fgsm" in page
    session.run(small, store=tmp_path / "store", reports=None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["reports", "store"]


def test_a_folder_that_cannot_be_written_costs_no_result(
    small: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "reports").write_text("a file", encoding="utf-8")
    with pytest.raises(UsageError, match=r"cannot be written: .*all results are in the store"):
        session.run(small, store=tmp_path / "store", reports=tmp_path / "reports")
    assert session.open_last("tiny", tmp_path / "store").counts == {"done": 3, "failed": 1}


def test_options_override_the_suite(small: dict[str, Any], tmp_path: Path) -> None:
    changed = session.run(
        small,
        store=tmp_path / "store",
        reports=None,
        attacks=["fgsm"],
        images=5,
        settings=["attacks.fgsm.eps=0.1"],
    )
    (attack,) = [e for e in changed.matrix.entries if e.kind == "attack"]
    assert attack.value("eps") == 0.1
    assert len(changed.matrix.records(attack)) == 5
    assert changed.matrix.run["command"].startswith("bench run tiny")


def test_an_interrupted_run_says_so_and_keeps_what_it_has(
    small: dict[str, Any], tmp_path: Path
) -> None:
    def press(event: Event) -> None:
        if isinstance(event, CellStarted) and event.kind == "attack":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        session.run(small, store=tmp_path / "store", reports=None, listener=press)
    kept = session.open_last("tiny", tmp_path / "store")
    assert kept.matrix.run["interrupted"] is True
    assert {e.kind for e in kept.matrix.entries if e.state == "done"} == {"train", "evaluate"}
    done = session.run(small, store=tmp_path / "store", reports=None)
    assert done.counts == {"done": 3, "failed": 1}


def test_what_is_wrong_with_a_suite_is_an_error_before_anything_is_computed(
    small: dict[str, Any], tmp_path: Path
) -> None:
    small["attacks"]["fgsm"]["target"] = 9
    with pytest.raises(SuiteError, match="the index of a class"):
        session.run(small, store=tmp_path / "store", reports=None)
    assert Store(tmp_path / "store").keys() == []
    assert Store(tmp_path / "store").runs() == []


def test_tables_that_no_result_could_fill_are_named_before_the_run(
    plan_of: Callable[..., Plan], tmp_path: Path
) -> None:
    made = plan_of(
        attacks={"fgsm": {"eps": 0.1}, "identity": {"eps": 0.1}},
        tables={
            "good": {"metric": "success_rate", "rows": ["attack"]},
            "pooled": {"metric": "success_rate", "rows": ["model"], "columns": []},
        },
    )
    (problem,) = session.refused_tables(made, Store(tmp_path / "store"))
    assert problem.startswith("table 'pooled' is left out: ")
    assert "share one place" in problem
