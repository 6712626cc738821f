"""A reference as it runs: what it attacks, what it is told of, and who judges it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.cells.reference import ReferenceCell
from bench.commands import run as session
from bench.plan import Plan
from bench.runner import Run, execute
from bench.store import Store


@pytest.fixture
def suite(tiny: dict[str, Any]) -> dict[str, Any]:
    """One model, an attack that fails, a weak one, and a reference of few images."""
    tiny["models"].pop("gaudy")
    tiny.pop("transfer")
    tiny["attacks"] = {
        "raises": {},
        "fgsm": {"eps": 0.05},
        "pgd": {"eps": 0.2, "alpha": 0.002, "steps": 2},
    }
    tiny["audit"] = {"extent": "cheap", "reference_images": 9}
    return tiny


def without_probes(plan: Plan) -> Plan:
    kept = tuple(step for step in plan.steps if step.cell.kind != "probe")
    return replace(plan, steps=kept)


def run(suite: dict[str, Any], store: Store) -> Run:
    return execute(Run(without_probes(session.make_plan(suite, store)), store, "tiny", "bench run"))


def test_it_attacks_what_is_left_until_something_fools_it(
    suite: dict[str, Any], tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    done = run(suite, store)
    states = done.statuses
    assert states["attack linear/raises"].state == "failed"
    status = states["reference linear/reference~linf"]
    assert status.state == "done", status.reason
    assert isinstance(status.step.cell, ReferenceCell)
    records = store.records(status.stored)
    own = {
        name: store.records(states[f"attack linear/{name}"].stored).set_index("image")
        for name in ("fgsm", "pgd")
    }
    right = records["clean_prediction"] == records["label"]
    for eps, rows in records[right].groupby("eps"):
        misclassified = {
            image
            for found in own.values()
            for image in found.index[
                (found["prediction"] != found["label"]) & (found["linf"] <= eps + 1e-6)
            ]
        }
        assert set(rows["image"][~rows["left"]]) == misclassified & set(rows["image"])
        assert (rows["left"] | ~rows["tried"]).all()
        assert rows["tried"].sum() == min(9, rows["left"].sum())
        fooled = rows[rows["method"].notna()]
        assert fooled["tried"].all()
        assert (fooled["size"] <= eps + 1e-6).all()
    assert records["method"].notna().sum() > 0
    summary = status.stored.summary
    assert summary["forwards"] >= summary["backwards"] > 0
    left = [each["images"] for each in summary["attempts"] if each["eps"] == 0.2]
    assert left == sorted(left, reverse=True)  # what is fooled is not attacked again
    again = run(suite, store)
    assert again.computed == 0
    assert again.statuses["reference linear/reference~linf"].key == status.key


def test_the_referee_judges_it_and_what_oversteps_fools_nothing(
    suite: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench_plugins.attacks.auto_pgd import AutoPGD

    def overstep(self: Any, classifier: Any, images: Any, labels: Any, **_: Any) -> Any:
        return 1 - images

    suite["attacks"] = {"pgd": suite["attacks"]["pgd"]}
    store = Store(tmp_path / "store")
    for kind in [type(a.plugin) for a in _attempts(suite, store)]:
        monkeypatch.setattr(kind, "perturb", overstep)
    assert AutoPGD.perturb is overstep
    done = run(suite, store)
    records = store.records(done.statuses["reference linear/reference~linf"].stored)
    assert records["method"].isna().all()
    tried = records[records["tried"]]
    assert len(tried) > 0
    assert tried["violation"].str.startswith("over budget").all()


def _attempts(suite: dict[str, Any], store: Store) -> Any:
    plan = session.make_plan(suite, store)
    [cell] = [step.cell for step in plan.steps if isinstance(step.cell, ReferenceCell)]
    return cell.attempts
