"""What plugins may import, and when."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import bench_plugins
from bench import registry

ROOT = Path(bench_plugins.__file__).parent
PORCH = {"api", "records", "tensors", "norms", "seeds", "errors"}
TORCH_FREE = {"metrics", "rules"}
"""Kinds that estimate, and so import the statistics too."""
SHARED = ("attacked_batches",)
"""Rooms beside the kinds, for what several of them need."""
FIRST_PARTY = [o for o in registry.offers() if o.module.startswith("bench_plugins.")]


def test_first_party_plugins_are_offered() -> None:
    assert {offer.kind for offer in FIRST_PARTY} == {
        "datasets",
        "models",
        "attacks",
        "defenses",
        "explainers",
        "compressors",
    }


def test_naming_a_plugin_imports_no_heavy_library() -> None:
    heavy = "torch torchvision timm torchattacks sklearn PIL pytorch_grad_cam captum cv2"
    heavy += " torch_pruning"
    code = (
        "import sys, importlib\n"
        f"for m in {[offer.module for offer in FIRST_PARTY]!r}: importlib.import_module(m)\n"
        f"print(sorted({set(heavy.split())!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("offer", FIRST_PARTY, ids=lambda offer: f"{offer.kind}-{offer.name}")
def test_each_plugin_passes_the_registry(offer: registry.Offer) -> None:
    assert registry.load(offer.kind, offer.name).__module__ == offer.module
    assert registry.summary(offer)


def _imported(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("file", sorted(ROOT.rglob("*.py")), ids=lambda f: f.stem)
def test_a_plugin_imports_the_porch_and_its_own_kind_only(file: Path) -> None:
    kind = file.relative_to(ROOT).parts[0]
    for name in _imported(file):
        parts = name.split(".")
        if parts[0] == "bench":
            assert parts[1] in (PORCH | {"statistics"} if kind in TORCH_FREE else PORCH), name
        if parts[0] == "bench_plugins":
            assert parts[1] in (kind, *SHARED), name


@pytest.mark.parametrize("library", ["torchattacks", "pytorch_grad_cam", "torch_pruning"])
def test_a_library_of_methods_is_imported_in_one_room(library: str) -> None:
    importers = {
        file.name
        for file in ROOT.rglob("*.py")
        if any(name.split(".")[0] == library for name in _imported(file))
    }
    assert len(importers) == 1, importers


KINDS = {"attacks", "explainers", "compressors"}
METHODS = [offer for offer in FIRST_PARTY if offer.kind in KINDS]


@pytest.mark.parametrize("offer", METHODS, ids=lambda offer: offer.name)
def test_a_method_states_its_source_and_its_deviations(offer: registry.Offer) -> None:
    text = registry.load(offer.kind, offer.name).__doc__ or ""
    assert "Source:" in text
    assert "Deviations:" in text.partition("Source:")[2]
