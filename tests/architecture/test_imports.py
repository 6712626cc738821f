"""The floors, enforced: who may import whom, and what may not be imported at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import grimp
import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parent.parent.parent
PORCH = {"api", "records", "tensors", "norms", "seeds", "errors"}
OF_KIND = {"metrics": {"statistics"}, "rules": {"statistics"}}
"""What plugins of a kind import besides the porch."""
HEAVY = {"torch", "torchvision", "timm", "torchattacks", "sklearn", "scipy", "matplotlib"}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("bench", "bench_plugins", cache_dir=None)


def test_contracts(capsys: pytest.CaptureFixture[str]) -> None:
    assert lint_imports(str(ROOT / "pyproject.toml"), no_cache=True) == 0, capsys.readouterr().out


def test_plugins_import_the_porch_and_nothing_else_of_bench(graph: grimp.ImportGraph) -> None:
    for module in graph.find_descendants("bench_plugins"):
        used = {
            imported.split(".")[1]
            for imported in graph.find_modules_directly_imported_by(module)
            if imported.startswith("bench.")
        }
        allowed = PORCH | OF_KIND.get(module.split(".")[1], set()) if "." in module else PORCH
        assert used <= allowed, f"{module} imports {used - allowed}"


def imported_by(code: str, tmp_path: Path) -> set[str]:
    """The top-level modules that a program imports, in a process of its own."""
    program = f"import sys\n{code}\nprint(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    return set(done.stdout.splitlines()[-1].split())


COMMANDS = (
    ["--help"],
    ["list"],
    ["list", "attacks"],
    ["list", "metrics"],
    ["describe", "pgd"],
    ["check", "problem_b"],
    ["schema"],
)


def test_commands_that_need_no_torch_do_not_import_it(tmp_path: Path) -> None:
    """One after the other in one process: what one of them imports is in it from then on."""
    code = f"""
from bench.cli import app
for words in {COMMANDS!r}:
    try:
        app(words)
    except SystemExit as end:
        assert end.code in (0, None), (words, end.code)
    assert not sys.modules.keys() & {HEAVY!r}, words
"""
    assert not imported_by(code, tmp_path) & HEAVY


def test_help_imports_no_library_but_the_command_line_s(tmp_path: Path) -> None:
    code = "from bench.cli import app\ntry:\n    app(['--help'])\nexcept SystemExit:\n    pass"
    assert not imported_by(code, tmp_path) & {*HEAVY, "pandas", "numpy", "pyarrow", "pydantic"}


def test_importing_bench_imports_nothing_else(tmp_path: Path) -> None:
    assert not imported_by("import bench", tmp_path) & {*HEAVY, "pandas", "numpy", "pydantic"}


def test_the_porch_is_torch_free(tmp_path: Path) -> None:
    code = "\n".join(f"import bench.{room}" for room in sorted(PORCH))
    assert not imported_by(code, tmp_path) & HEAVY
