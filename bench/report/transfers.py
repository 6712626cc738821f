"""The pages' part on transfer: a heat map, and which kind of attack transfers better."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tabulate import tabulate

from bench import statistics
from bench.compare.models import ALPHA
from bench.compare.pairs import difference, lost
from bench.figures import transfer as drawings
from bench.matrix import Entry, Matrix
from bench.metrics import METRICS
from bench.report.pictures import embedded
from bench.statistics import Estimate, PairedTest

if TYPE_CHECKING:
    from pandas import DataFrame, Series


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
            pair = (str(entry.value("source")), entry.coordinates.model_variant)
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
    known: dict[str, Series[bool]] = {}
    for one, other in itertools.combinations(entries, 2):
        name = difference(one, other)
        if name is None or name == "model":  # other tables tell which model loses sooner
            continue
        for entry in (one, other):
            if entry.label not in known:
                known[entry.label] = lost(_records(matrix, entry))
        values = [known[entry.label] for entry in (one, other)]
        common = values[0].index.intersection(values[1].index)
        if not len(common):
            continue
        hits, others = (part.loc[common].to_numpy(bool) for part in values)
        test = statistics.mcnemar(hits, others)
        pair = f"{one.value('source')} > {one.coordinates.model_variant}"
        labels = [str(e.coordinates.attack) for e in (one, other)]
        if name == "direction":
            labels = [f"{e.value('source')} > {e.coordinates.model_variant}" for e in (one, other)]
            pair = str(one.coordinates.attack)
        yield Contrast(name, labels[0], labels[1], pair, test, len(common))


def _records(matrix: Matrix, entry: Entry) -> DataFrame:
    records = matrix.records(entry)
    if records is None:
        raise TypeError(f"{entry.label} has no records")
    return records
