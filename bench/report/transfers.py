"""The pages' part on transfer: a heat map, and which kind of attack transfers better."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tabulate import tabulate

from bench import metrics, statistics
from bench.comparison import ALPHA
from bench.figures import transfer as drawings
from bench.matrix import Entry, Matrix
from bench.metrics import METRICS
from bench.report.pictures import embedded
from bench.statistics import Estimate, PairedTest

if TYPE_CHECKING:
    from pandas import Series


@dataclass(frozen=True)
class Contrast:
    """Two transfers that differ in one property, on the images that both speak of."""

    property: str
    first: str
    second: str
    where: str
    test: PairedTest
    images: int


def section(matrix: Matrix, folder: Path) -> Iterator[str]:
    """Write how adversarial images transfer; the figure goes into ``folder``."""
    found = [e for e in matrix.entries if e.kind == "transfer" and e.state == "done"]
    rates: dict[tuple[str, drawings.Pair], Estimate] = {}
    for entry in found:
        rate = matrix.estimate([entry], METRICS["transfer_rate"])
        if isinstance(rate, Estimate) and rate.value is not None and not entry.coordinates.replica:
            pair = (str(entry.value("source")), entry.coordinates.contender)
            rates[str(entry.coordinates.attack), pair] = rate
    if not found:
        return
    yield "## Transfer"
    yield ""
    if rates:
        path = drawings.heat_map(rates, folder / "transfer")
        yield from embedded(
            path, "Of the images that fooled their source, those that fool the target too, in %"
        )
    contrasts = list(_contrasts(matrix, found))
    if not contrasts:
        return
    corrected = statistics.holm([contrast.test.p_value for contrast in contrasts])
    told = [(c, p) for c, p in zip(contrasts, corrected, strict=True) if p < ALPHA]
    yield (
        f"Which property transfers better: {len(contrasts)} pairs of transfers differ in one "
        "property alone (targeted, eps, plugin, or direction), and are compared image by image; "
        f"{len(told)} can be told apart."
    )
    yield ""
    if not told:
        return
    rows = [
        [
            contrast.property,
            contrast.first,
            contrast.second,
            contrast.where,
            contrast.test.only_first,
            contrast.test.only_second,
            contrast.images,
            f"{p:.2g}",
        ]
        for contrast, p in told
    ]
    headers = ["property", "one", "other", "where", "only one", "only other", "n", "p"]
    yield tabulate(rows, headers, tablefmt="github", disable_numparse=True)
    yield ""
    yield (
        "Only one, only other: images that just one of the two brings over, of the n that the "
        "target has right without an attack and that count for both; what is lost counts, to "
        f"whatever class. p: McNemar's exact test, corrected over all {len(contrasts)} (Holm)."
    )
    yield ""


def _contrasts(matrix: Matrix, entries: list[Entry]) -> Iterator[Contrast]:
    """Pair transfers that differ in one property: target, eps, plugin (steps), or direction."""
    for one, other in itertools.combinations(entries, 2):
        name = _property(one, other)
        if name is None:
            continue
        values = [_fooled(matrix, entry) for entry in (one, other)]
        common = values[0].index.intersection(values[1].index)
        if not len(common):
            continue
        hits, others = (part.loc[common].to_numpy(bool) for part in values)
        test = statistics.mcnemar(hits, others)
        pair = f"{one.value('source')} > {one.coordinates.contender}"
        labels = [str(e.coordinates.attack) for e in (one, other)]
        if name == "direction":
            labels = [f"{e.value('source')} > {e.coordinates.contender}" for e in (one, other)]
            pair = str(one.coordinates.attack)
        yield Contrast(name, labels[0], labels[1], pair, test, len(common))


def _property(one: Entry, other: Entry) -> str | None:
    """Name the one property in which two transfers differ; None where it is none or several."""
    here, there = one.coordinates, other.coordinates
    if here.replica != there.replica:
        return None
    if here.attack == there.attack:
        swapped = f"{there.model}/{there.variant}" == here.source
        back = f"{here.model}/{here.variant}" == there.source
        return "direction" if swapped and back else None
    if replace(here, attack=None) != replace(there, attack=None):
        return None
    apart = [name for name in ("targeted", "eps", "plugin") if one.value(name) != other.value(name)]
    if len(apart) != 1:
        return None
    same = {"targeted": ("alpha", "steps"), "eps": ("group",), "plugin": ("norm",)}[apart[0]]
    if any(one.value(name) != other.value(name) for name in same):
        return None
    return apart[0]


def _fooled(matrix: Matrix, entry: Entry) -> Series[bool]:
    """Return, by image, whether the target's right prediction is lost, to any class."""
    records = matrix.records(entry)
    if records is None:
        raise TypeError(f"{entry.label} has no records")
    counted = records[metrics.eligible(records) & records["violation"].isna()]
    lost = ~metrics.right_after(counted)
    return lost.set_axis(counted["image"])
