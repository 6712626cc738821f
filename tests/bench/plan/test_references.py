"""Which references are planned, with what, and what they can do without."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sketched import SketchedCell, sketch

from bench import plan
from bench.cells.reference import ReferenceCell
from bench.plan import Plan, Status, Step
from bench.records import Result
from bench.store import Store

PGD: dict[str, Any] = {"eps": 0.1, "steps": 5}


def references(made: Plan) -> dict[str, ReferenceCell]:
    cells = [step.cell for step in made.steps if isinstance(step.cell, ReferenceCell)]
    return {str(cell.coordinates.attack): cell for cell in cells}


def test_one_for_each_norm_serves_its_budgets_in_order(plan_of: Callable[..., Plan]) -> None:
    attacks = {
        "pgd": PGD,
        "fgsm": {"grid": {"eps": [0.2, 0.05]}},
        "aimed": {"plugin": "pgd", "eps": 0.3, "steps": 5, "target": 1},
        "noise": {"eps": 0.4},
        "deepfool": {},
        "unbounded": {},
    }
    found = references(plan_of(attacks=attacks, budget={"norm": "l2", "eps": 0.5}, audit="cheap"))
    assert set(found) == {"reference~linf", "reference~l2"}
    cell = found["reference~linf"]
    assert cell.budgets == (0.05, 0.1, 0.2, 0.3)  # only a control runs at 0.4
    assert found["reference~l2"].budgets == (0.5,)
    assert [attempt.eps for attempt in cell.attempts] == sorted(
        (attempt.eps for attempt in cell.attempts), key=lambda eps: eps or 0
    )
    first, *others = cell.attempts
    assert first.plugin.minimum_norm
    assert first.eps is None
    at = [attempt.name for attempt in others if attempt.eps == 0.1]
    assert len(at) == len(set(at)) > 1
    assert {attempt.plugin.budget.eps for attempt in others} == set(cell.budgets)  # type: ignore[union-attr]
    assert cell.optional == {role for role in cell.parents if role.startswith("attack ")}
    assert len(cell.optional) == 5  # those of the norm, aimed ones and controls too


def test_how_many_images_it_takes_is_the_suite_s_choice(plan_of: Callable[..., Plan]) -> None:
    def cell(audit: Any) -> ReferenceCell:
        [found] = references(plan_of(attacks={"pgd": PGD}, audit=audit)).values()
        return found

    assert cell("cheap").count == cell({"extent": "cheap"}).count == 200
    assert cell({"reference_images": 7}).count == 7
    assert cell("full").count is None
    short, long = (sum(a.plugin.passes for a in cell(e).attempts) for e in ("cheap", "full"))
    assert long > 10 * short
    for off in ("off", {"extent": "off"}):
        assert references(plan_of(attacks={"pgd": PGD}, audit=off)) == {}


def test_one_replica_of_each_variant_has_one(plan_of: Callable[..., Plan]) -> None:
    recipe = {"epochs": 1, "batch_size": 16, "lr": 0.01}
    made = plan_of(
        models={"linear": {"train": recipe, "seeds": [1, 2]}},
        variants={"original": [], "coarse": ["bit_depth"]},
        attacks={"pgd": PGD},
        audit="cheap",
    )
    cells = [step.cell for step in made.steps if step.cell.kind == "reference"]
    assert {(c.coordinates.variant, c.coordinates.replica) for c in cells} == {
        ("original", "seed1"),
        ("coarse", "seed1"),
    }


def test_where_another_network_answers_none_stops_or_looks_for_the_nearest(
    plan_of: Callable[..., Plan],
) -> None:
    made = plan_of(
        variants={"original": [], "noisy": [{"randomized_smoothing": {"sigma": 0.1}}]},
        attacks={"pgd": PGD},
        audit="cheap",
    )
    cells = [s.cell for s in made.steps if isinstance(s.cell, ReferenceCell)]
    [noisy] = [cell for cell in cells if cell.coordinates.variant == "noisy"]
    assert noisy.attempts
    for attempt in noisy.attempts:
        assert not attempt.plugin.minimum_norm
        assert not getattr(attempt.plugin, "stop_at_success", False)


class Lenient(SketchedCell):
    """Can do without all of its parents."""

    @property
    def optional(self) -> frozenset[str]:
        return frozenset(self.parents)


def test_a_cell_does_without_what_has_no_result_and_is_another_then(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    works, fails = sketch("works"), sketch("fails")
    result = Result(outputs={"answer": "yes"})
    stored = store.put(works.key({}), works.kind, works.coordinates, {}, result, {})
    child = Lenient(sketch("child").coordinates, (works, fails))
    done = Status(Step(works), "done", works.key({}), stored)

    def status(other: Status) -> Status:
        known = {each.step.cell.label: each for each in (done, other)}
        return plan.status(Step(child), known, store)

    for state in ("failed", "skipped", "blocked"):
        without = status(Status(Step(fails), state))  # type: ignore[arg-type]
        assert (without.state, without.key) == ("to do", child.key({"works": stored}))
    assert status(Status(Step(fails), "to do", fails.key({}))).state == "depends"
    both = status(Status(Step(fails), "done", fails.key({}), stored))
    assert both.key not in (None, child.key({"works": stored}))
