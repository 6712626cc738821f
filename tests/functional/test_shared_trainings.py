"""Suites on photographs that say they take up each other's trainings do."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.cells.train import TrainCell
from bench.commands import run as session
from bench.store import Store
from bench.suite.overrides import Overrides

SUITES = Path(__file__).parent.parent.parent / "suites"


def trainings(suite: str, photographs: Path, store: Store) -> set[str]:
    """Return the identities of all trainings from fresh weights."""
    overrides = Overrides(data_root=str(photographs), models=["all"])
    planned = session.make_plan(SUITES / f"{suite}.yaml", store, overrides)
    return {
        step.cell.key({})
        for step in planned.steps
        if isinstance(step.cell, TrainCell) and step.cell.start is None
    }


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One store for all: nothing is run, and images are decoded once."""
    return Store(tmp_path_factory.mktemp("shared") / "store")


@pytest.mark.parametrize(
    ("suite", "others", "count"),
    [
        ("pruning", ("cross_validation",), 5 + 3),  # folds of the small and of the large network
        ("findings", ("findings_pruning",), 3 + 3),  # seeds
    ],
)
@pytest.mark.slow
def test_trainings_are_the_same_cells(
    suite: str, others: tuple[str, ...], count: int, photographs: Path, store: Store
) -> None:
    own = trainings(suite, photographs, store)
    assert len(own) == count
    for other in others:
        assert own <= trainings(other, photographs, store)
