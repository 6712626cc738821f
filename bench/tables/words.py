"""How figures are written: units, digits, intervals, n."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from bench.metrics import Metric, Unit
from bench.records import JSON, write_eps, write_name
from bench.statistics import Estimate

DASH = "–"  # noqa: RUF001 (the mark for an empty denominator)


def text_of(value: JSON) -> str:
    """Write what a row or a column is for: a radius in 255ths where it was written so."""
    if isinstance(value, float):
        return write_eps(value)
    return DASH if value is None else write_name(str(value))


def figure(estimate: Estimate, metric: Metric, *, intervals: bool) -> str:
    """Write an estimate with its unit, its interval if wanted, and its n."""
    if estimate.value is None:
        return f"{DASH} (0)"
    digits = decimals(estimate)
    words = number(estimate.value, metric.unit, digits)
    words += " %" if metric.unit == "share" else ""
    if intervals and estimate.low is not None and estimate.high is not None:
        low, high = (number(end, metric.unit, digits) for end in (estimate.low, estimate.high))
        words += f" [{low}, {high}]"
    elif intervals and estimate.lacks:
        words += f" [{estimate.lacks}]"
    counted = [str(estimate.n)] if estimate.n else []
    counted += [f"x {estimate.trainings}"] if estimate.trainings > 1 else []
    return f"{words} ({' '.join(counted)})" if counted else words


def decimals(estimate: Estimate) -> int:
    """Return how many decimals of a percentage an interval's width deserves: one at least.

    More where two digits of the width ask for them and there are images enough to move them, and
    where the ends would look alike.
    """
    if estimate.low is None or estimate.high is None:
        return 1
    low, high = 100 * estimate.low, 100 * estimate.high
    if high <= low or not math.isfinite(high - low):
        return 1
    by_width = 1 + math.ceil(-math.log10(high - low))
    by_images = math.ceil(math.log10(max(1, estimate.n * estimate.trainings) / 100))
    digits = max(1, min(by_width, by_images))
    while f"{low:.{digits}f}" == f"{high:.{digits}f}" and digits < _MOST_DECIMALS:
        digits += 1
    return digits


def number(value: float, unit: Unit, decimals: int = 1) -> str:
    """Write a figure in its unit, with the digits that such figures deserve.

    Args:
        value: the figure.
        unit: of a metric.
        decimals: of a percentage.

    """
    if math.isnan(value):
        return DASH
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if unit == "share":
        return f"{100 * value:.{decimals}f}"
    if unit == "pixels":
        return f"{value:.4f}" if abs(value) < _WIDE else f"{value:.4g}"
    if unit == "score":
        return f"{value:.3f}"
    if unit == "bytes" or (unit == "count" and value == round(value)):
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < _LARGE else f"{value:,.0f}"


_LARGE = 1000
_MOST_DECIMALS = 4
_WIDE = 10


def class_distribution(run: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return headers and rows: how many images of each class each split of a run's dataset has."""
    counts: dict[str, dict[str, int]] = run["dataset"]["counts"]
    rows = [
        [name, *(str(counts[split][name]) for split in counts)]
        for name in run["dataset"]["classes"]
    ]
    rows.append(["all", *(str(sum(counts[split].values())) for split in counts)])
    return ["class", *counts], rows
