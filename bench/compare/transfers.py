"""Which property of an attack transfers better: transfers that differ in it alone, tested in pairs.

Every pair is tested image by image, and p-values are corrected over all pairs of a run. No torch.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench import statistics
from bench.audit import Basis
from bench.compare.models import ALPHA
from bench.compare.pairs import Property, difference, lost
from bench.matrix import Entry, Matrix
from bench.metrics import METRICS
from bench.statistics import PairedTest

if TYPE_CHECKING:
    from pandas import Series


@dataclass(frozen=True)
class TransferPair:
    """Two transfers that differ in one property, on the images that count for both.

    Attributes:
        varied: the property in which they differ.
        first, second: the two, by what the property is of each.
        where: what they have in common.
        test: of the images that the target misclassifies under the one and under the other.
        p_value: the test's, corrected by Holm over all pairs of a run.
        basis: the figures of the two.

    """

    varied: Property
    first: str
    second: str
    where: str
    test: PairedTest
    p_value: float
    basis: tuple[Basis, ...] = ()

    @property
    def is_different(self) -> bool:
        """Whether the difference is significant."""
        return self.p_value < ALPHA


def pairs(matrix: Matrix) -> list[TransferPair]:
    """Test all pairs of transfers that differ in target, eps, plugin (steps) or direction."""
    found = list(_pairs(matrix))
    corrected = statistics.holm([pair.p_value for pair in found])
    return [replace(pair, p_value=p) for pair, p in zip(found, corrected, strict=True)]


def _pairs(matrix: Matrix) -> Iterator[TransferPair]:
    """Test each pair by itself; its p-value is not corrected yet."""
    entries = [e for e in matrix.entries if e.kind == "transfer" and e.state == "done"]
    known: dict[str, Series[bool]] = {}
    for one, other in itertools.combinations(entries, 2):
        name = difference(one, other)
        if name is None or name == "model":  # which model is robust is no property of transfer
            continue
        for entry in (one, other):
            if entry.label not in known:
                known[entry.label] = _lost(matrix, entry)
        hits, others = known[one.label], known[other.label]
        common = hits.index.intersection(others.index)
        if len(common):
            test = statistics.mcnemar(hits[common], others[common])
            basis = (Basis((one, other), METRICS["target_success"]),)
            yield TransferPair(name, *_words(name, one, other), test, test.p_value, basis)


def _lost(matrix: Matrix, entry: Entry) -> Series[bool]:
    records = matrix.records(entry)
    if records is None:
        raise TypeError(f"{entry.label} has no records")
    return lost(records)


def _words(name: Property, one: Entry, other: Entry) -> tuple[str, str, str]:
    """Return what is called first, second, and where."""
    places = [f"{e.value('source')} > {e.coordinates.model_variant}" for e in (one, other)]
    attacks = [str(e.coordinates.attack) for e in (one, other)]
    if name == "direction":
        return places[0], places[1], attacks[0]
    return attacks[0], attacks[1], places[0]
