"""The pages' part on transfer: a heat map, and which kind of attack transfers better."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.audit import Audit, in_brackets, travelling
from bench.compare.transfers import TransferPair, pairs
from bench.figures import transfer as drawings
from bench.matrix import Matrix
from bench.metrics import METRICS
from bench.report.blocks import Block, Heading, Paragraph, Table
from bench.report.pictures import embedded
from bench.statistics import Estimate, written


def section(matrix: Matrix, folder: Path, *, audited: Audit) -> Iterator[Block]:
    """Write how adversarial images transfer; the figure goes into ``folder``."""
    found = [e for e in matrix.entries if e.kind == "transfer" and e.state == "done"]
    rates: dict[tuple[str, drawings.Pair], Estimate] = {}
    for entry in found:
        rate = matrix.estimate([entry], METRICS["transfer_rate"])
        if isinstance(rate, Estimate) and rate.value is not None and not entry.coordinates.replica:
            places = (str(entry.value("source")), entry.coordinates.model_variant)
            rates[str(entry.coordinates.attack), places] = rate
    if not found:
        return
    yield Heading("Transfer")
    if rates:
        path = drawings.heat_map(rates, folder / "transfer")
        yield embedded(
            path, "Of the images that fooled their source, those that fool the target too, in %"
        )
    yield from _pairs(matrix, pairs(matrix), audited)


def _pairs(matrix: Matrix, tested: Sequence[TransferPair], audited: Audit) -> Iterator[Block]:
    if not tested:
        return
    different = [pair for pair in tested if pair.is_different]
    yield Paragraph(
        f"Which property transfers better: {len(tested)} pairs of transfers differ in one "
        "property alone (targeted, eps, plugin, or direction), and are compared image by image; "
        f"{len(different)} differ significantly."
    )
    if not different:
        return
    rows = [
        [
            pair.varied,
            pair.first,
            pair.second,
            pair.where + in_brackets(travelling(audited, matrix, pair.basis)),
            pair.test.only_first,
            pair.test.only_second,
            pair.test.n,
            written(pair.p_value),
        ]
        for pair in different
    ]
    headers = ["property", "one", "other", "where", "only one", "only other", "n", "p"]
    yield Table.of(headers, rows)
    yield Paragraph(
        "Only one, only other: images that the target misclassifies under just one of the two, as "
        "any class, of the n that it has right without an attack and that count for both. "
        f"p: McNemar's exact test, corrected over all {len(tested)} (Holm)."
    )
