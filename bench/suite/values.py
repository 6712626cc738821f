"""The plain values of a suite that a program made, as a document: what a YAML file would hold.

This room does not know what a suite is.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import PurePath
from typing import Any

from bench.errors import Problem, SuiteError
from bench.suite.document import Document, Path, dotted

_ACTION = "give what a YAML file would hold in its place"


def document(values: Mapping[Any, Any], name: str) -> Document:
    """Return the document of plain values; paths become text, tuples lists.

    Raises:
        SuiteError: with every value that no YAML file could hold.

    """
    reader = _Reader(name)
    try:
        data = reader.read(values, ())
    except RecursionError as error:
        raise SuiteError.of(name, "is nested without end", "plain values") from error
    if reader.problems:
        raise SuiteError(*reader.problems)
    return Document(data, name)


class _Reader:
    """Turns values into plain ones; collects problems."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.problems: list[Problem] = []

    def read(self, value: Any, path: Path) -> Any:
        match value:
            case None | bool() | str():
                return value
            case Integral():
                return int(value)
            case Real():  # of numpy, and fractions
                return float(value)
            case PurePath():
                return str(value)
            case Mapping():
                return self.mapping(value, path)
            case list() | tuple():
                return [self.read(each, (*path, place)) for place, each in enumerate(value)]
        what = f"holds a {type(value).__name__}: {value!r}"
        self.report(path, what, "text, a number, a list or a mapping")
        return None

    def mapping(self, values: Mapping[Any, Any], path: Path) -> dict[str, Any]:
        found = {}
        for key, value in values.items():
            if isinstance(key, str):
                found[key] = self.read(value, (*path, key))
            else:
                self.report(path, f"has the key {key!r}", "text")
        return found

    def report(self, path: Path, what: str, expected: str) -> None:
        where = f"{self.name}: {dotted(path)}" if path else self.name
        self.problems.append(Problem(where, what, expected, _ACTION))
