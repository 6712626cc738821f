"""P-values: corrected over a family, written, and aware of whether they are only bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence


class PValue(float):
    """A p-value that is the least that its test can say: a bound, which the truth lies below.

    It is a number like any other. The draws of a resampled test, or the smallest float, allow no
    smaller one. Where one is made from it, it stays a bound only by :func:`holm`.
    """

    __slots__ = ()


def resampled_p(reached: int, resamples: int) -> float:
    """Return the two-sided p-value of so many draws beyond, of a tail; a bound where none is.

    Source: Davison and Hinkley 1997, section 4.2 (the sample itself counts as a draw).

    """
    found = min(1.0, 2 * (reached + 1) / (resamples + 1))
    return found if reached else PValue(found)


def at_least_drawn(p_value: float, resamples: int) -> float:
    """Return a p-value, or the bound that two tails of so many draws allow, if that is larger."""
    least = PValue(min(1.0, 2 / (resamples + 1)))
    return max(least, p_value)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values over a family by Holm's step-down method; the order is kept.

    Bounds remain bounds, as many times larger as the family asks for.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    count = len(p_values)
    adjusted = [0.0] * count
    largest = 0.0
    for rank, index in enumerate(sorted(range(count), key=lambda i: p_values[i])):
        found = (count - rank) * p_values[index]
        if found >= 1:
            largest = 1.0
        elif found > largest:
            largest = PValue(found) if isinstance(p_values[index], PValue) else found
        adjusted[index] = largest
    return adjusted


def written(p_value: float) -> str:
    """Write a p-value with two digits: ``0.012``, or ``< 0.001`` where it is a bound."""
    if not isinstance(p_value, PValue) or p_value >= 1:
        return f"{p_value:.2g}"
    digits = 1 - math.floor(math.log10(p_value))
    if digits > _FLOATS:
        return f"< 1e-{_FLOATS}"
    # up, for it is below what is written
    return f"< {math.ceil(p_value * 10**digits - _SLACK) / 10**digits:.2g}"


def p_equals(p_value: float) -> str:
    """Write it in a sentence: ``p = 0.012``, ``p < 0.001``."""
    words = written(p_value)
    return f"p {words}" if words.startswith("<") else f"p = {words}"


_FLOATS = 300
"""Decimals: 10 to this power is still a float."""
_SLACK = 1e-9
"""Products carry rounding."""
