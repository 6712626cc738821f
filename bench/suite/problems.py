"""Plain values against pydantic models: what is wrong with them, collected, in our words.

Validators raise mistakes; pydantic brings those of all fields together, and each is placed where
the document has it. This room does not know what a suite is.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeVar, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import InitErrorDetails, PydanticCustomError

from bench.errors import Problem, nearest
from bench.suite import document
from bench.suite.document import Document

_Model = TypeVar("_Model", bound=BaseModel)

_MISTAKE = "mistake"
_MISSING = "is missing"

_TYPES = {
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "dataclass_type": "a mapping",
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
}
"""What pydantic's errors of type expect, in the words of a suite's author."""


def mistake(what: str, expected: str = "", action: str = "") -> PydanticCustomError:
    """Return what a validator raises: what is wrong, what was expected, what to do."""
    words = {"what": what, "expected": expected, "action": action}
    return PydanticCustomError(_MISTAKE, "{what}", words)


class Mistakes:
    """All that one validator finds, raised at once."""

    def __init__(self) -> None:
        self._details: list[InitErrorDetails] = []

    def note(
        self, location: document.Path, what: str, expected: str = "", action: str = ""
    ) -> None:
        """Note what is wrong with the value at a location within what is validated."""
        error = mistake(what, expected, action)
        self._details.append(InitErrorDetails(type=error, loc=location, input=None))

    @contextmanager
    def noted(self, *location: str | int, moved: Mapping[str, str] | None = None) -> Iterator[None]:
        """Note what is raised inside, of the value at a location.

        ``moved`` maps a key to the one below which the document has it, where validation saw both
        side by side.
        """
        try:
            yield
        except PydanticCustomError as error:
            self._details.append(InitErrorDetails(type=error, loc=location, input=None))
        except ValidationError as error:
            for detail in error.errors():
                inner = detail["loc"]
                above = (moved or {}).get(str(inner[0])) if inner else None
                place = (*location, *(() if above is None else (above,)), *inner)
                words = detail["ctx"] if detail["type"] == _MISTAKE else {"what": detail["msg"]}
                self.note(place, **words)

    def raise_any(self) -> None:
        """Raise what was noted.

        Raises:
            ValidationError: where anything was.

        """
        if self._details:
            raise ValidationError.from_exception_data("suite", self._details)


def alone(what: str, expected: str = "", action: str = "") -> ValidationError:
    """Return the error of one mistake, for where no validator raises it."""
    error = InitErrorDetails(type=mistake(what, expected, action), loc=(), input=None)
    return ValidationError.from_exception_data("suite", [error])


def validate(
    model: type[_Model], data: Any, context: object = None, *, also: Iterable[str] = ()
) -> _Model:
    """Validate plain values against a model; the text of a fraction is a number where one is due.

    Args:
        model: any pydantic model; it need not know of this room.
        data: plain values.
        context: what validators that look around are given.
        also: keys that are allowed beside the model's own, for the nearest ones to an unknown key.

    Raises:
        ValidationError: of mistakes only.

    """
    mistakes = Mistakes()
    check_numbers(model, data, mistakes)
    try:
        made = model.model_validate(data, context=context)
    except ValidationError as error:
        numbers = _with_numbers(error, data)
        if numbers is not None:
            return validate(model, numbers, context, also=also)
        for detail in error.errors():
            if (
                detail["type"] == "too_short"
                and len(detail["input"]) >= detail["ctx"]["min_length"]
            ):
                continue  # it counts the items that are right; each other is reported
            with mistakes.noted(*detail["loc"]):
                raise _in_our_words(detail, model, also) from None
    mistakes.raise_any()
    return made


def check_numbers(model: type[BaseModel], data: Any, mistakes: Mistakes) -> None:
    """Note where a yes or no is in the place of a number: pydantic would read it as 1 or 0."""
    for name, value in data.items() if isinstance(data, dict) else ():
        field = _own(model).get(name)
        arms = list(_arms(field.annotation)) if field is not None else []
        if isinstance(value, bool) and bool not in arms and (int in arms or float in arms):
            mistakes.note((name,), f"got {value}", "a number, and no yes or no")


def placed(doc: Document, error: ValidationError) -> Iterator[tuple[int, Problem]]:
    """Yield the mistakes in a document, each with its line; the arms of a union are put together.

    A value of which one arm says more than of what type it should be is wrong by that arm.
    """
    found: dict[tuple[document.Path, str, str], list[str]] = {}
    arms: set[tuple[document.Path, str, str]] = set()
    for detail in error.errors():
        words = detail["ctx"]
        path = _held(doc.data, detail["loc"])
        if words["what"] == _MISSING:
            path = (*path, detail["loc"][-1])
        key = (path, words["what"], words["action"])
        found.setdefault(key, []).append(words["expected"])
        if len(path) < len(detail["loc"]) and words["what"].startswith("got "):
            arms.add(key)
    for key, expected in found.items():
        path, what, action = key
        if key in arms and any(
            other[: len(path)] == path and (other != path or not words.startswith("got "))
            for other, words, _ in found
        ):
            continue
        allowed = " or ".join(dict.fromkeys(each for each in expected if each))
        yield doc.line(path), Problem(doc.where(path), what, allowed, action)


def _with_numbers(error: ValidationError, data: Any) -> Any:
    """Return the values with fractions as numbers where a number is due, or None without any."""
    changed = None
    for detail in error.errors():
        number = document.fraction(detail["input"]) if detail["type"] == "float_parsing" else None
        path = _held(data, detail["loc"])
        if number is None or not path:
            continue
        changed = copy.deepcopy(data) if changed is None else changed
        place = changed
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = number
    return changed


def _held(data: Any, location: Sequence[str | int]) -> document.Path:
    """Leave out of a location what the values do not hold: pydantic adds the arms of unions."""
    kept: list[str | int] = []
    for key in location:
        if document.holds(data, key):
            data = data[key]
            kept.append(key)
    return tuple(kept)


def _in_our_words(detail: Any, model: type[BaseModel], also: Iterable[str]) -> PydanticCustomError:
    """Return what pydantic found as a mistake."""
    location, message = detail["loc"], detail["msg"]
    match detail["type"]:
        case "mistake":
            return mistake(**detail["ctx"])
        case "extra_forbidden" | "unexpected_keyword_argument":
            known = _fields(model, location[:-1])
            names = [field.alias or name for name, field in known.items()]
            shown = [name for name in names if not name.startswith("(")]
            return mistake("unknown key", action=nearest(str(location[-1]), [*shown, *also]))
        case "missing":
            field = _fields(model, location[:-1]).get(str(location[-1]))
            return mistake(_MISSING, (field.description or "") if field else "")
        case "too_short":
            return mistake(f"got {detail['input']!r}", f"at least {detail['ctx']['min_length']}")
        case "value_error":
            return mistake(message.removeprefix("Value error, "))
    expected = _TYPES.get(detail["type"], message.removeprefix("Input should be "))
    return mistake(f"got {detail['input']!r}", expected, _of_255(detail, model))


def _of_255(detail: Any, model: type[BaseModel]) -> str:
    """Say what a length in pixels from 0 to 255 is in [0, 1]; nothing where it is none."""
    if detail["type"] not in ("less_than_equal", "less_than"):
        return ""
    field = _fields(model, detail["loc"][:-1]).get(str(detail["loc"][-1]))
    if field is None or "pixels" not in (field.description or ""):
        return ""
    return f"of pixels from 0 to 255? Then write {detail['input']}/255"


def _fields(model: type[BaseModel], location: Sequence[str | int]) -> dict[str, FieldInfo]:
    """Return the fields at a location within a model."""
    found = _own(model)
    for key in location:
        field = next((f for n, f in found.items() if key in (n, f.alias)), None)
        arms = _arms(field.annotation if field else None)
        inner = next((arm for arm in arms if _own(arm)), None)
        found = _own(inner) or found
    return found


def _own(model: Any) -> dict[str, FieldInfo]:
    fields: dict[str, FieldInfo] = getattr(model, "model_fields", {})
    if not fields and dataclasses.is_dataclass(model):
        described = (
            (each.name, each.metadata.get("description")) for each in dataclasses.fields(model)
        )
        return {name: FieldInfo(description=text) for name, text in described}
    return fields


def _arms(annotation: Any) -> Iterator[Any]:
    yield annotation
    if get_origin(annotation) is not Literal:
        for inner in getattr(annotation, "__args__", ()):
            yield from _arms(inner)
