"""The tables of every suite that ships can be laid out, of its own models and of all."""

from __future__ import annotations

import pytest

from bench import plan
from bench.audit import known
from bench.commands import run as session
from bench.matrix import Matrix
from bench.report.page import suite_tables
from bench.runner import Run
from bench.store import Store
from bench.suite import shipped
from bench.suite.overrides import Overrides


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One store for all: nothing is run, and images are decoded once."""
    return Store(tmp_path_factory.mktemp("shipped") / "store")


FAST = {"problem_a", "problem_b", "problem_c"}


@pytest.mark.parametrize("models", [None, ["all"]])
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(path.stem, marks=() if path.stem in FAST else pytest.mark.slow)
        for path in sorted(shipped("suites").glob("*.yaml"))
    ],
)
def test_no_two_cells_fall_into_one_place(
    name: str, models: list[str] | None, request: pytest.FixtureRequest, store: Store
) -> None:
    on_photographs = "sports10" in (shipped("suites") / f"{name}.yaml").read_text(encoding="utf-8")
    root = str(request.getfixturevalue("photographs")) if on_photographs else None
    made = session.make_plan(name, store, Overrides(models=models, data_root=root))
    run = Run(made, store, name, "")
    run.statuses.update({status.step.cell.label: status for status in plan.statuses(made, store)})
    matrix = Matrix(store, run.account())
    built, refused = suite_tables(matrix, known(matrix))
    assert not refused
    assert built.keys() == made.suite.tables.keys()
