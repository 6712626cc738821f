"""YAML text to plain values that remember their lines, with words from the command line on top.

Scalars follow YAML 1.2's core schema, and fractions are numbers: ``1e-3`` and ``8/255`` are floats,
``no`` and ``10:30`` are strings. Nothing but plain values is ever constructed. This room does not
know what a suite is.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml

from bench.errors import Problem, SuiteError

Path: TypeAlias = tuple[str | int, ...]

_FRACTION = "!fraction"
_CORE = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the scalars of YAML 1.2, and fractions."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (its type)


for _tag, _pattern in {
    _CORE + "bool": r"true|True|TRUE|false|False|FALSE",
    _CORE + "null": r"~|null|Null|NULL|",
    _CORE + "int": r"[-+]?[0-9]+",
    _CORE
    + "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf)|\.(nan|NaN)",
    _FRACTION: r"[-+]?[0-9]+(\.[0-9]+)?/[0-9]+(\.[0-9]+)?",
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
        """Say where a value was written: ``suites/quick.yaml:14: attacks.pgd.eps``."""
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
        for position, key in enumerate(path[:-1]):
            if isinstance(place, dict) and place.get(key) is None:
                place[key] = {}
            if not holds(place, key):
                text = dotted(path[: position + 1])
                raise SuiteError.of(origin, f"'{text}' is not in the suite", "a path that exists")
            place = place[key]
        if not isinstance(place, dict) and not holds(place, path[-1]):
            raise SuiteError.of(origin, f"'{dotted(path)}' cannot be set", "a key of a mapping")
        place[path[-1]] = value
        origins = {known: at for known, at in self.origins.items() if known[: len(path)] != path}
        return Document(data, self.name, {**origins, path: origin})


def holds(place: Any, key: str | int) -> bool:
    """Say whether a mapping has a key, or a list a position."""
    if isinstance(place, list):
        return isinstance(key, int) and key < len(place)
    return isinstance(place, dict) and key in place


def dotted(path: Iterable[str | int]) -> str:
    """Write a path as people do: ``attacks.pgd.eps``.

    A key with a dot of its own stands in brackets: ``attacks[fgsm@eps=0.1].eps``.
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
        SuiteError: where the text is not YAML, or says a key twice.

    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise SuiteError.of(f"{name}:{line}", f"not YAML: {error.problem}") from error
    finally:
        loader.dispose()
    if node is None:
        return Document({}, name, {(): f"{name}:1"})
    origins: dict[Path, str] = {}
    problems: list[Problem] = []
    data = _construct(loader, node, (), name, origins, problems)
    if problems:
        raise SuiteError(*problems)
    return Document(data, name, origins)


def parse_value(text: str) -> Any:
    """Parse one value as a suite file would: ``8/255`` is a number, ``[a, b]`` a list."""
    return parse(text, "value").data if text.strip() else None


def _construct(
    loader: _Loader,
    node: yaml.Node,
    path: Path,
    name: str,
    origins: dict[Path, str],
    problems: list[Problem],
) -> Any:
    origins[path] = f"{name}:{node.start_mark.line + 1}"
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node, name, problems)
    if isinstance(node, yaml.SequenceNode):
        return [
            _construct(loader, item, (*path, position), name, origins, problems)
            for position, item in enumerate(node.value)
        ]
    if not isinstance(node, yaml.MappingNode):
        raise TypeError(f"{node!r} is no YAML node")
    _find_repeated_keys(node, path, name, problems)
    loader.flatten_mapping(node)
    mapping = {}
    for key_node, value_node in node.value:
        key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
        mapping[key] = _construct(loader, value_node, (*path, key), name, origins, problems)
        if isinstance(value_node, yaml.ScalarNode) or value_node.start_mark.line >= (
            key_node.start_mark.line
        ):
            origins[*path, key] = f"{name}:{key_node.start_mark.line + 1}"
    return mapping


def _find_repeated_keys(
    node: yaml.MappingNode, path: Path, name: str, problems: list[Problem]
) -> None:
    seen: dict[Hashable, int] = {}
    for key_node, _ in node.value:
        line = key_node.start_mark.line + 1
        key = key_node.value
        if not isinstance(key_node, yaml.ScalarNode):
            problems.append(
                Problem(f"{name}:{line}: {dotted(path)}", "has a key that is no word", "a word")
            )
        elif key in seen:
            problems.append(
                Problem(
                    f"{name}:{line}: {dotted((*path, str(key)))}",
                    f"stands here twice, first in line {seen[key]}",
                    "each key once",
                )
            )
        else:
            seen[key] = line


def _scalar(node: yaml.ScalarNode, name: str, problems: list[Problem]) -> Any:
    text = node.value
    match node.tag.removeprefix(_CORE):
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            return int(text)
        case "float":
            return float(text.replace(".inf", "inf").replace(".Inf", "inf").replace(".nan", "nan"))
        case "!fraction":
            numerator, _, denominator = text.partition("/")
            if float(denominator) == 0:
                where = f"{name}:{node.start_mark.line + 1}"
                problems.append(Problem(where, f"'{text}' divides by zero", "a number"))
                return None
            return float(numerator) / float(denominator)
        case "str":
            return text
        case tag:
            where = f"{name}:{node.start_mark.line + 1}"
            problems.append(Problem(where, f"has the tag '{tag}'", "a plain value"))
            return None
