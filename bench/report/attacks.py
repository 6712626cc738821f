"""The pages' part on attacks: how far the nearest images lie, and what each cascade's parts did."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench import metrics, tables
from bench.audit import Audit, in_brackets
from bench.compare.cascades import stages
from bench.figures import curves
from bench.figures import norms as drawings
from bench.matrix import Entry, Matrix
from bench.metrics import METRICS
from bench.records import JSON, NORMS
from bench.report import grids
from bench.report.blocks import Block, Heading, Paragraph, Table
from bench.report.pictures import embedded
from bench.statistics import Estimate


def section(matrix: Matrix, folder: Path, *, audited: Audit) -> Iterator[Block]:
    """Write what attacks of minimum norm needed, and cascades; figures go into ``folder``."""
    attacks = [e for e in matrix.entries if e.kind == "attack" and e.state == "done"]
    yield from _curves(matrix, attacks, folder)
    yield from _norms(matrix, audited, [e for e in attacks if e.facts.get("minimum_norm")], folder)
    yield from _cascades(matrix, [e for e in attacks if matrix.stored(e).summary.get("stages")])


def _curves(matrix: Matrix, entries: list[Entry], folder: Path) -> Iterator[Block]:
    """Draw robust accuracy over eps, for attacks that the suite runs at several."""
    radii: dict[str, set[JSON]] = {}
    for entry in entries:
        if isinstance(matrix.estimate([entry], METRICS["robust_accuracy"]), Estimate):
            radii.setdefault(str(entry.facts["group"]), set()).add(entry.value("eps"))
    groups = [group for group, known in radii.items() if len(known) > 1]
    if not groups:
        return
    yield Heading("Robust accuracy over eps")
    path = curves.success(matrix, "robust_accuracy", groups, folder / "robust-accuracy.svg")
    yield embedded(path, "Robust accuracy over eps, with 95 % bands")


def _norms(matrix: Matrix, audited: Audit, entries: list[Entry], folder: Path) -> Iterator[Block]:
    if not entries:
        return
    yield Heading("Nearest adversarial images")
    rows = []
    for entry in entries:
        found = matrix.estimate([entry], METRICS["median_norm"])
        words = (
            found.reason
            if isinstance(found, metrics.Withheld)
            else tables.figure(found, METRICS["median_norm"], intervals=True)
            + in_brackets(audited.on([entry], METRICS["median_norm"]))
        )
        rows.append([str(entry.coordinates), entry.facts["norm"], words])
    headers = ["cell", "norm", "median_norm"]
    yield Table.of(headers, rows)
    yield grids.definition("median_norm")
    for norm in NORMS:
        lines = [_reach(matrix, entry) for entry in entries if entry.facts["norm"] == norm]
        drawn = [line for line in lines if line is not None]
        if drawn:
            path = drawings.reach(drawn, norm, folder / f"norms-{norm}")
            yield embedded(path, f"Share of the images that are fooled within each {norm} radius")


def _reach(matrix: Matrix, entry: Entry) -> drawings.Reach | None:
    records = matrix.records(entry)
    sizes = None if records is None else metrics.norm_to_success(records).to_numpy(dtype=float)
    if sizes is None or not len(sizes):
        return None
    where = entry.coordinates
    trained = "" if where.replica is None else f":{where.replica}"
    return drawings.Reach(f"{where.model_variant}{trained}", str(where.attack), sizes)


def _cascades(matrix: Matrix, entries: list[Entry]) -> Iterator[Block]:
    if not entries:
        return
    yield Heading("Cascades")
    rows = []
    for entry in entries:
        for stage in stages(matrix, entry):
            passes = (f"{count:.4g}" for count in (stage.forwards, stage.backwards))
            row = [str(entry.coordinates), stage.attack, stage.images, stage.fooled, *passes]
            rows.append([*row, f"{stage.seconds:.1f}"])
    headers = ["cell", "attack", "images", "fooled", "forwards", "backwards", "seconds"]
    yield Table.of(headers, rows)
    yield Paragraph(
        "Each attack runs on the images that no attack before it fooled. Images, fooled: how many "
        "those are, and how many of them it fools. Forwards, backwards: passes for each of them."
    )
