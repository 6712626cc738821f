"""Exceptions of any kind are caught in two places: for failed cells, and for foreign code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.errors import BenchError, PluginError, UsageError, explained, named

ROOT = Path(__file__).parent.parent.parent
BROAD = {"Exception", "BaseException"}


def broad_catches(path: Path) -> Iterator[int]:
    """Lines of handlers that take any exception and do not just pass it on."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ExceptHandler):
            caught = (
                {n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)}
                if node.type
                else BROAD
            )
            passes = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
            if caught & BROAD and not passes:
                yield node.lineno


def test_exceptions_of_any_kind_are_caught_in_two_places() -> None:
    files = [*(ROOT / "bench").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]
    found = [path.relative_to(ROOT).as_posix() for path in files for _ in broad_catches(path)]
    assert sorted(found) == ["bench/errors.py", "bench/runner/execute.py"]


def test_what_foreign_code_raises_is_explained_and_kept_as_the_cause() -> None:
    def explain(error: Exception) -> BenchError:
        return PluginError.of("here", f"raised {named(error)}")

    with (
        pytest.raises(PluginError, match="raised ValueError: x") as caught,
        explained(explain),
    ):
        raise ValueError("x")
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize("error", [UsageError.of("there", "is wrong"), KeyboardInterrupt()])
def test_errors_of_bench_and_interrupts_pass_as_they_are(error: BaseException) -> None:
    def unasked(_error: Exception) -> BenchError:
        raise AssertionError

    with pytest.raises(type(error)) as caught, explained(unasked):
        raise error
    assert caught.value is error
