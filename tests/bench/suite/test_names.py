"""Names that sections mention: dimensions are the facts that cells declare, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_identities import SUITE

from bench import suite as suites
from bench.api import Plugin
from bench.cells.cell import Cell
from bench.commands import run as session
from bench.errors import SuiteError
from bench.plan import Plan, Step
from bench.records import AUDIT_KINDS
from bench.store import Store
from bench.suite.names import FACTS

MORE: dict[str, Any] = {
    "variants": {
        **SUITE["variants"],
        "bytes": [{"magnitude": {"sparsity": 0.5}}, {"int8": {"images": 16}}],
    },
    "attacks": {
        **SUITE["attacks"],
        "fgsm": {"eps": 0.2},
        "both": {"cascade": ["fgsm", "pgd"]},
    },
    "audit": "off",  # no table shows probes
}


@pytest.fixture
def plan(plugins: Path, tmp_path: Path) -> Plan:
    """A plan with cells of every kind."""
    weights = tmp_path / "weights.pt"
    weights.write_bytes(b"weights")
    models = {**SUITE["models"], "probe": {**SUITE["models"]["probe"], "weights": weights}}
    return session.make_plan({**SUITE, **MORE, "models": models}, Store(tmp_path / "store"))


def parameters(value: Any) -> set[str]:
    """The parameters of all plugins that a cell is made of."""
    if isinstance(value, Plugin):
        return {*value.parameters()}
    if isinstance(value, tuple):
        return {name for each in value for name in parameters(each)}
    inside = vars(value).values() if hasattr(value, "__dict__") else ()
    return {name for each in inside for name in parameters(each)}


def declared(cell: Cell) -> set[str]:
    return {*cell.facts} - (parameters(cell) - {*FACTS})


def shown(plan: Plan) -> list[Step]:
    """The steps that tables show."""
    return [step for step in plan.steps if step.cell.kind not in AUDIT_KINDS]


def test_facts_are_what_cells_declare(plan: Plan) -> None:
    found = {fact for step in shown(plan) for fact in declared(step.cell)}
    assert found == {*FACTS}


def test_a_table_may_be_laid_out_by_every_fact_of_every_cell(plan: Plan, tmp_path: Path) -> None:
    facts = sorted({fact for step in shown(plan) for fact in step.cell.facts})
    spec = {"metric": "success_rate", "rows": facts, "columns": ["detector"]}
    document = {**plan.suite.document.data, "tables": {"all": spec}}
    assert suites.read(document).tables["all"].rows == tuple(facts)
    spec["columns"] = ["detectr"]
    with pytest.raises(SuiteError, match=r"columns\[0\]: 'detectr' is no dimension; did you mean"):
        suites.read(document)
