"""Constraints on measured figures, as suites write them: ``latency_ms@batch=16 <= 20``.

Reads text and compares numbers; where figures come from is not known here.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_FIGURE = r"\s*(?P<metric>\w+)(?:@(?P<name>\w+)=(?P<value>[^\s<>]+))?\s*"
_PATTERN = re.compile(
    _FIGURE + r"(?P<sign><=|>=|<|>)"
    r"\s*(?P<bound>[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?)\s*(?P<percent>%)?\s*"
)
_SIGNS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}


@dataclass(frozen=True, slots=True)
class Constraint:
    """A bound on a metric; ``where`` picks one of several cells, as by their batch."""

    text: str
    metric: str
    where: tuple[str, str] | None
    sign: str
    bound: float
    is_percent: bool = False

    def holds(self, value: float) -> bool:
        """Say whether a value keeps the constraint."""
        return _SIGNS[self.sign](value, self.bound)


def figure(text: str) -> tuple[str, tuple[str, str] | None]:
    """Read the name of a figure: a metric, or one of several cells of it.

    Args:
        text: ``metric`` or ``metric@dimension=value``, as ``robust_accuracy@attack=pgd``.

    Returns:
        The metric, and the dimension with its value.

    Raises:
        ValueError: where the text is none.

    """
    found = re.fullmatch(_FIGURE, text)
    if found is None:
        raise ValueError(f"got '{text}', expected a metric, or metric@dimension=value")
    return found["metric"], (found["name"], found["value"]) if found["name"] else None


def parse(text: str) -> Constraint:
    """Read a constraint.

    Args:
        text: ``metric <= number``; ``metric@dimension=value`` picks among cells; ``80 %`` is 0.8.

    Raises:
        ValueError: where the text is none.

    """
    found = _PATTERN.fullmatch(text)
    if found is None:
        raise ValueError(
            f"got '{text}', expected a metric, one of <= >= < >, and a number, "
            "as in 'latency_ms@batch=16 <= 20'"
        )
    where = (found["name"], found["value"]) if found["name"] else None
    bound = float(found["bound"]) / (100 if found["percent"] else 1)
    is_percent = found["percent"] is not None
    return Constraint(text.strip(), found["metric"], where, found["sign"], bound, is_percent)
