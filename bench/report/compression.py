"""The pages' part on compression: what each variant weighs, costs, keeps and loses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from bench import statistics, tables
from bench.audit import Audit
from bench.comparison import ALPHA, Comparison, undominated
from bench.compression import MASKED, Compression
from bench.figures import compression as drawings
from bench.matrix import Entry, Matrix
from bench.metrics import METRICS, Withheld
from bench.report import choosing
from bench.report.pictures import embedded, named
from bench.statistics import Estimate

if TYPE_CHECKING:
    from pandas import DataFrame

_ACCURACY = ("sparsity", "accuracy_before", "clean_accuracy", "recovery_rate")
_SIZE = (
    "parameters",
    "nonzero_parameters",
    "size_bytes",
    "size_compressed_bytes",
    "compression_ratio",
    "compressed_ratio",
)
_ROBUSTNESS = ("robust_accuracy", "success_rate", "confidence", "steps_to_success")
_SLACK = 1.05
"""A theoretical speed-up above this is one."""


def section(matrix: Matrix, folder: Path, *, audited: Audit) -> Iterator[str]:
    """Write what compression did; figures go into ``folder``."""
    known = Compression(matrix)
    if not known.families:
        return
    told = partial(_figure, known.comparison, audited)
    yield "## Compression"
    yield ""
    steps: Any = matrix.run["document"]["variants"]
    for name in dict.fromkeys(variant.partition("/")[2] for variant in known.families):
        yield f"- `{name}`: " + ", then ".join(_step(step) for step in steps[name])
    yield ""
    yield from _grid(known, _ACCURACY, told)
    yield from _grid(known, _SIZE, told)
    yield from _speed(known, told)
    yield from _lines(known, folder)
    for attack in known.attacks:
        yield from _robustness(known, attack, told)
    yield from _flips(known)
    yield from _layers(known, folder)
    yield from _sensitivity(matrix, folder)
    yield from _drift(known, told)
    yield from _trades(known, folder)


def _step(raw: str | dict[str, Any]) -> str:
    if isinstance(raw, str):
        return raw
    [(name, parameters)] = raw.items()
    words = ", ".join(f"{key} {value}" for key, value in (parameters or {}).items())
    return f"{name} ({words})" if words else str(name)


def _figure(comparison: Comparison, audited: Audit, name: str, entries: Sequence[Entry]) -> str:
    """Write a figure of one contender; nothing where it has no such cell."""
    if not entries:
        return ""
    metric = METRICS[name]
    found = comparison.estimate(entries, metric)
    if isinstance(found, Withheld):
        return f"withheld: {found.reason}"
    return tables.figure(found, metric, intervals=True) + audited.marks(entries, metric)


def _table(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> Iterator[str]:
    align = ["left", *["right"] * (len(headers) - 1)]
    yield tabulate(rows, headers, tablefmt="github", disable_numparse=True, colalign=align)
    yield ""


def _definitions(names: Sequence[str]) -> Iterator[str]:
    for name in names:
        yield f"{name}: {METRICS[name].definition}"
        yield ""


def _grid(known: Compression, names: Sequence[str], told: Any) -> Iterator[str]:
    """Write figures that every variant has one of."""
    rows = [
        [
            contender,
            *(told(name, known.entries(METRICS[name].kinds[0], contender)) for name in names),
        ]
        for contender in known.contenders
    ]
    shown = [i for i in range(1, len(names) + 1) if any(row[i] for row in rows)]
    if not shown:
        return
    headers = ["variant", *names]
    yield from _table(
        [[row[0], *(row[i] for i in shown)] for row in rows],
        [headers[0], *(headers[i] for i in shown)],
    )
    yield from _definitions([headers[i] for i in shown])


def _speed(known: Compression, told: Any) -> Iterator[str]:
    """Write work and time, and say where zeros save none of it."""
    batches = list(
        dict.fromkeys(e.facts["batch"] for e in known.matrix.entries if e.kind == "latency")
    )
    rows, idle = [], []
    for contender in known.contenders:
        profile = known.entries("profile", contender)
        row = [
            contender,
            *(told(name, profile) for name in ("macs", "nonzero_macs", "theoretical_speed_up")),
        ]
        quicker = []
        for batch in batches:
            timed = _timed(known, contender, batch)
            row += [_latency(known, timed), told("speed_up", timed).partition(" ")[0]]
            first = _timed(known, known.original(contender), batch)
            if contender in known.families and timed and first and _done([*timed, *first]):
                quicker.append(known.comparison.timed_apart(timed, first))
        rows.append(row)
        value = _value(known, "theoretical_speed_up", contender)
        if quicker and not any(quicker) and value is not None and value > _SLACK:
            idle.append(contender)
    if not any(row[1] for row in rows):
        return
    headers = ["variant", "macs", "nonzero_macs", "theoretical_speed_up"]
    for batch in batches:
        headers += [f"latency_ms ± std, batch {batch}", "speed_up"]
    yield from _table(rows, headers)
    yield from _definitions(("nonzero_macs", "theoretical_speed_up", "speed_up"))
    if idle:
        yield (
            f"**No quicker, though it would be in theory: {', '.join(idle)}.** Dense kernels "
            "multiply zeros like other numbers; fewer than 95 % of the runs were quicker than "
            "95 % of the original's, at every batch."
        )
        yield ""
    timings = [e for e in known.matrix.entries if e.kind == "latency" and e.state == "done"]
    if known.comparison.is_disturbed(timings):
        yield "Something else used the machine meanwhile: see the section on latency."
        yield ""


def _timed(known: Compression, contender: str, batch: Any) -> list[Entry]:
    return [e for e in known.entries("latency", contender) if e.facts["batch"] == batch]


def _done(entries: Sequence[Entry]) -> bool:
    return all(entry.state == "done" for entry in entries)


def _latency(known: Compression, timed: Sequence[Entry]) -> str:
    if not timed or not _done(timed):
        return ""
    summary: Any = known.matrix.stored(timed[0]).summary
    return f"{summary['latency_ms']:.2f} ± {summary['latency_ms_std']:.2f}"


def _spread(known: Compression, timed: Sequence[Entry], mean: Estimate) -> Estimate:
    """Return a latency with its standard deviation over the runs in place of an interval."""
    std: Any = known.matrix.stored(timed[0]).summary["latency_ms_std"]
    value = mean.value or 0.0
    return replace(mean, low=value - std, high=value + std)


def _value(known: Compression, name: str, contender: str) -> float | None:
    found = _estimate(known, name, known.entries(METRICS[name].kinds[0], contender))
    return None if found is None else found.value


def _estimate(known: Compression, name: str, entries: Sequence[Entry]) -> Estimate | None:
    """Return a figure of one contender; None where there is none to draw."""
    if not entries:
        return None
    found = known.comparison.estimate(entries, METRICS[name])
    return found if isinstance(found, Estimate) and found.value is not None else None


# Lines over sparsity


@dataclass(frozen=True)
class _Series:
    """The variants of one model that the same compressors made, with the original at the start."""

    model: str
    family: str
    contenders: tuple[str, ...]

    @property
    def label(self) -> str:
        return f"{self.model}, {self.family}"


def _series(known: Compression) -> list[_Series]:
    groups: dict[tuple[str, str], list[str]] = {}
    for variant, family in known.families.items():
        model = known.original(variant)
        groups.setdefault((model, family), [model]).append(variant)
    return [_Series(model, family, tuple(names)) for (model, family), names in groups.items()]


def _lines(known: Compression, folder: Path) -> Iterator[str]:
    """Draw accuracy, latency, size and robustness over sparsity."""
    every = _series(known)
    sparse = {name: _value(known, "sparsity", name) for name in known.contenders}
    spread = {value for value in sparse.values() if value is not None}
    if len(spread) < 2:  # noqa: PLR2004 (a line has two points)
        return

    def points(series: _Series, name: str, attack: str | None = None) -> Any:
        kind = METRICS[name].kinds[0]
        for contender in series.contenders:
            entries = known.entries(kind, contender, attack)
            if kind == "latency":
                entries = [e for e in entries if e.facts["batch"] == entries[0].facts["batch"]]
            if name == "accuracy_before" and contender == series.model:
                entries, found = (
                    [],
                    _estimate(known, "clean_accuracy", known.entries("evaluate", contender)),
                )
            else:
                found = _estimate(known, name, entries)
            if found is not None and sparse[contender] is not None:
                yield (
                    sparse[contender],
                    _spread(known, entries, found) if name == "latency_ms" else found,
                )

    def panel(
        ylabel: str, names: dict[str, str], factor: float, attack: str | None = None, **told: Any
    ) -> drawings.Panel:
        lines = [
            drawings.Line(f"{s.label}{words}", list(points(s, name, attack)), index, dash, factor)
            for index, s in enumerate(every)
            for dash, (name, words) in enumerate(names.items())
        ]
        return drawings.Panel(ylabel, [line for line in lines if len(line.points) > 1], **told)

    both = {"clean_accuracy": ", after", "accuracy_before": ", before"}
    figures = {
        "accuracy": [panel("clean accuracy, %", both, 100)],
        "cost": [
            panel("latency of the first batch, ms", {"latency_ms": ""}, 1, from_zero=True),
            panel("size, compressed, MB", {"size_compressed_bytes": ""}, 1e-6, from_zero=True),
        ],
        "robustness": [
            panel(f"robust accuracy, {attack}, %", {"robust_accuracy": ""}, 100, attack)
            for attack in known.attacks
        ],
    }
    words = {
        "accuracy": "Accuracy over sparsity, before and after the last training",
        "cost": "Latency (bars: standard deviation over the runs) and size over sparsity",
        "robustness": "Robust accuracy over sparsity, for each attack",
    }
    for name, panels in figures.items():
        drawn = [panel for panel in panels if panel.lines]
        for place in range(0, len(drawn), 2):
            part = drawn[place : place + 2]
            suffix = "" if len(drawn) <= 2 else str(place // 2 + 1)  # noqa: PLR2004 (two a row)
            path = drawings.over_sparsity(part, folder / named("sparsity", name, suffix))
            yield from embedded(path, words[name])


# Robustness, and what flipped


def _robustness(known: Compression, attack: str, told: Any) -> Iterator[str]:
    rows = [
        [
            contender,
            *(told(name, known.entries("attack", contender, attack)) for name in _ROBUSTNESS),
        ]
        for contender in known.contenders
    ]
    yield f"### Robustness: {attack}"
    yield ""
    yield from _table(rows, ["variant", *_ROBUSTNESS])


def _flips(known: Compression) -> Iterator[str]:
    """Write which decisions each variant changed, and what a gain is worth."""
    if not known.flips:
        return
    yield "### Decisions that flipped"
    yield ""
    rows = [
        [
            flip.variant,
            "before any attack" if flip.attack is None else flip.attack,
            str(flip.lost),
            str(flip.won),
            str(flip.n),
            choosing.apart(flip.difference, "share"),
            f"{100 * flip.difference.least:.1f}",
            f"{flip.p_value:.2g}",
            _verdict(flip.lost, flip.won, flip.p_value, flip.gain),
        ]
        for flip in known.flips
    ]
    headers = ["variant", "images", "lost", "won", "n", "difference", "at least", "p", "told"]
    yield tabulate(rows, headers, tablefmt="github", disable_numparse=True)
    yield ""
    tests = ", ".join(dict.fromkeys(flip.test for flip in known.flips))
    yield (
        "Lost, won: images that only the original, only the variant has right, of n; after an "
        "attack, right before and after it. Difference: the variant's share less the original's; "
        "at least: its one-sided 95 % lower bound. "
        f"p: {tests}, Holm over all {len(known.flips)}. A gain "
        "of robustness stands where it is also there when the images that were made on the "
        "original count; where those undo it, the variant only hides its gradients."
    )
    yield ""


def _verdict(lost: int, won: int, p_value: float, gain: str) -> str:
    if p_value >= ALPHA:
        return "cannot be told apart"
    if won <= lost:
        return "worse"
    words = {
        "": "better",
        "stands": "better, and stands",
        "not tried": "better (transfer not tried)",
    }
    return words.get(gain, f"**{MASKED}**")


# Layers


def _layers(known: Compression, folder: Path) -> Iterator[str]:
    """Write and draw the share of zeros in each layer of each variant."""
    models = dict.fromkeys(known.original(variant) for variant in known.families)
    for model in models:
        variants = [name for name in known.families if known.original(name) == model]
        shares: dict[str, dict[str, float]] = {}
        for variant in variants:
            profile = [e for e in known.entries("profile", variant) if e.state == "done"]
            if profile:
                summary: Any = known.matrix.stored(profile[0]).summary
                shares[variant.partition("/")[2]] = {
                    layer["name"]: layer["zeros"] / layer["weights"] for layer in summary["layers"]
                }
        sparse = {name: layers for name, layers in shares.items() if any(layers.values())}
        if not sparse:
            continue
        names = list(dict.fromkeys(name for layers in sparse.values() for name in layers))
        yield f"### Layers of {model}"
        yield ""
        rows = [
            [name, *(f"{100 * s[name]:.1f} %" if name in s else "" for s in sparse.values())]
            for name in names
        ]
        yield from _table(rows, ["sparsity", *sparse])
        series = {name: [100 * s.get(layer, 0.0) for layer in names] for name, s in sparse.items()}
        path = drawings.bars(names, series, "share of zeros, %", folder / named("layers", model))
        yield from embedded(path, f"{model}: zeros in each layer")


def _sensitivity(matrix: Matrix, folder: Path) -> Iterator[str]:
    """Write what it costs to reduce each layer alone."""
    for entry in matrix.entries:
        if entry.kind != "sensitivity" or entry.state != "done":
            continue
        records: Any = matrix.records(entry)
        summary: Any = matrix.stored(entry).summary
        model, attack = entry.coordinates.model, entry.facts["met_by"]
        first = _outcomes(records[records["layer"] == ""])
        rows, lost, tests = [], [], []
        for layer in summary["sparsity"]:
            own = _outcomes(records[records["layer"] == layer])
            pairs = [statistics.mcnemar(own[name], first[name]) for name in own]
            tests += [pair.p_value for pair in pairs]
            lost.append([100 * (p.only_second - p.only_first) / p.n for p in pairs])
            rows.append([layer, f"{100 * summary['sparsity'][layer]:.1f} %"])
        corrected = statistics.holm(tests)
        for place, (row, points) in enumerate(zip(rows, lost, strict=True)):
            for column, value in enumerate(points):
                p_value = corrected[2 * place + column]
                row.append(f"{value:.1f}" + (f" (p = {p_value:.1g})" if p_value < ALPHA else ""))
        yield f"### Sensitivity of the layers of {model}"
        yield ""
        headers = ["layer", "sparsity", "accuracy lost", f"robustness lost, {attack}"]
        yield from _table(rows, headers)
        yield (
            f"Each layer reduced alone by `{entry.facts['step']}`, without training after it; "
            f"points of {summary['images']} images lost against the whole model, negative where "
            f"won. p: McNemar's exact test, Holm over all {len(tests)}; told where below {ALPHA}."
        )
        yield ""
        series = {
            "accuracy": [points[0] for points in lost],
            f"robustness, {attack}": [points[1] for points in lost],
        }
        path = drawings.bars(
            list(summary["sparsity"]), series, "points lost", folder / named("sensitivity", model)
        )
        yield from embedded(path, f"{model}: points lost where one layer is reduced alone")


def _outcomes(records: DataFrame) -> dict[str, Any]:
    """Return which images are right before, and right before and after the attack."""
    known = records.set_index("image")
    right = known["prediction"] == known["label"]
    after = known["adversarial_prediction"] == known["label"]
    return {"accuracy": right, "robustness": right & after.fillna(value=False).astype(bool)}


# Explanations, and what is traded


def _drift(known: Compression, told: Any) -> Iterator[str]:
    """Write how far explanations moved from the original's."""
    found = [
        e
        for e in known.matrix.entries
        if e.kind == "drift"
        and e.coordinates.attack is None
        and e.coordinates.contender in known.families
    ]
    explainers = list(dict.fromkeys(entry.coordinates.explainer for entry in found))
    if not explainers:
        return
    measures = ("heatmap_similarity", "heatmap_overlap")
    rows = []
    for variant in known.families:
        mine = [e for e in found if e.coordinates.contender == variant]
        rows.append(
            [
                variant,
                *(
                    told(measure, [e for e in mine if e.coordinates.explainer == explainer])
                    for explainer in explainers
                    for measure in measures
                ),
            ]
        )
    yield "### Explanations against the original's"
    yield ""
    yield from _table(rows, ["variant", *(f"{e}, {m}" for e in explainers for m in measures)])
    yield from _definitions(measures)


def _trades(known: Compression, folder: Path) -> Iterator[str]:
    """Draw accuracy, robustness and latency against each other."""
    attack = _strongest(known)
    batch = next((e.facts["batch"] for e in known.matrix.entries if e.kind == "latency"), None)
    if attack is None or batch is None:
        return
    figures: dict[str, tuple[Estimate, Estimate, float]] = {}
    for contender in known.contenders:
        accuracy = _estimate(known, "clean_accuracy", known.entries("evaluate", contender))
        robust = _estimate(known, "robust_accuracy", known.entries("attack", contender, attack))
        latency = _estimate(known, "latency_ms", _timed(known, contender, batch))
        if accuracy and robust and latency and latency.value is not None:
            figures[contender] = accuracy, robust, latency.value
    if len(figures) < 2:  # noqa: PLR2004 (one is no front)
        return
    fronts = undominated(
        {
            name: (-(accuracy.value or 0), -(robust.value or 0), latency)
            for name, (accuracy, robust, latency) in figures.items()
        }
    )
    points = [drawings.Trade(name, *told, fronts[name]) for name, told in figures.items()]
    yield "### Accuracy, robustness and latency"
    yield ""
    path = drawings.trades(points, attack, int(str(batch)), folder / "trades")
    yield from embedded(
        path,
        f"Accuracy, robust accuracy under {attack}, and latency of batch {batch}; filled where no "
        "other is at least as good in all three",
    )


def _strongest(known: Compression) -> str | None:
    """Return the attack that leaves the fewest of the first model's images."""
    left: dict[str, float] = {}
    for attack in known.attacks:
        found = _estimate(
            known, "robust_accuracy", known.entries("attack", known.contenders[0], attack)
        )
        if found is not None and found.value is not None:
            left[attack] = found.value
    return min(left, key=lambda attack: left[attack]) if left else None
