"""How often the printed intervals hold the truth, counted on simulated samples.

``python benchmarks/coverage.py`` writes ``docs/coverage.json``, which ``docs/render.py`` turns into
the table of docs/metrics.md: 10,000 samples for each method, population and n, a fixed seed, one
core, some minutes. ``--quick`` takes a few and writes nothing. A sample whose figure is printed
without an interval is counted apart: the table says what share has one. Exits with 1 where an
interval other than Wilson's holds the truth in less than 93 % of the samples.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench import statistics
from bench.statistics import Estimate, bootstrap, class_scores, draws, means, scores

Generator = np.random.Generator
Numbers = NDArray[np.float64]
Counted = tuple[NDArray[np.bool_], NDArray[np.bool_]]
"""Of each sample: whether the interval holds the truth, and whether one is printed."""

SIZES = (5, 10, 20, 50, 100, 300, 1000)
LEAST = 0.93
TARGET = Path(__file__).parent.parent / "docs" / "coverage.json"
AT_ONCE = 1000
"""Samples that are simulated at a time."""
FEW_DRAWS = 200
"""Draws behind a difference of scores here; a run takes ten times as many, which is steadier."""


@dataclass(frozen=True)
class Cell:
    """An interval of figures of one population: ``count(generator, samples, n)``."""

    method: str
    population: str
    count: Callable[[Generator, int, int], Counted]
    sizes: tuple[int, ...] = SIZES


# Populations: samples by (sample, image), and their mean


def bernoulli(share: float, generator: Generator, shape: tuple[int, int]) -> tuple[Numbers, float]:
    """Ones and zeros."""
    return (generator.random(shape) < share).astype(float), share


def uniform(generator: Generator, shape: tuple[int, int]) -> tuple[Numbers, float]:
    """Between 0 and 1."""
    return generator.random(shape), 0.5


def lognormal(generator: Generator, shape: tuple[int, int]) -> tuple[Numbers, float]:
    """Skewed: the exponential of a standard normal."""
    return generator.lognormal(0, 1, shape), float(np.exp(0.5))


def inflated(
    zeros: float, rest: Callable[..., tuple[Numbers, float]], generator: Generator, shape: tuple
) -> tuple[Numbers, float]:
    """So large a share of zeros among the values of another population."""
    values, mean = rest(generator, shape)
    return values * (generator.random(shape) >= zeros), (1 - zeros) * mean


ZEROS = (0.1, 0.5, 0.9)
BERNOULLI = {f"Bernoulli {share}": partial(bernoulli, share) for share in (0.1, 0.5, 0.9)}
INFLATED_UNIFORM = {f"uniform, zeros {z}": partial(inflated, z, uniform) for z in ZEROS}
INFLATED_LOGNORMAL = {f"lognormal, zeros {z}": partial(inflated, z, lognormal) for z in ZEROS}
BOUNDED = {**BERNOULLI, "uniform": uniform, **INFLATED_UNIFORM}
POPULATIONS = {**BOUNDED, "lognormal": lognormal, **INFLATED_LOGNORMAL}


def held(low: Numbers, high: Numbers, truth: float) -> Counted:
    """Compare limits, nan where there are none, with the truth."""
    return (low <= truth) & (truth <= high), ~np.isnan(low)


def held_each(found: list[Estimate] | list[statistics.Difference], truth: float) -> Counted:
    """Compare estimates with the truth."""
    low, high = (
        np.array([np.nan if end is None else end for end in ends], dtype=float)
        for ends in ([f.low for f in found], [f.high for f in found])
    )
    return held(low, high, truth)


# Methods


def rates(share: float, generator: Generator, samples: int, n: int) -> Counted:
    """Count Wilson's interval."""
    known = [statistics.rate(hits, n) for hits in range(n + 1)]
    return held_each([known[hits] for hits in generator.binomial(n, share, samples)], share)


def mean(
    population: Callable, limits: statistics.Limits, generator: Generator, samples: int, n: int
) -> Counted:
    """Count the interval of a mean."""
    values, truth = population(generator, (samples, n))
    return held(*means.mean_intervals(values, limits), truth)


def mean_difference(
    one: Callable, other: Callable, generator: Generator, samples: int, n: int
) -> Counted:
    """Count the interval of a difference of means on the same images."""
    (first, mean_first), (second, mean_second) = (p(generator, (samples, n)) for p in (one, other))
    shared, mean_shared = one(generator, (samples, n))
    is_shared = generator.random((samples, n)) < 0.5  # noqa: PLR2004 (half of the images)
    apart = np.where(is_shared, 0, shared) + first - second
    return held(*means.mean_intervals(apart), 0.5 * mean_shared + mean_first - mean_second)


def quantile(
    of: float, population: Callable, generator: Generator, samples: int, n: int
) -> Counted:
    """Count the interval of a quantile; the truth is that of a large sample."""
    values, _ = population(generator, (samples, n))
    if n < scores.least_of_quantile(of):
        return np.zeros(samples, dtype=bool), np.zeros(samples, dtype=bool)
    limits = scores.quantile_limits(np.sort(values, axis=1), of)
    return held(*limits, large_quantile(of, population))


@lru_cache
def large_quantile(of: float, population: Callable) -> float:
    """Return the quantile of a large sample: of as good as the whole population."""
    large = np.sort(population(np.random.default_rng(1), (1, 2_000_001))[0][0])
    return float(large[int(np.ceil(of * large.size)) - 1])


def ratio(
    shares: tuple[float, float, float], generator: Generator, samples: int, n: int
) -> Counted:
    """Count the interval of a ratio of shares: both right, only the first, only the second."""
    both, first, second = shares
    counts = generator.multinomial(n, [*shares, 1 - sum(shares)], samples).astype(float)
    some = counts[:, 0] + counts[:, 2] > 0
    low, high = (np.full(samples, np.nan) for _ in range(2))
    low[some], high[some] = scores.ratio_limits(*counts[some, :3].T)
    return held(low, high, (both + first) / (both + second))


def difference_of_rates(
    won: float, lost: float, generator: Generator, samples: int, n: int
) -> Counted:
    """Count the interval of a difference of paired shares."""
    counts = generator.multinomial(n, [won, lost, 1 - won - lost], samples)
    kinds, places = np.unique(counts, axis=0, return_inverse=True)
    known = [statistics.paired_shares(int(w), int(lo), n) for w, lo, _ in kinds]
    return held_each([known[place] for place in places.ravel()], won - lost)


def confusions(accuracy: float, classes: int, skew: float) -> Numbers:
    """Return the chances of (class, predicted class): one class is ``skew`` times as frequent."""
    prior = np.ones(classes)
    prior[0] = skew
    accuracies = np.where(np.arange(classes) % 2, accuracy, (1 + accuracy) / 2)
    chances = np.repeat(((1 - accuracies) / (classes - 1))[:, None], classes, axis=1)
    np.fill_diagonal(chances, accuracies)
    return chances * (prior / prior.sum())[:, None]


def macro(
    weights: tuple[float, float],
    case: tuple[float, int, float],
    generator: Generator,
    samples: int,
    n: int,
) -> Counted:
    """Count the interval of a macro score."""
    chances = confusions(*case)
    counts = generator.multinomial(n, chances.ravel(), samples).reshape(samples, *chances.shape)
    truth = macro_score(chances, weights)
    is_printed = counts.sum(2).min(1) >= class_scores.LEAST_OF_CLASS
    low, high = (np.full(samples, np.nan) for _ in range(2))
    if is_printed.any():
        found = class_scores.macro_parts(counts[is_printed].astype(float), *weights)
        low[is_printed], high[is_printed] = class_scores.exact_limits(*found)
    return held(low, high, truth)


def macro_score(chances: Numbers, weights: tuple[float, float]) -> float:
    """Return the macro score of a population."""
    whole = weights[0] * chances.sum(1) + weights[1] * chances.sum(0)
    return float((np.diag(chances) / whole).mean())


def scored(
    area: float, kind: str, generator: Generator, samples: int, n: int
) -> tuple[Numbers, Numbers]:
    """Draw scores: of n images, and of a third of them after an attack; alike in part."""
    from scipy.special import ndtri

    attacked = max(scores.LEAST_SCORES, n // 3)
    clean, other = generator.normal(size=(samples, n)), generator.normal(size=(samples, attacked))
    if kind == "normal":
        shift = np.sqrt(2) * ndtri(area)
        return 0.5 * clean[:, :attacked] + np.sqrt(0.75) * other + shift, clean
    if kind == "exponential":
        return generator.exponential(area / (1 - area), other.shape), generator.exponential(
            1, clean.shape
        )
    return np.where(generator.random(other.shape) < area, 9.0, -9.0) + other / 9, np.tanh(clean)


def auroc(area: float, kind: str, generator: Generator, samples: int, n: int) -> Counted:
    """Count the interval of an area under a curve."""
    return held(*scores.auroc_limits(*scored(area, kind, generator, samples, n)), area)


def trained(
    population: Callable, generator: Generator, samples: int, n: int, trainings: int, spread: float
) -> tuple[list[Numbers], float]:
    """Draw figures of several trainings: images that they share, some of their own, a level."""
    shared, truth = population(generator, (samples, n))
    own = [population(generator, (samples, n))[0] for _ in range(trainings)]
    is_own = [generator.random((samples, n)) < 0.5 for _ in range(trainings)]  # noqa: PLR2004 (half)
    levels = spread * generator.normal(size=(trainings, samples, 1))
    return [
        np.where(which, mine, shared) + level
        for which, mine, level in zip(is_own, own, levels, strict=True)
    ], truth


def over_trainings(
    population: Callable, trainings: int, spread: float, generator: Generator, samples: int, n: int
) -> Counted:
    """Count the interval of a mean over several trainings."""
    values, truth = trained(population, generator, samples, n, trainings, spread)
    singles = [means.mean_intervals(each) for each in values]
    columns = [partial(_weighted, each.T) for each in values]
    drawn = draws.draws(columns, n, 0, FEW_DRAWS)
    of_images = draws.variance(drawn, n)
    figures = np.array([each.mean(1) for each in values])
    found = []
    for place in range(samples):
        each = [
            Estimate(
                float(figure),
                *(None if np.isnan(low[place]) else float(end[place]) for end in (low, high)),
                n,
            )
            for figure, (low, high) in zip(figures[:, place], singles, strict=True)
        ]
        found.append(bootstrap.over_trainings(figures[:, place], float(of_images[place]), n, each))
    return held_each(found, truth)


def _weighted(columns: Numbers, weights: Numbers) -> Numbers:
    """Return the mean of each sample, by (draw, sample)."""
    return weights @ columns / weights.sum(1, keepdims=True)


def paired(
    figure: Callable[[Generator, int], tuple[statistics.Statistic, statistics.Statistic]],
    truth: float,
    least: Callable[[int], float],
    generator: Generator,
    samples: int,
    n: int,
) -> Counted:
    """Count the interval of a difference of figures that are no means over images."""
    found = []
    for _ in range(samples):
        one, other = (
            statistics.drawn([each], n, resamples=FEW_DRAWS) for each in figure(generator, n)
        )
        found.append(statistics.paired(one, other, least(n)))
    return held_each(found, truth)


def two_macro(generator: Generator, n: int) -> tuple[statistics.Statistic, statistics.Statistic]:
    """Draw two classifiers, 90 % and 80 % right in each of three classes, on the same images."""
    labels = generator.integers(3, size=n)
    found = []
    for accuracy in (0.9, 0.8):
        wrong = generator.random(n) >= accuracy
        said = np.where(wrong, (labels + generator.integers(1, 3, size=n)) % 3, labels)
        found.append(partial(_macro_f1, labels[:, None] == range(3), said[:, None] == range(3)))
    return found[0], found[1]


def _macro_f1(is_of: NDArray[np.bool_], is_said: NDArray[np.bool_], weights: Numbers) -> Numbers:
    support, predicted = weights @ is_of, weights @ is_said
    whole = (support + predicted) / 2
    scores_of = statistics.share(weights @ (is_of & is_said), whole)
    result: Numbers = scores_of.sum(1) / (whole > 0).sum(1)
    return result


def two_medians(generator: Generator, n: int) -> tuple[statistics.Statistic, statistics.Statistic]:
    """Draw two lognormal samples of the same images, whose medians are 1 and 1."""
    shared = generator.normal(size=n)
    logs = [0.6 * shared + 0.8 * generator.normal(size=n) for _ in range(2)]
    first, second = (partial(_median, np.exp(each)) for each in logs)
    return first, second


def _median(values: Numbers, weights: Numbers) -> Numbers:
    order = np.argsort(values)
    counted = weights[:, order].cumsum(1)
    result: Numbers = values[order][(counted < counted[:, -1:] / 2 - 1e-9).sum(1)]
    return result


def two_areas(generator: Generator, n: int) -> tuple[statistics.Statistic, statistics.Statistic]:
    """Draw two detectors, both of area 0.9, that look at the same images."""
    shift = np.sqrt(2) * 1.2815515655446004  # the quantile of a normal at 0.9
    shared = generator.normal(size=(2, n))
    found = []
    for _ in range(2):
        clean, other = np.sqrt(0.5) * (shared + generator.normal(size=(2, n)))
        found.append(
            partial(_area, np.sign(other[: max(5, n // 3), None] + shift - clean) / 2 + 0.5)
        )
    return found[0], found[1]


def _area(ahead: Numbers, weights: Numbers) -> Numbers:
    hit = weights[:, : len(ahead)]
    result: Numbers = ((hit @ ahead) * weights).sum(1) / (hit.sum(1) * weights.sum(1))
    return result


MACRO = {"precision": (0.0, 1.0), "recall": (1.0, 0.0), "F1": (0.5, 0.5)}
MACRO_CASES = {
    "2 classes, 80 %": (0.8, 2, 1.0),
    "2 classes, 99 %": (0.99, 2, 1.0),
    "3 classes, one of 70 %, 90 %": (0.9, 3, 14 / 3),
    "10 classes, 95 %": (0.95, 10, 1.0),
}
RATIOS = {
    "90 % of 90 %, half of the errors shared": (0.86, 0.04, 0.04),
    "50 % of 80 %": (0.45, 0.05, 0.35),
    "99 % of 99 %": (0.985, 0.005, 0.005),
    "20 % of 40 %": (0.1, 0.1, 0.3),
}
AREAS = (
    *((area, "normal") for area in (0.5, 0.9, 0.99)),
    (0.97, "exponential"),
    *((area, "two modes") for area in (0.9, 0.97)),
)
WILSON = "rate (Wilson)"


def cells() -> Iterator[Cell]:
    """Every method on the populations that such figures come from."""
    for share in (0.5, 0.9, 0.99):
        yield Cell(WILSON, f"Bernoulli {share}", partial(rates, share))
    for name, population in POPULATIONS.items():
        yield Cell("mean", name, partial(mean, population, (None, None)))
    for name, population in BOUNDED.items():
        yield Cell("mean of shares", name, partial(mean, population, (0.0, 1.0)))
    for of in (0.5, 0.8):
        for name in ("uniform", "lognormal", "lognormal, zeros 0.1", "lognormal, zeros 0.9"):
            yield Cell(f"{of:.0%} quantile", name, partial(quantile, of, POPULATIONS[name]))
    for name, shares in RATIOS.items():
        yield Cell("recovery rate", name, partial(ratio, shares))
    for score, weights in MACRO.items():
        for name, case in MACRO_CASES.items():
            yield Cell(f"macro {score}", name, partial(macro, weights, case))
    for area, kind in AREAS:
        yield Cell("AUROC", f"{kind}, {area}", partial(auroc, area, kind))
    yield from trainings_cells()
    yield from difference_cells()


def trainings_cells() -> Iterator[Cell]:
    """Means over trainings."""
    for count in (3, 5):
        for name in ("Bernoulli 0.9", "lognormal", "lognormal, zeros 0.9"):
            for spread in (0.0, 0.1):
                words = f"{name}; trainings {spread:g}"
                call = partial(over_trainings, POPULATIONS[name], count, spread)
                yield Cell(f"mean over {count} trainings", words, call, SIZES[:-1])


def difference_cells() -> Iterator[Cell]:
    """Differences of figures of two models on the same images."""
    for won, lost in ((0.0, 0.02), (0.01, 0.05), (0.1, 0.1), (0.3, 0.1)):
        call = partial(difference_of_rates, won, lost)
        yield Cell("difference of rates", f"won {won:.0%}, lost {lost:.0%}", call)
    for name in ("uniform", "lognormal", "lognormal, zeros 0.5", "lognormal, zeros 0.9"):
        call = partial(mean_difference, POPULATIONS[name], POPULATIONS[name])
        yield Cell("difference of means", name, call)
    truth = np.subtract(*(macro_score(confusions_of(a), (0.5, 0.5)) for a in (0.9, 0.8)))
    least = partial(statistics.paired_variance, 0, 0)
    call = partial(paired, two_macro, float(truth), least)
    yield Cell("difference of macro F1", "3 classes, 90 % and 80 %", call, SIZES[2:5])
    none = partial(_none)
    yield Cell(
        "difference of medians", "lognormal", partial(paired, two_medians, 0.0, none), SIZES[2:5]
    )
    yield Cell(
        "difference of AUROC", "normal, 0.9", partial(paired, two_areas, 0.0, none), SIZES[2:5]
    )


def _none(_: int) -> float:
    return 0.0


def confusions_of(accuracy: float) -> Numbers:
    """Return the chances of three classes that are all alike."""
    return (np.full((3, 3), (1 - accuracy) / 2) + np.eye(3) * (1.5 * accuracy - 0.5)) / 3


def simulate(cell: Cell, n: int, samples: int) -> tuple[float | None, float]:
    """Return how often the interval holds the truth where one is printed, and how often one is."""
    generator = np.random.default_rng(zlib.crc32(f"{cell.method} {cell.population} {n}".encode()))
    holds, printed = 0, 0
    for start in range(0, samples, AT_ONCE):
        right, has = cell.count(generator, min(AT_ONCE, samples - start), n)
        holds, printed = holds + int((right & has).sum()), printed + int(has.sum())
    is_enough = printed >= samples // 100
    return (round(holds / printed, 4) if is_enough else None), round(printed / samples, 4)


def main() -> int:
    """Simulate, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="", help="methods whose name contains this; no file")
    parser.add_argument("--samples", type=int, default=0)
    given = parser.parse_args()
    samples = given.samples or (400 if given.quick else 10_000)
    # what chance may take from a share of so many samples
    slack = 3 * float(np.sqrt(LEAST * (1 - LEAST) / samples)) if samples < 10_000 else 0.0  # noqa: PLR2004
    rows, start, is_short = [], time.monotonic(), False
    for cell in (cell for cell in cells() if given.only in cell.method):
        for n in cell.sizes[:3] if given.quick else cell.sizes:
            found, printed = simulate(cell, n, samples)
            rows.append([cell.method, cell.population, n, found, printed])
            short = found is not None and cell.method != WILSON
            short = short and found < LEAST - slack / np.sqrt(max(printed, 0.01))
            is_short |= short
            print(*rows[-1], "<-- short" if short else "", sep="\t", flush=True)
    print(f"{time.monotonic() - start:.0f} s", file=sys.stderr)
    if not (given.quick or given.only or given.samples):
        document = {"command": "python benchmarks/coverage.py", "samples": samples, "cells": "@"}
        lines = ",\n".join(map(json.dumps, rows))
        text = json.dumps(document).replace('"@"', f"[\n{lines}\n]")
        TARGET.write_text(text + "\n", encoding="utf-8")
    return int(is_short)


if __name__ == "__main__":
    raise SystemExit(main())
