"""Suites that a program makes, and files: what is read is the same, and runs the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.commands import run as session
from bench.plan.plan import statuses
from bench.store import Store


def test_plain_values_of_a_program_run_as_a_file_would(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    made = {
        **tiny,
        "description": tmp_path,
        "attacks": {"fgsm": {"grid": {"eps": ("1/20", "1/5")}}},
        "tables": {"t": {"metric": "l2", "rows": ("attack",), "where": {"eps": "1/5"}}},
    }
    made["models"].pop("gaudy")
    done = session.run(made, store=tmp_path / "store", reports=tmp_path / "reports")
    plain = {**tiny, "attacks": {"fgsm": {"grid": {"eps": [0.05, 0.2]}}}}
    again = session.make_plan(plain, Store(tmp_path / "store"))
    assert {entry.state for entry in done.matrix.entries} == {"done"}
    states = [status.state for status in statuses(again, Store(tmp_path / "store"))]
    assert set(states) == {"done"}
    page = (tmp_path / "reports" / "tiny" / "README.md").read_text(encoding="utf-8")
    assert "fgsm@eps=0.2" in page
