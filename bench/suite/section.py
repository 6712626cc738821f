"""What the parts of a suite are read with: their plugins, and the names that they may use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bench import registry
from bench.api import Plugin
from bench.errors import BenchError, nearest
from bench.suite import document
from bench.suite.problems import Findings


class Section:
    """A part of a suite as it is read; problems are noted among those of the document."""

    def __init__(self, findings: Findings) -> None:
        self.report = findings.report
        self.parse = findings.parse

    def plugin(
        self,
        kind: str,
        name: Any,
        parameters: Mapping[str, Any],
        path: document.Path,
        moved: Mapping[str, document.Path] | None = None,
    ) -> Plugin | None:
        """Load and configure a plugin; problems are noted."""
        if not isinstance(name, str):
            self.report((*path, "plugin"), f"got {name!r}", "the name of a plugin")
            return None
        try:
            plugin_class = registry.load(kind, name)
        except BenchError as error:
            for problem in error.problems:
                self.report(
                    path, f"{problem.where} {problem.what}", problem.expected, problem.action
                )
            return None
        return self.parse(plugin_class, dict(parameters), path, moved)

    def check_name(
        self, path: document.Path, name: Any, known: Iterable[str], complaint: str
    ) -> None:
        """Check that a name is known; what is no text at all was reported with the layout."""
        if isinstance(name, str) and name not in known:
            self.report(path, f"'{name}' {complaint}", action=nearest(name, known))


def entries(raw: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the well-formed entries of a section; the rest was reported with the layout."""
    if isinstance(raw, dict):
        for name, entry in raw.items():
            if entry is None or isinstance(entry, dict):
                yield name, entry or {}
