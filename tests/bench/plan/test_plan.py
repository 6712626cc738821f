"""Where each step of a plan stands, given where its parents stand and what the store holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sketched import sketch

from bench import plan
from bench.errors import SuiteError
from bench.plan import Status, Step
from bench.records import Result
from bench.store import Store

RECIPE = {"epochs": 1, "batch_size": 16, "lr": 0.01}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def put(store: Store, cell: Any, parents: dict[str, Any], answer: str = "an answer") -> Any:
    identity = cell.identity(parents)
    result = Result(outputs={"answer": answer})
    return store.put(cell.key(parents), cell.kind, cell.coordinates, identity, result, {})


def known(*statuses: Status) -> dict[str, Status]:
    return {status.step.cell.label: status for status in statuses}


def test_a_cell_without_parents_is_to_do_until_the_store_has_it(store: Store) -> None:
    cell = sketch("alone")
    before = plan.status(Step(cell), {}, store)
    assert (before.state, before.key, before.stored) == ("to do", cell.key({}), None)
    stored = put(store, cell, {})
    after = plan.status(Step(cell), {}, store)
    assert (after.state, after.key, after.stored) == ("done", before.key, stored)


def test_a_key_is_not_known_before_all_parents_have_run(store: Store) -> None:
    first, second = sketch("first"), sketch("second")
    child = sketch("child", first, second)
    done = Status(Step(first), "done", first.key({}), put(store, first, {}))
    waiting = Status(Step(second), "to do", second.key({}))
    status = plan.status(Step(child), known(done, waiting), store)
    assert (status.state, status.key, status.reason) == ("depends", None, second.label)


def test_what_a_parent_answered_decides_the_key_of_its_child(store: Store) -> None:
    parent = sketch("parent")
    child = sketch("child", parent)
    keys = []
    for answer in ("one", "another", "one"):
        place = Store(store.folder / answer)
        done = Status(Step(parent), "done", parent.key({}), put(place, parent, {}, answer))
        keys.append(plan.status(Step(child), known(done), place).key)
    assert keys[0] == keys[2] != keys[1]


@pytest.mark.parametrize("state", ["failed", "skipped"])
def test_a_parent_that_will_not_come_blocks_its_child_by_name(store: Store, state: Any) -> None:
    parent, other = sketch("parent"), sketch("other")
    child = sketch("child", other, parent)
    lost = Status(Step(parent), state, reason="lost")
    # the other parent is still to do, and the child is blocked all the same
    status = plan.status(Step(child), known(Status(Step(other), "to do"), lost), store)
    assert (status.state, status.reason) == ("blocked", parent.label)
    grandchild = plan.status(Step(sketch("grandchild", child)), known(status), store)
    assert (grandchild.state, grandchild.reason) == ("blocked", parent.label)  # the origin


def test_a_skipped_cell_says_why_even_where_the_store_has_it(store: Store) -> None:
    cell = sketch("alone")
    put(store, cell, {})
    status = plan.status(Step(cell, "needs 3 channels"), {}, store)
    assert (status.state, status.reason, status.key) == ("skipped", "needs 3 channels", None)


def test_statuses_follow_one_another(plan_of, store: Store) -> None:
    parent = sketch("parent")
    child = sketch("child", parent)
    grandchild = sketch("grandchild", child)
    steps = (Step(parent), Step(child), Step(grandchild), Step(sketch("apart")))
    made = plan_of_steps(plan_of, *steps)
    assert [s.state for s in plan.statuses(made, store)] == ["to do", "depends", "depends", "to do"]
    stored = put(store, parent, {})
    assert [s.state for s in plan.statuses(made, store)] == ["done", "to do", "depends", "to do"]
    put(store, child, {"parent": stored})
    assert [s.state for s in plan.statuses(made, store)] == ["done", "done", "to do", "to do"]
    skipped = plan_of_steps(plan_of, Step(parent, "no"), *steps[1:])
    states = [status.state for status in plan.statuses(skipped, store)]
    assert states == ["skipped", "blocked", "blocked", "to do"]


def plan_of_steps(plan_of: Any, *steps: Step) -> plan.Plan:
    return replace(plan_of(), steps=steps)


# One cell, and what it needs


def test_what_a_cell_needs_is_all_that_lies_before_it(plan_of) -> None:
    first = sketch("first")
    left, right = sketch("left", first), sketch("right", first)
    last = sketch("last", left, right)
    made = plan_of_steps(plan_of, *map(Step, (first, left, right, last, sketch("apart"))))
    assert made.needed_by("evaluate left") == {"evaluate first", "evaluate left"}
    assert made.needed_by("last") == {
        f"evaluate {name}" for name in ("first", "left", "right", "last")
    }


def test_a_cell_goes_by_the_name_that_tables_print(plan_of) -> None:
    made = plan_of(attacks={"fgsm": {"grid": {"eps": ["8/255", 0.1]}}})
    label = "attack linear/fgsm@eps=0.0313725"
    for name in (label, "linear/fgsm@eps=0.0313725", "linear/fgsm@eps=8/255"):
        assert made.needed_by(name) == {label, "train linear"}


def test_an_unknown_cell_comes_with_the_nearest(plan_of) -> None:
    with pytest.raises(SuiteError, match=r"--only: 'evaluate liner' is no cell.*'evaluate linear'"):
        plan_of().needed_by("evaluate liner")


# Plans of suites


def test_parents_stand_before_their_children_and_labels_are_unique(plan_of) -> None:
    made = plan_of(
        models={name: {"train": RECIPE} for name in ("linear", "gaudy")},
        variants={"original": [], "half": [{"magnitude": {"sparsity": 0.5}}]},
        attacks={"fgsm": {"eps": 0.1}, "pgd": {"eps": 0.1, "steps": 2}},
        explainers={"brightness": {}},
        transfer={},
        profile={},
        audit="cheap",
    )
    labels = [step.cell.label for step in made.steps]
    assert len(set(labels)) == len(labels)
    for place, step in enumerate(made.steps):
        for parent in step.cell.parents.values():
            assert parent.cell.label in labels[:place], step.cell.label
    kinds = {step.cell.kind for step in made.steps}
    assert {"train", "compress", "evaluate", "attack", "transfer", "profile"} <= kinds
    assert {"latency", "explain", "probe"} <= kinds
