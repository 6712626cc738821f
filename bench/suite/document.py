"""YAML text to plain values that remember their lines, with words from the command line on top.

Scalars follow YAML 1.2's core schema, and fractions are numbers: ``1e-3`` and ``8/255`` are floats,
``no`` and ``10:30`` are strings. Nothing but plain values is ever constructed. This room does not
know what a suite is.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml

from bench.errors import Problem, SuiteError

Path: TypeAlias = tuple[str | int, ...]

_FRACTION = "!fraction"
_FRACTIONS = r"[-+]?[0-9]+(\.[0-9]+)?/[0-9]+(\.[0-9]+)?"
_CORE = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the scalars of YAML 1.2, and fractions."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (its type)


for _tag, _pattern in {
    _CORE + "bool": r"true|True|TRUE|false|False|FALSE",
    _CORE + "null": r"~|null|Null|NULL|",
    _CORE + "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    _CORE + "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
    r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
    _FRACTION: _FRACTIONS,
    _CORE + "merge": r"<<",
}.items():
    _Loader.add_implicit_resolver(_tag, re.compile(f"^(?:{_pattern})$"), None)


@dataclass(frozen=True)
class Document:
    """Plain values, and where each of them was written.

    ``origins`` maps a path to ``file:line`` or to the option that set it.
    """

    data: Any
    name: str
    origins: dict[Path, str] = field(default_factory=dict)

    def where(self, path: Path) -> str:
        """Return where a value was written: ``suites/quick.yaml:14: attacks.pgd.eps``."""
        origin = next(
            (
                self.origins[path[:end]]
                for end in range(len(path), -1, -1)
                if path[:end] in self.origins
            ),
            self.name,
        )
        return f"{origin}: {dotted(path)}" if path else origin

    def line(self, path: Path) -> int:
        """Return the line of a value, for sorting; 0 for what no file holds."""
        _, _, line = self.where(path).partition(": ")[0].rpartition(":")
        return int(line) if line.isdecimal() else 0

    def with_value(self, path: Path, value: object, origin: str) -> Document:
        """Return a copy in which one value is replaced or added."""
        data = copy.deepcopy(self.data)
        place = data
        made: dict[Path, str] = {}
        for position, key in enumerate(path[:-1]):
            if isinstance(place, dict) and place.get(key) is None:
                place[key] = {}
                made[path[: position + 1]] = origin
            if not holds(place, key):
                text = dotted(path[: position + 1])
                raise SuiteError.of(origin, f"'{text}' is not in the suite", "a path that exists")
            place = place[key]
        if not isinstance(place, dict) and not holds(place, path[-1]):
            raise SuiteError.of(origin, f"'{dotted(path)}' cannot be set", "a key of a mapping")
        place[path[-1]] = value
        origins = {known: at for known, at in self.origins.items() if known[: len(path)] != path}
        return Document(data, self.name, {**origins, **made, path: origin})


def holds(place: Any, key: str | int) -> bool:
    """Return whether a mapping has a key, or a list a position."""
    if isinstance(place, list):
        return isinstance(key, int) and key < len(place)
    return isinstance(place, dict) and key in place


def dotted(path: Iterable[str | int]) -> str:
    """Write a path with dots: ``attacks.pgd.eps``.

    A key with a dot of its own is in brackets: ``attacks[fgsm@eps=0.1].eps``.
    """
    text = ""
    for key in path:
        if isinstance(key, int) or "." in key:
            text += f"[{key}]"
        else:
            text += f".{key}" if text else key
    return text


def parse_path(text: str) -> Path:
    """Read a dotted path; the inverse of :func:`dotted`."""
    keys = re.findall(r"\[([^\]]*)\]|([^.\[\]]+)", text)
    return tuple(
        int(bracketed) if bracketed.isdecimal() else bracketed or plain for bracketed, plain in keys
    )


def parse(text: str, name: str) -> Document:
    """Parse YAML.

    Raises:
        SuiteError: where the text is not YAML, has a key twice, or holds more than plain values.

    """
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            reader = _Reader(loader, name)
            data = reader.read(node, ()) if node is not None else {}
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise SuiteError.of(f"{name}:{line}", f"not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        words = str(error).partition("\n")[0]
        raise SuiteError.of(name, f"not YAML: {words}", "text") from error
    if reader.problems:
        raise SuiteError(*reader.problems)
    return Document(data, name, {(): f"{name}:1", **reader.origins})


def parse_value(text: str) -> Any:
    """Parse one value as a suite file would: ``8/255`` is a number, ``[a, b]`` a list."""
    return parse(text, "value").data if text.strip() else None


class _Reader:
    """Turns the nodes of one document into plain values; notes lines and problems."""

    def __init__(self, loader: _Loader, name: str) -> None:
        self.loader = loader
        self.name = name
        self.origins: dict[Path, str] = {}
        self.problems: list[Problem] = []
        self._flat: set[int] = set()
        self._open: set[int] = set()

    def report(self, node: yaml.Node, path: Path, what: str, expected: str) -> None:
        place = f"{self.name}:{node.start_mark.line + 1}"
        where = f"{place}: {dotted(path)}" if path else place
        self.problems.append(Problem(where, what, expected))

    def read(self, node: yaml.Node, path: Path) -> Any:
        self.origins[path] = f"{self.name}:{node.start_mark.line + 1}"
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node)
        kind = "map" if isinstance(node, yaml.MappingNode) else "seq"
        if node.tag != _CORE + kind:
            self.report(node, (), f"has the tag '{node.tag}'", "a plain value")
            return None
        if id(node) in self._open:
            self.report(node, path, "holds itself", "an anchor outside of what it names")
            return None
        self._open.add(id(node))
        try:
            return self.mapping(node, path) if kind == "map" else self.sequence(node, path)
        finally:
            self._open.remove(id(node))

    def sequence(self, node: Any, path: Path) -> list[Any]:
        return [self.read(item, (*path, position)) for position, item in enumerate(node.value)]

    def mapping(self, node: Any, path: Path) -> dict[str, Any]:
        if id(node) not in self._flat:  # an alias is read again, with what was merged in it
            self._flat.add(id(node))
            self.find_repeated_keys(node, path)
            self.loader.flatten_mapping(node)
        mapping = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                continue
            key = str(key_node.value)
            mapping[key] = self.read(value_node, (*path, key))
            self.origins[*path, key] = f"{self.name}:{key_node.start_mark.line + 1}"
        return mapping

    def find_repeated_keys(self, node: yaml.MappingNode, path: Path) -> None:
        seen: dict[str, int] = {}
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.report(key_node, path, "has a key that is no word", "a word")
            elif key_node.value in seen:
                first = seen[key_node.value]
                place = (*path, key_node.value)
                self.report(
                    key_node, place, f"is here twice, first in line {first}", "each key once"
                )
            else:
                seen[key_node.value] = key_node.start_mark.line + 1

    def scalar(self, node: yaml.ScalarNode) -> Any:
        kind = node.tag.removeprefix(_CORE)
        if kind not in _SCALARS:
            self.report(node, (), f"has the tag '{node.tag}'", "a plain value")
            return None
        try:
            return _SCALARS[kind](node.value)
        except ZeroDivisionError:
            self.report(node, (), f"'{node.value}' divides by zero", "a number")
        except ValueError:
            self.report(node, (), f"'{node.value}' does not fit its tag", "a plain value")
        return None


def fraction(value: object) -> float | None:
    """Return the value of the text of a fraction; None for anything else."""
    if not isinstance(value, str) or not re.fullmatch(_FRACTIONS, value):
        return None
    return _fraction(value) if float(value.partition("/")[2]) else None


def _integer(text: str) -> int:
    return int(text, {"0x": 16, "0o": 8}.get(text[:2], 10))


def _float(text: str) -> float:
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


def _fraction(text: str) -> float:
    numerator, _, denominator = text.partition("/")
    return float(numerator) / float(denominator)


_SCALARS: dict[str, Callable[[str], Any]] = {
    "null": lambda _: None,
    "bool": lambda text: text.lower() == "true",
    "int": _integer,
    "float": _float,
    _FRACTION: _fraction,
    "str": str,
    "merge": str,
}
