"""The pages' figures of variants: what changes with sparsity, and what each variant trades."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.compare.fronts import front
from bench.compare.variants import Compression
from bench.figures import compression as drawings
from bench.matrix import Entry
from bench.metrics import METRICS
from bench.metrics.constraints import Figure
from bench.report.blocks import Block, Heading, Paragraph
from bench.report.pictures import embedded
from bench.statistics import Estimate

_SPREAD = 0.05
"""Variants whose sparsities lie closer together than this make no line: those of other kinds."""


@dataclass(frozen=True)
class _Series:
    """The variants of one model that the same steps made, with the original at the start."""

    label: str
    model: str
    model_variants: tuple[str, ...]


def section(known: Compression, folder: Path) -> Iterator[Block]:
    """Draw accuracy, latency, size and robustness over sparsity; figures go into ``folder``."""
    sparse = {name: _sparsity(known, name) for name in known.model_variants}
    every = [
        series
        for series in _series(known)
        if len(shares := [sparse[n] for n in series.model_variants if sparse[n] is not None]) > 1
        and max(share or 0 for share in shares) - min(share or 0 for share in shares) > _SPREAD
    ]
    if not every:
        return

    def panel(ylabel: str, name: str, factor: float, **told: Any) -> drawings.Panel:
        found = {"attack": told.pop("attack", None), "batch": told.pop("batch", None)}
        lines = []
        for index, series in enumerate(every):
            points = [
                (share, estimate)
                for model_variant in series.model_variants
                if (estimate := _figure(known, name, model_variant, **found)) is not None
                and (share := sparse[model_variant]) is not None
            ]
            lines.append(drawings.Line(series.label, points, index, factor))
        return drawings.Panel(ylabel, [line for line in lines if len(line.points) > 1], **told)

    figures = {
        "accuracy": (
            "Accuracy over sparsity: before the last training of a variant, and in the end",
            [
                panel("accuracy before training, %", "accuracy_before", 100),
                panel("clean accuracy, %", "clean_accuracy", 100),
            ],
        ),
        "cost": (
            "Latency (bars: standard deviation over the runs) and compressed size over sparsity",
            [
                *(
                    panel(
                        f"latency, batch {batch}, ms", "latency_ms", 1, batch=batch, from_zero=True
                    )
                    for batch in known.batches
                ),
                panel("size, compressed, MB", "size_compressed_bytes", 1e-6, from_zero=True),
            ],
        ),
        "robustness": (
            "Robust accuracy over sparsity, for each attack",
            [
                panel(f"robust accuracy, {attack}, %", "robust_accuracy", 100, attack=attack)
                for attack in known.attacks
            ],
        ),
    }
    yield Heading("Over sparsity", 3)
    for name, (words, panels) in figures.items():
        drawn = [panel for panel in panels if panel.lines]
        if drawn:
            path = drawings.over_sparsity(drawn, folder / f"sparsity-{name}")
            yield embedded(path, words)
    yield Paragraph(
        "Bars: 95 % intervals, but for latency. Points at the same sparsity are moved apart."
    )


def _sparsity(known: Compression, model_variant: str) -> float | None:
    return known.value("sparsity", model_variant)


def _series(known: Compression) -> list[_Series]:
    """Group the variants by model and family; the model is named where there are several."""
    groups: dict[tuple[str, str], list[str]] = {}
    for variant, family in known.families.items():
        model = known.original(variant)
        groups.setdefault((model, family), [model]).append(variant)
    models = {model for model, _ in groups}
    return [
        _Series(f"{model}, {family}" if len(models) > 1 else family, model, tuple(names))
        for (model, family), names in groups.items()
    ]


def _figure(
    known: Compression, name: str, model_variant: str, attack: str | None, batch: int | None
) -> Estimate | None:
    """Return a point's figure; that of a latency has a standard deviation for an interval."""
    if name == "accuracy_before" and model_variant not in known.families:
        name = "clean_accuracy"  # nothing was taken from the original yet
    if batch is None:
        return known.estimate(name, known.entries(METRICS[name].kinds[0], model_variant, attack))
    timed = known.timed(model_variant, batch)
    found = known.estimate(name, timed)
    return None if found is None else _spread(known, timed, found)


def _spread(known: Compression, timed: Sequence[Entry], mean: Estimate) -> Estimate:
    std: Any = known.matrix.stored(timed[0]).summary["latency_ms_std"]
    value, reach = mean.value or 0.0, std or 0.0
    return replace(mean, low=max(0.0, value - reach), high=value + reach)


def trades(known: Compression, folder: Path) -> Iterator[Block]:
    """Draw accuracy, robustness and latency of each model variant beside each other."""
    attack = known.strongest_attack
    if attack is None or not known.batches:
        return
    batch = known.batches[0]
    found = front(
        known.comparison,
        Figure("clean_accuracy"),
        Figure("robust_accuracy", (("attack", attack),)),
        Figure("latency_ms", (("batch", str(batch)),)),
        models=known.model_variants,
    )
    if len(found.is_on_front) < 2:  # noqa: PLR2004 (one is no front)
        return
    accuracy, robust, latency = found.figures
    points = [
        drawings.Trade(
            name,
            accuracy.estimates[name],
            robust.estimates[name],
            _spread(known, latency.cells[name], latency.estimates[name]),
            is_on_front,
        )
        for name, is_on_front in found.is_on_front.items()
    ]
    yield Heading("Accuracy, robustness and latency", 3)
    path = drawings.trades(points, attack, batch, folder / "trades")
    yield embedded(
        path,
        f"Accuracy, robust accuracy under {attack}, and latency of batch {batch}. Filled: on the "
        "Pareto front of the measured values, whatever their intervals: no other is at least as "
        "good in all three",
    )
    if found.left_out:
        reasons = ", ".join(f"{name} ({reason})" for name, reason in found.left_out.items())
        yield Paragraph(f"Left out: {reasons}.")
