"""The pages' figures of variants: metrics over sparsity, and accuracy against latency."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
"""Variants whose sparsities differ by less than this make no line: their steps do not prune."""


@dataclass(frozen=True)
class _Series:
    """The variants of one model that the same steps made, with the original at the start.

    ``sparsity`` maps each of them to its share of zeros, where that is known.
    """

    label: str
    sparsity: Mapping[str, float]

    @property
    def is_line(self) -> bool:
        """Whether there are variants of clearly different sparsity."""
        shares = self.sparsity.values()
        return len(shares) > 1 and max(shares) - min(shares) > _SPREAD


@dataclass(frozen=True)
class _Axis:
    """What a panel shows over sparsity: a metric, under an attack or at a batch size."""

    label: str
    metric: str
    factor: float = 100.0
    attack: str | None = None
    batch: int | None = None
    from_zero: bool = False


def section(known: Compression, folder: Path) -> Iterator[Block]:
    """Draw accuracy, latency, size and robustness over sparsity; figures go into ``folder``."""
    lines = [series for series in _series(known) if series.is_line]
    if not lines:
        return
    yield Heading("Over sparsity", 3)
    for name, (words, axes) in _figures(known).items():
        panels = [_panel(known, axis, lines) for axis in axes]
        drawn = [panel for panel in panels if panel.lines]
        if drawn:
            path = drawings.over_sparsity(drawn, folder / f"sparsity-{name}")
            yield embedded(path, words)
    yield Paragraph(
        "Bars: 95 % intervals, but for latency. Points at the same sparsity are moved apart."
    )


def _figures(known: Compression) -> dict[str, tuple[str, list[_Axis]]]:
    """Return the caption and the panels of each figure, by its name."""
    return {
        "accuracy": (
            "Accuracy over sparsity: before the last training of a variant, and in the end",
            [
                _Axis("accuracy before training, %", "accuracy_before"),
                _Axis("clean accuracy, %", "clean_accuracy"),
            ],
        ),
        "cost": (
            "Latency (bars: standard deviation over the runs) and compressed size over sparsity",
            [
                *(
                    _Axis(f"latency, batch {n}, ms", "latency_ms", 1, batch=n, from_zero=True)
                    for n in known.batches
                ),
                _Axis("size, compressed, MB", "size_compressed_bytes", 1e-6, from_zero=True),
            ],
        ),
        "robustness": (
            "Robust accuracy over sparsity, for each attack",
            [
                _Axis(f"robust accuracy, {attack}, %", "robust_accuracy", attack=attack)
                for attack in known.attacks
            ],
        ),
    }


def _panel(known: Compression, axis: _Axis, series: Sequence[_Series]) -> drawings.Panel:
    """Return a panel with a line for each series of which two points are known."""
    lines = []
    for shade, each in enumerate(series):
        points = [
            (share, estimate)
            for model_variant, share in each.sparsity.items()
            if (estimate := _estimate(known, axis, model_variant)) is not None
        ]
        lines.append(drawings.Line(each.label, points, shade, axis.factor))
    return drawings.Panel(axis.label, [one for one in lines if len(one.points) > 1], axis.from_zero)


def _series(known: Compression) -> list[_Series]:
    """Group the variants by model and family; the model is named where there are several."""
    groups: dict[tuple[str, str], list[str]] = {}
    for variant, family in known.families.items():
        model = known.original(variant)
        groups.setdefault((model, family), [model]).append(variant)
    models = {model for model, _ in groups}
    return [
        _Series(
            f"{model}, {family}" if len(models) > 1 else family,
            {name: share for name in names if (share := known.value("sparsity", name)) is not None},
        )
        for (model, family), names in groups.items()
    ]


def _estimate(known: Compression, axis: _Axis, model_variant: str) -> Estimate | None:
    """Return a point's figure; that of a latency has a standard deviation for an interval."""
    name = axis.metric
    if name == "accuracy_before" and model_variant not in known.families:
        name = "clean_accuracy"  # the original has not been reduced
    if axis.batch is None:
        entries = known.entries(METRICS[name].kinds[0], model_variant, axis.attack)
        return known.estimate(name, entries)
    timed = known.timed(model_variant, axis.batch)
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
