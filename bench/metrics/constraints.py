"""Figures and bounds on them, as suites write them: ``latency_ms@batch=16 <= 20``.

A figure is a metric; ``@dimension=value`` picks one of several cells that have it, and may stand
more than once: ``robust_accuracy@norm=linf@eps=8/255``. A value ends at the next ``@``, at a sign,
or with the text, and may hold blanks: ``worst_case_accuracy@budget=linf 8/255 >= 50 %``. A comma
separates as ``@`` does, so that the name of a grid's point picks it: ``attack=pgd@eps=0.1,steps=5``
is of ``pgd`` with that eps and that many steps. Numbers are compared by value, and fractions are
numbers. Where cells come from is not known here.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from bench.records import JSON, write_name

Cell: TypeAlias = Callable[[str], JSON]
"""A cell, as the function from a dimension to its value there; None where it has none."""

APART = ("attack", "source", "explainer", "batch", "detector", "step")
"""The dimensions that distinguish the cells of one kind, of one training of one model variant."""

_NUMBER = r"[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?"
_FRACTION = rf"(?P<over>{_NUMBER})(?:\s*/\s*(?P<under>\d+))?"
_BOUND = re.compile(rf"(?P<figure>[^<>]+)(?P<sign><=|>=|<|>)\s*{_FRACTION}\s*(?P<percent>%)?\s*")
_SIGNS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_ROUNDING = 1e-5
"""Names of a grid's points have six digits of a value."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A metric, and what picks among the cells that have it: dimensions with their values."""

    metric: str
    where: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return self.metric + "".join(f"@{name}={value}" for name, value in self.where)

    def picks(self, cell: Cell) -> bool:
        """Say whether a cell has all the values; of an attack, its name or that of its grid."""
        return all(
            is_value(cell(name), text) or (name == "attack" and text == cell("group"))
            for name, text in self.where
        )


@dataclass(frozen=True, slots=True)
class Constraint:
    """A bound on a figure."""

    text: str
    figure: Figure
    sign: str
    bound: float
    is_percent: bool = False

    def holds(self, value: float) -> bool:
        """Say whether a value keeps the constraint."""
        return _SIGNS[self.sign](value, self.bound)


def figure(text: str) -> Figure:
    """Read a figure.

    Args:
        text: ``metric``, or ``metric@dimension=value`` with as many dimensions as it takes.

    Raises:
        ValueError: where the text is none.

    """
    found = _figure(text)
    if found is None:
        raise ValueError(f"got '{text}', expected a metric, or metric@dimension=value")
    return found


def _figure(text: str) -> Figure | None:
    metric, *picked = (part.strip() for part in re.split(r"[@,](?=\s*\w+\s*=)", text))
    pairs = [(name.strip(), value.strip()) for name, _, value in (p.partition("=") for p in picked)]
    if not re.fullmatch(r"\w+", metric) or any(not value or "@" in value for _, value in pairs):
        return None
    return Figure(metric, tuple(pairs))


def parse(text: str) -> Constraint:
    """Read a constraint.

    Args:
        text: ``figure <= number``; ``80 %`` is 0.8, and ``8/255`` a fraction.

    Raises:
        ValueError: where the text is none.

    """
    found = _BOUND.fullmatch(text)
    bounded = None if found is None else _figure(found["figure"])
    bound = None if found is None else _quotient(found)
    if found is None or bounded is None or bound is None:
        raise ValueError(
            f"got '{text}', expected a metric, one of <= >= < >, and a number, "
            "as in 'latency_ms@batch=16 <= 20'"
        )
    bound /= 100 if found["percent"] else 1
    return Constraint(text.strip(), bounded, found["sign"], bound, found["percent"] is not None)


def is_value(value: JSON, text: str) -> bool:
    """Say whether a text writes a cell's value: numbers count by size, names by their letters.

    A value of several words, as a budget is, is compared word by word; no value is ``none``.
    """
    if value is None:
        return text.lower() == "none"
    if isinstance(value, bool):
        return text.lower() == str(value).lower()
    if isinstance(value, int | float):
        return _is_number(value, text)
    own, given = str(value).split(), text.split()
    if len(own) == 1 or len(own) != len(given):
        return own == given
    return all(
        one == other or ((size := _number(one)) is not None and _is_number(size, other))
        for one, other in zip(own, given, strict=True)
    )


def missing(asked: Figure, cells: Iterable[Cell], *, worst_case: bool = False) -> str:
    """Say what must be added to a figure, so that it means one cell; empty where it does.

    Args:
        asked: the figure.
        cells: of one training of one model variant, that the figure picks. Of timings without a
            batch the smallest is meant.
        worst_case: whether the figure is of all attacks within a budget: cells of one budget have
            one figure.

    """
    names: tuple[str, ...] = ("budget",) if worst_case else APART
    if not any(name == "batch" for name, _ in asked.where):
        names = tuple(name for name in names if name != "batch")
    found = list(cells)
    for name in names:
        values = dict.fromkeys(_written(cell(name)) for cell in found)
        if len(values) > 1:
            return f"@{name}=, one of {', '.join(values)}"
    return ""


def _written(value: JSON) -> str:
    return "none" if value is None else write_name(str(value))


def _is_number(value: float, text: str) -> bool:
    number = _number(text)
    return number is not None and math.isclose(value, number, rel_tol=_ROUNDING, abs_tol=1e-12)


def _number(text: str) -> float | None:
    found = re.fullmatch(_FRACTION, text)
    return None if found is None else _quotient(found)


def _quotient(found: re.Match[str]) -> float | None:
    """Return the number that a match has; None of a fraction of nothing."""
    under = int(found["under"] or 1)
    return float(found["over"]) / under if under else None
