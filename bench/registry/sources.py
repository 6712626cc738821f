"""Where the source of plugins lies, what it hashes to and what it says; nothing is imported."""

from __future__ import annotations

import ast
import inspect
import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from bench import fingerprint


def source(module: str) -> Path | None:
    """Locate the source file of a module without importing it or its parents."""
    spec = _spec(module)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    return Path(spec.origin)


def source_digest(module: str) -> str | None:
    """Hash the source of a module, or of all modules of a package; None where there is none."""
    spec = _spec(module)
    folders = [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []
    files = sorted(file for folder in folders for file in folder.glob("*.py"))
    if not files:
        file = source(module)
        return None if file is None else fingerprint.of_file(file)
    return fingerprint.fingerprint({file.name: fingerprint.of_file(file) for file in files})


def _spec(module: str) -> ModuleSpec | None:
    """Return where a module is, or would be: one that is imported is not searched for."""
    loaded: ModuleSpec | None = getattr(sys.modules.get(module), "__spec__", None)
    return loaded or _searched(module)


def _searched(module: str) -> ModuleSpec | None:
    path: list[str] | None = None
    name = ""
    spec: ModuleSpec | None = None
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        spec = PathFinder.find_spec(name, path)
        if spec is None:
            return None
        path = list(spec.submodule_search_locations or [])
    return spec


def summary(module: str, attribute: str) -> str:
    """Return the first line of a class's docstring by parsing its source, importing nothing.

    A class that is generated, as in ``Name = generated(doc="...")``, has it in ``doc``.
    """
    path = source(module)
    try:
        tree = ast.parse(path.read_text(encoding="utf-8")) if path else None
    except (OSError, SyntaxError, ValueError):
        return ""
    for node in tree.body if tree else ():
        if isinstance(node, ast.ClassDef) and node.name == attribute:
            return (ast.get_docstring(node) or "").partition("\n")[0]
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            docs = [keyword.value for keyword in node.value.keywords if keyword.arg == "doc"]
            if attribute in names and docs and isinstance(docs[0], ast.Constant):
                return inspect.cleandoc(str(docs[0].value)).partition("\n")[0]
    return ""
