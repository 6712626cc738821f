"""A suite file, found and read as a whole: every error at once, each with file and line.

Plugins are loaded to check their parameters, nothing is computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bench.errors import Problem, SuiteError, nearest
from bench.suite import document, values
from bench.suite.document import Document
from bench.suite.names import Names
from bench.suite.overrides import Overrides, apply
from bench.suite.problems import placed
from bench.suite.suite import Suite, validated


def shipped(folder: str) -> Path:
    """Return the folder of files that come with bench: ``suites`` or ``checkpoints``.

    They are inside an installed package, and beside the package in a checkout.
    """
    package = Path(__file__).parent.parent
    installed = package / "shipped" / folder
    return installed if installed.is_dir() else package.parent / folder


def locate(source: str) -> Path:
    """Find a suite file by its path or, shipped with bench, by its name.

    Raises:
        SuiteError: where there is none.

    """
    path = Path(source)
    if path.is_file():
        return path
    known = {file.stem: file for file in sorted(shipped("suites").glob("*.yaml"))}
    if source in known:
        return known[source]
    raise SuiteError.of(
        source,
        "no such suite",
        "a YAML file or the name of a shipped suite",
        nearest(source, known),
    )


def read(source: str | Path | Mapping[str, Any], overrides: Overrides | None = None) -> Suite:
    """Read and validate a suite.

    Args:
        source: path of a YAML file, name of a shipped suite, or the plain values of one.
        overrides: what the command line changes.

    Raises:
        SuiteError: with every problem that was found.

    """
    overrides = overrides or Overrides()
    doc = apply(_document(source), overrides)
    names = Names.of(doc.data)
    found: list[tuple[int, Problem]] = []
    try:
        suite = validated(doc, names)
    except ValidationError as error:
        found += placed(doc, error)
    chosen, known = set(_split(overrides.attacks or (), names)), names.groups
    found += [
        (0, Problem("--attacks", f"'{name}' is no attack of this suite", "", nearest(name, known)))
        for name in sorted(chosen - known)
    ]
    if found:
        ordered = sorted(found, key=lambda pair: pair[0])
        raise SuiteError(*dict.fromkeys(problem for _, problem in ordered))
    if overrides.attacks is None:
        return suite
    return suite.with_attacks(chosen)


def _document(source: str | Path | Mapping[str, Any]) -> Document:
    if isinstance(source, Mapping):
        return values.document(source, "suite")
    path = locate(str(source))
    try:
        doc = document.parse(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise SuiteError.of(str(path), f"is not text: {error}", "UTF-8") from error
    if not isinstance(doc.data, dict):
        raise SuiteError.of(doc.name, f"holds a {type(doc.data).__name__}", "a mapping")
    return doc


def _split(asked: Sequence[str], names: Names) -> Iterator[str]:
    """Split what names several attacks; the name of a grid's point has commas of its own."""
    for name in asked:
        yield from [name] if name in names.groups else name.split(",")
