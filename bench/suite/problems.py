"""Plain values against pydantic models: what is wrong with them, collected, in our words.

Each problem is placed where the document has it. This room does not know what a suite is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from bench.errors import Problem, SuiteError, nearest
from bench.suite import document
from bench.suite.document import Document

_Model = TypeVar("_Model", bound=BaseModel)


class Findings:
    """Problems with one document."""

    def __init__(self, doc: Document) -> None:
        self.doc = doc
        self.problems: list[tuple[int, Problem]] = []

    def raise_any(self) -> None:
        """Raise what was found, in the order of lines, each once.

        Raises:
            SuiteError: where anything was.

        """
        if self.problems:
            ordered = sorted(self.problems, key=lambda pair: pair[0])
            raise SuiteError(*dict.fromkeys(problem for _, problem in ordered))

    def report(self, path: document.Path, what: str, expected: str = "", action: str = "") -> None:
        """Note a problem with the value at a path."""
        problem = Problem(self.doc.where(path), what, expected, action)
        self.problems.append((self.doc.line(path), problem))

    def parse(
        self,
        model: type[_Model],
        data: Any,
        path: document.Path,
        moved: Mapping[str, document.Path] | None = None,
    ) -> _Model | None:
        """Validate plain values against a pydantic model; problems are noted, not raised.

        ``moved`` says where keys stand that are not where ``path`` would have them.
        """
        try:
            return model.model_validate(data)
        except ValidationError as error:
            wrong: dict[document.Path, tuple[Any, list[str]]] = {}
            for detail in error.errors():
                location = tuple(detail["loc"])
                above = (moved or {}).get(str(location[0]) if location else "", path)
                if detail["type"] == "extra_forbidden":
                    known = nearest(str(location[-1]), _keys(model, location[:-1]))
                    self.report((*path, *location), "unknown key", action=known)
                elif detail["type"] == "missing":
                    self.report((*path, *location), "is missing", _describe(model, location))
                else:
                    place = (*above, *self.existing(above, location))
                    wrong.setdefault(place, (detail, []))[1].append(_expected(detail))
            for place, (detail, expected) in wrong.items():
                if detail["type"] == "value_error":
                    self.report(place, expected[0])
                else:
                    # one for each arm of a union
                    told = " or ".join(dict.fromkeys(expected))
                    self.report(place, f"got {detail['input']!r}", told)
            return None

    def existing(self, path: document.Path, location: document.Path) -> document.Path:
        """Cut a location down to what the document holds: pydantic adds the names of union arms."""
        place: Any = self.doc.data
        for key in path:
            place = place[key] if document.holds(place, key) else None
        kept: list[str | int] = []
        for key in location:
            if not document.holds(place, key):
                break
            place = place[key]
            kept.append(key)
        return tuple(kept)


def _keys(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """List the keys that a model takes at a location."""
    for key in location:
        field = next((f for n, f in model.model_fields.items() if key in (n, f.alias)), None)
        inner = next(
            (
                arm
                for arm in _arms(field.annotation if field else None)
                if isinstance(arm, type) and issubclass(arm, BaseModel)
            ),
            None,
        )
        if inner is None:
            continue
        model = inner
    return [field.alias or name for name, field in model.model_fields.items()]


def _arms(annotation: Any) -> Iterator[Any]:
    yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _arms(inner)


def _describe(model: type[BaseModel], location: Sequence[str | int]) -> str:
    field = model.model_fields.get(str(location[-1]))
    return (field.description or "") if field else ""


def _expected(detail: Any) -> str:
    message: str = detail["msg"]
    return message.removeprefix("Value error, ").removeprefix("Input should be ")
