"""A plan is walked in order: what failed blocks its children, and costs no other cell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sketched import SketchedCell, sketch

from bench import runner
from bench.errors import DataError, StoreError
from bench.plan import Plan, Step
from bench.runner import Run
from bench.store import Store

Walk = Callable[..., Run]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


@pytest.fixture
def walk(plan_of: Callable[..., Plan], store: Store) -> Walk:
    """Run some cells."""

    def run(*cells: SketchedCell, skip: str | None = None, **options: Any) -> Run:
        steps = (*map(Step, cells),)
        if skip is not None:
            steps = (Step(cells[0], skip), *steps[1:])
        return runner.execute(Run(replace(plan_of(), steps=steps), store, "s", "c", **options))

    return run


def states(run: Run) -> dict[str, str]:
    return {str(s.step.cell.coordinates): s.state for s in run.statuses.values()}


def fail(error: BaseException) -> Callable[[], object]:
    def does() -> object:
        raise error

    return does


def test_children_get_what_their_parents_answered(walk: Walk) -> None:
    parent = sketch("parent")
    child = sketch("child", parent)
    run = walk(parent, child)
    assert states(run) == {"parent": "done", "child": "done"}
    assert child.saw == [{"parent": "of parent"}]
    assert run.computed == 2


def test_a_failure_blocks_its_descendants_and_the_others_go_on(walk: Walk, store: Store) -> None:
    broken = sketch("broken", does=fail(RuntimeError("lost my way")))
    child, other = sketch("child", broken), sketch("other")
    grandchild = sketch("grandchild", child, other)
    run = walk(broken, child, other, grandchild)
    assert states(run) == {
        "broken": "failed",
        "child": "blocked",
        "other": "done",
        "grandchild": "blocked",
    }
    assert run.statuses[grandchild.label].reason == broken.label
    assert (child.runs, grandchild.runs) == ([], [])
    assert run.statuses[broken.label].reason == "RuntimeError: lost my way"
    noted = store.failure(broken.key({}))
    assert noted["error"] == "RuntimeError: lost my way"
    assert "in does" in noted["traceback"]
    assert store.find(broken.key({})) is None


def test_a_failure_is_tried_again_and_what_was_done_is_not(walk: Walk, store: Store) -> None:
    causes: list[BaseException] = [RuntimeError("once")]
    flaky = sketch("flaky", does=lambda: fail(causes.pop())() if causes else None)
    steady = sketch("steady")
    assert states(walk(steady, flaky)) == {"steady": "done", "flaky": "failed"}
    again = walk(steady, flaky)
    assert states(again) == {"steady": "done", "flaky": "done"}
    assert (len(steady.runs), len(flaky.runs), again.computed) == (1, 2, 1)
    assert store.failure(flaky.key({})) is None
    assert walk(steady, flaky).computed == 0


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        # bench's own errors stand as they are, without their class
        (DataError.of("here", "is wrong"), "here: is wrong"),
        (ValueError("first line\nsecond line"), "ValueError: first line"),
        (SystemExit(3), "SystemExit: 3"),
        (MemoryError(), "MemoryError: "),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_reason_of_a_failure_is_one_line(walk: Walk, error: BaseException, reason: str) -> None:
    run = walk(sketch("broken", does=fail(error)), sketch("other"))
    assert states(run) == {"broken": "failed", "other": "done"}
    assert run.statuses["evaluate broken"].reason == reason


def test_a_skipped_cell_is_not_run_and_blocks_its_children(walk: Walk) -> None:
    skipped = sketch("skipped")
    child = sketch("child", skipped)
    assert states(walk(skipped, child, skip="needs colour")) == {
        "skipped": "skipped",
        "child": "blocked",
    }
    assert (skipped.runs, child.runs) == ([], [])


def test_ctrl_c_keeps_what_was_finished(walk: Walk, store: Store) -> None:
    first, last = sketch("first"), sketch("last")
    pressed = sketch("pressed", does=fail(KeyboardInterrupt()))
    run = walk(first, pressed, last)
    assert run.interrupted
    assert states(run) == {"first": "done", "pressed": "to do", "last": "to do"}
    assert last.runs == []
    assert store.failure(pressed.key({})) is None  # nobody's fault
    assert store.last_run()["interrupted"] is True
    assert walk(first, last).computed == 1


def test_a_store_that_cannot_be_written_ends_the_run(
    walk: Walk, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise StoreError.of("store", "cannot be written")

    monkeypatch.setattr(store, "put", refuse)
    last = sketch("last")
    with pytest.raises(StoreError, match="cannot be written"):
        walk(sketch("first"), last)
    assert last.runs == []


def test_only_what_is_wanted_is_run_and_the_others_stand_where_they_stood(walk: Walk) -> None:
    parent = sketch("parent")
    child, other = sketch("child", parent), sketch("other")
    run = walk(parent, child, other, only=frozenset({parent.label, child.label}))
    assert states(run) == {"parent": "done", "child": "done", "other": "to do"}
    assert other.runs == []


def test_the_account_is_written_before_and_after(walk: Walk, store: Store) -> None:
    seen: list[str] = []
    looks = sketch("looks", does=lambda: seen.extend(c["state"] for c in store.last_run()["cells"]))
    run = walk(looks, sketch("other"))
    assert seen == ["to do", "to do"]
    account = store.last_run()
    assert account["name"] == run.name
    assert [cell["state"] for cell in account["cells"]] == ["done", "done"]
    assert store.runs() == [run.name]


def test_how_a_cell_came_to_be_is_noted_and_is_no_part_of_its_key(walk: Walk, store: Store) -> None:
    cell = sketch("net")
    run = walk(cell)
    stored = store.find(cell.key({}))
    assert stored.provenance["run"] == run.name
    assert stored.provenance["threads"] == 1
    assert stored.provenance["versions"]["python"]
    assert stored.provenance["seconds"] >= 0
    assert stored.identity == cell.identity({})
