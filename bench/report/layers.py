"""The pages' part on layers: the zeros of each, and what is lost where one layer is reduced."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.compare.models import ALPHA
from bench.compare.sensitivity import Outcome, Sensitivity, sensitivities, zeros
from bench.compare.variants import Compression
from bench.figures import compression as drawings
from bench.matrix import Matrix
from bench.report.blocks import Block, Code, Heading, Paragraph, Table
from bench.report.pictures import embedded, named
from bench.statistics import p_equals

_OUTCOMES: tuple[Outcome, ...] = ("accuracy", "robustness")


def section(known: Compression, folder: Path) -> Iterator[Block]:
    """Write and draw the share of zeros in each layer of each variant."""
    models = dict.fromkeys(known.original(variant) for variant in known.families)
    for model in models:
        sparse = zeros(known, model)
        if not sparse:
            continue
        names = list(dict.fromkeys(name for shares in sparse.values() for name in shares))
        yield Heading(f"Layers of {model}", 3)
        rows = [
            [name, *(f"{100 * s[name]:.1f} %" if name in s else "" for s in sparse.values())]
            for name in names
        ]
        yield Table.of(["zeros in", *sparse], rows, left=1)
        series = {name: [100 * s.get(layer, 0.0) for layer in names] for name, s in sparse.items()}
        path = drawings.bars(names, series, "share of zeros, %", folder / named("layers", model))
        several = any(e.coordinates.replica for e in known.entries("profile", model))
        mean = ", the mean over its trainings" if several else ""
        yield embedded(path, f"{model}: zeros in each layer{mean}")


def sensitivity(matrix: Matrix, folder: Path) -> Iterator[Block]:
    """Write and draw what is lost where one layer is reduced alone."""
    for found in sensitivities(matrix):
        yield from _sensitivity(found, folder)


def _sensitivity(found: Sensitivity, folder: Path) -> Iterator[Block]:
    model = found.model if found.replica is None else f"{found.model}, training {found.replica}"
    yield Heading(f"Sensitivity of the layers of {model}", 3)
    rows = [
        [layer, f"{100 * share:.1f} %", *(_lost(found, layer, name) for name in _OUTCOMES)]
        for layer, share in found.sparsity.items()
    ]
    headers = ["layer", "sparsity", "accuracy lost", f"robustness lost, {found.attack}"]
    yield Table.of(headers, rows, left=1)
    words = (
        f", without training after it; points of {found.images} images lost against the whole "
        "model, negative where gained. p: McNemar's exact test, Holm over all "
        f"{len(found.losses)}; printed where below {ALPHA}. No verdict: an image of the attack "
        "broke its budget."
    )
    yield Paragraph(("Each layer reduced alone by ", Code(found.step), words))
    series = {
        words: [
            100 * found.losses[layer, name].share if (layer, name) in found.losses else 0.0
            for layer in found.sparsity
        ]
        for name, words in zip(_OUTCOMES, ("accuracy", f"robustness, {found.attack}"), strict=True)
    }
    trained = () if found.replica is None else (found.replica,)
    path = folder / named("sensitivity", found.model, *trained)
    path = drawings.bars(list(found.sparsity), series, "points lost", path)
    yield embedded(path, f"{model}: points lost where one layer is reduced alone")


def _lost(found: Sensitivity, layer: str, name: Outcome) -> str:
    loss = found.losses.get((layer, name))
    if loss is None:
        return "no verdict"
    p_value = f" ({p_equals(loss.p_value)})" if loss.p_value < ALPHA else ""
    return f"{100 * loss.share:.1f}{p_value}"
