"""The core knows no plugin by name: it asks what plugins declare."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from bench import registry

BENCH = Path(__file__).parent.parent.parent / "bench"
KINDS = ("datasets", "models", "attacks", "explainers", "compressors", "defenses")


def own_names() -> set[str]:
    """What the first-party attacks, models, datasets, steps and explainers are called."""
    points = [point for kind in KINDS for point in metadata.entry_points(group=f"bench.{kind}")]
    return {point.name for point in points if point.dist and point.dist.name == registry.OWN}


def strings(tree: ast.AST) -> Iterator[ast.Constant]:
    """The string literals of a module; docstrings are none."""
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node


def test_no_literal_of_the_core_names_a_plugin() -> None:
    names = own_names()
    assert len(names) > 50  # else none were found, and nothing was looked for
    found = {
        f"{path.relative_to(BENCH)}: {node.value!r}"
        for path in sorted(BENCH.rglob("*.py"))
        for node in strings(ast.parse(path.read_text(encoding="utf-8")))
        if node.value in names
    }
    assert found == set()
