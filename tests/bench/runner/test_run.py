"""A run as it goes: counts, the time that is left, and what its account holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sketched import SketchedCell, sketch

from bench.plan import Plan, Status, Step
from bench.runner import Run
from bench.store import Store


@pytest.fixture
def run_of(plan_of: Callable[..., Plan], tmp_path: Path) -> Callable[..., Run]:
    def make(*statuses: Status, **options: object) -> Run:
        made = replace(plan_of(), steps=tuple(status.step for status in statuses))
        run = Run(made, Store(tmp_path / "store"), "small", "bench run small", **options)
        run.statuses = {status.step.cell.label: status for status in statuses}
        return run

    return make


class Worked(SketchedCell):
    """A cell that says how much work it is."""

    @property
    def work(self) -> tuple[str, float]:
        """The first letter is the rate, the rest the amount."""
        name = self.coordinates.model
        return name[0], float(name[1:])


class Probed(SketchedCell):
    """A probe."""

    kind = "probe"


def worked(name: str) -> Worked:
    return Worked(sketch(name).coordinates)


def test_states_are_counted(run_of: Callable[..., Run]) -> None:
    run = run_of(
        Status(Step(sketch("a")), "done"),
        Status(Step(sketch("b")), "failed"),
        Status(Step(sketch("c")), "done"),
    )
    assert run.counts == {"done": 2, "failed": 1}


def test_a_probe_that_failed_is_not_among_the_failed_cells(run_of: Callable[..., Run]) -> None:
    failed = Status(Step(sketch("a")), "failed", reason="broken")
    run = run_of(
        failed,
        Status(Step(Probed(sketch("b").coordinates)), "failed"),
        Status(Step(sketch("c")), "done"),
    )
    assert run.failed == [failed]


def test_the_time_left_is_that_of_what_is_to_do_at_the_rates_seen(
    run_of: Callable[..., Run],
) -> None:
    run = run_of(
        Status(Step(worked("a10")), "done"),
        Status(Step(worked("a30")), "to do"),
        Status(Step(worked("b5")), "depends"),
        Status(Step(worked("a99")), "failed"),
        Status(Step(worked("a98")), "skipped"),
        Status(Step(worked("a97")), "blocked"),
    )
    assert run.seconds_left() is None  # nothing is known yet
    run.learn(worked("a10"), 20)
    # 2 s a unit: 30 of a, and 5 of b, of which nothing is known, at the usual rate
    assert run.seconds_left() == pytest.approx(2 * 30 + 2 * 5)
    run.learn(worked("a10"), 40)  # 60 s for 20 units
    run.learn(worked("b1"), 5)
    assert run.seconds_left() == pytest.approx(3 * 30 + 5 * 5)


def test_what_is_not_wanted_takes_no_time(run_of: Callable[..., Run]) -> None:
    cells = [Status(Step(worked("a10")), "to do"), Status(Step(worked("a30")), "to do")]
    run = run_of(*cells, only=frozenset({"evaluate a30"}))
    run.learn(worked("a1"), 1)
    assert run.seconds_left() == pytest.approx(30)
    assert (run.wants("evaluate a10"), run.wants("evaluate a30")) == (False, True)
    assert run_of(*cells).wants("evaluate a10")


def test_work_of_no_amount_teaches_nothing(run_of: Callable[..., Run]) -> None:
    run = run_of(Status(Step(worked("a10")), "to do"))
    run.learn(worked("a0"), 5)
    assert run.seconds_left() is None


def test_runs_have_names_of_their_own_in_the_order_of_time(run_of: Callable[..., Run]) -> None:
    names = [run_of().name for _ in range(3)]
    assert len(set(names)) == 3
    assert sorted(names) == names
    assert all("-small-" in name for name in names)


def test_an_account_is_plain_and_holds_every_cell(run_of: Callable[..., Run]) -> None:
    run = run_of(
        Status(Step(sketch("a")), "done", "0" * 64),
        Status(Step(sketch("b"), "no colour"), "skipped", reason="no colour"),
    )
    account = json.loads(json.dumps(run.account()))
    assert account == run.account()
    assert [(c["label"], c["state"], c["reason"]) for c in account["cells"]] == [
        ("evaluate a", "done", ""),
        ("evaluate b", "skipped", "no colour"),
    ]
    assert account["suite"] == "small"
    assert account["dataset"]["images"] == 20
    assert account["dataset"]["classes"] == ["north", "east", "south"]
