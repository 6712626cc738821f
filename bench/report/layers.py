"""The pages' part on layers: where the zeros of variants lie, and what each layer alone bears."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import statistics
from bench.compare.models import ALPHA
from bench.compare.variants import Compression
from bench.figures import compression as drawings
from bench.matrix import Entry, Matrix
from bench.report import grids
from bench.report.pictures import embedded, named

if TYPE_CHECKING:
    from pandas import DataFrame


def section(known: Compression, folder: Path) -> Iterator[str]:
    """Write and draw the share of zeros in each layer of each variant."""
    models = dict.fromkeys(known.original(variant) for variant in known.families)
    for model in models:
        sparse = _shares(known, model)
        if not sparse:
            continue
        names = list(dict.fromkeys(name for shares in sparse.values() for name in shares))
        yield f"### Layers of {model}"
        yield ""
        rows = [
            [name, *(f"{100 * s[name]:.1f} %" if name in s else "" for s in sparse.values())]
            for name in names
        ]
        yield from grids.table(rows, ["zeros in", *sparse])
        series = {name: [100 * s.get(layer, 0.0) for layer in names] for name, s in sparse.items()}
        path = drawings.bars(names, series, "share of zeros, %", folder / named("layers", model))
        several = any(e.coordinates.replica for e in known.entries("profile", model))
        mean = ", the mean over its trainings" if several else ""
        yield from embedded(path, f"{model}: zeros in each layer{mean}")


def _shares(known: Compression, model: str) -> dict[str, dict[str, float]]:
    """Return the share of zeros in each layer, the mean over trainings.

    Variants that have the same share a column.
    """
    found: dict[tuple[tuple[str, float], ...], list[str]] = {}
    for variant in known.families:
        profile = [e for e in known.entries("profile", variant) if e.state == "done"]
        if known.original(variant) != model or not profile:
            continue
        zeros: dict[str, list[float]] = {}
        for entry in profile:
            summary: Any = known.matrix.stored(entry).summary
            for layer in summary["layers"]:
                zeros.setdefault(layer["name"], []).append(layer["zeros"] / layer["weights"])
        shares = tuple((name, sum(each) / len(each)) for name, each in zeros.items())
        if any(share for _, share in shares):
            found.setdefault(shares, []).append(variant.partition("/")[2])
    return {", ".join(variants): dict(shares) for shares, variants in found.items()}


def sensitivity(matrix: Matrix, folder: Path) -> Iterator[str]:
    """Write and draw what it costs to reduce each layer alone."""
    for entry in matrix.entries:
        if entry.kind == "sensitivity" and entry.state == "done":
            yield from _sensitivity(matrix, entry, folder)


def _sensitivity(matrix: Matrix, entry: Entry, folder: Path) -> Iterator[str]:
    records: Any = matrix.records(entry)
    summary: Any = matrix.stored(entry).summary
    place, attack = entry.coordinates, entry.facts["met_by"]
    model = place.model if place.replica is None else f"{place.model}, training {place.replica}"
    first = _outcomes(records[records["layer"] == ""])
    layers = list(summary["sparsity"])
    pairs: dict[tuple[str, str], statistics.PairedTest] = {}
    for layer in layers:
        own = _outcomes(records[records["layer"] == layer])
        for name in (name for name in own if name in first):
            pairs[layer, name] = statistics.mcnemar(own[name], first[name])
    p_values = dict(zip(pairs, statistics.holm([p.p_value for p in pairs.values()]), strict=True))
    lost = {key: 100 * (pair.only_second - pair.only_first) / pair.n for key, pair in pairs.items()}

    def told(layer: str, name: str) -> str:
        if (layer, name) not in pairs:
            return "no verdict"
        p_value = p_values[layer, name]
        return f"{lost[layer, name]:.1f}" + (f" (p = {p_value:.1g})" if p_value < ALPHA else "")

    yield f"### Sensitivity of the layers of {model}"
    yield ""
    rows = [
        [
            layer,
            f"{100 * summary['sparsity'][layer]:.1f} %",
            told(layer, "accuracy"),
            told(layer, "robustness"),
        ]
        for layer in layers
    ]
    headers = ["layer", "sparsity", "accuracy lost", f"robustness lost, {attack}"]
    yield from grids.table(rows, headers)
    yield (
        f"Each layer reduced alone by `{entry.facts['step']}`, without training after it; "
        f"points of {summary['images']} images lost against the whole model, negative where "
        f"won. p: McNemar's exact test, Holm over all {len(pairs)}; told where below {ALPHA}. No "
        "verdict: an image of the attack broke its budget."
    )
    yield ""
    series = {
        words: [lost.get((layer, name), 0.0) for layer in layers]
        for name, words in (("accuracy", "accuracy"), ("robustness", f"robustness, {attack}"))
    }
    path = drawings.bars(layers, series, "points lost", folder / named("sensitivity", place.model))
    yield from embedded(path, f"{model}: points lost where one layer is reduced alone")


def _outcomes(records: DataFrame) -> dict[str, Any]:
    """Return which images are right before and, if all have a verdict, before and after."""
    known = records.set_index("image")
    right = known["prediction"] == known["label"]
    if known["adversarial_prediction"].isna().any():
        return {"accuracy": right}
    after = known["adversarial_prediction"].astype(int) == known["label"]
    return {"accuracy": right, "robustness": right & after}
