"""The pages' part on compression: accuracy, size, time and robustness of each variant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from bench import tables
from bench.audit import Audit, in_brackets
from bench.compare.flips import MASKED
from bench.compare.flips import flips as flipped
from bench.compare.models import ALPHA
from bench.compare.variants import Compression
from bench.matrix import Entry, Matrix
from bench.metrics import METRICS
from bench.report import choosing, grids, layers, sparsity
from bench.report.blocks import Block, Bullets, Code, Heading, Paragraph, Strong, Table, Text
from bench.report.grids import Grid
from bench.statistics import written

_ACCURACY = ("sparsity", "accuracy_before", "clean_accuracy", "recovery_rate")
_SIZE = (
    "parameters",
    "nonzero_parameters",
    "size_bytes",
    "size_compressed_bytes",
    "compression_ratio",
    "compressed_ratio",
)
_WORK = ("macs", "nonzero_macs", "theoretical_speed_up")
_ROBUSTNESS = ("robust_accuracy", "success_rate", "confidence", "steps_to_success")
_SLACK = 1.05
"""A theoretical speed-up above this is one."""


def section(matrix: Matrix, folder: Path, *, audited: Audit) -> Iterator[Block]:
    """Write what each variant changed; figures go into ``folder``."""
    known = Compression(matrix)
    if not known.families:
        return
    grid = partial(Grid, known.comparison, audited)
    yield Heading("Compression")
    yield from _recipes(known)
    yield from _grid(known, grid, "Accuracy", _ACCURACY)
    yield from _grid(known, grid, "Size", _SIZE)
    yield from _speed(known, grid)
    yield from sparsity.section(known, folder)
    for attack in known.attacks:
        yield from _robustness(known, grid, attack)
    yield from flips(known)
    yield from layers.section(known, folder)
    yield from layers.sensitivity(matrix, folder)
    yield from _drift(known, grid)
    yield from sparsity.trades(known, folder)


def _recipes(known: Compression) -> Iterator[Block]:
    """Write the steps of each variant."""
    variants = known.matrix.run["variants"]
    names = dict.fromkeys(variant.partition("/")[2] for variant in known.families)
    steps = [
        (Code(name), ": " + ", then ".join(map(_step, variants[name])))
        for name in names
        if name in variants
    ]
    if steps:
        yield Bullets(tuple(steps))


def _step(step: Mapping[str, Any]) -> str:
    words = ", ".join(f"{key} {value}" for key, value in step["parameters"].items())
    return f"{step['step']} ({words})" if words else str(step["step"])


def _grid(known: Compression, grid: Any, title: str, names: Sequence[str]) -> Iterator[Block]:
    """Write figures that every variant has one of."""
    found: Grid = grid(["variant", *names])
    for model_variant in known.model_variants:
        figures = (
            found.figure(name, known.entries(METRICS[name].kinds[0], model_variant))
            for name in names
        )
        found.rows.append([model_variant, *figures])
    shown = list(found.blocks(*names))
    if shown:
        yield Heading(title, 3)
        yield from shown


# Work and time


def _speed(known: Compression, grid: Any) -> Iterator[Block]:
    """Write work and time, and name the variants whose zeros save no time."""
    headers = ["variant", *_WORK]
    for batch in known.batches:
        headers += [f"latency_ms ± std, batch {batch}", f"speed_up, batch {batch}"]
    found: Grid = grid(headers)
    for model_variant in known.model_variants:
        profile = known.entries("profile", model_variant)
        row = [model_variant, *(found.figure(name, profile) for name in _WORK)]
        for batch in known.batches:
            timed = known.timed(model_variant, batch)
            row += [_latency(known, timed), found.figure("speed_up", timed, plain=True)]
        found.rows.append(row)
    shown = list(found.blocks(*_WORK))
    if not shown:
        return
    yield Heading("Work and time", 3)
    yield from shown
    if any(known.batches):
        yield grids.definition("speed_up")
        yield from _idle(known)


def _latency(known: Compression, timed: Sequence[Entry]) -> str:
    if not timed:
        return ""
    if timed[0].state != "done":
        return timed[0].state
    summary: Any = known.matrix.stored(timed[0]).summary
    spread = summary["latency_ms_std"]
    return f"{summary['latency_ms']:.2f}" + (f" ± {spread:.2f}" if spread is not None else "")


def _idle(known: Compression) -> Iterator[Block]:
    """Name the variants that are no faster, or state that the timings do not show it."""
    timings = [e for e in known.matrix.entries if e.kind == "latency" and e.state == "done"]
    promising = [
        variant
        for variant in known.families
        if (known.value("theoretical_speed_up", variant) or 0) > _SLACK
    ]
    if known.comparison.is_disturbed(timings):
        yield Paragraph(
            "Other processes used the machine meanwhile, so these timings do not show which "
            "variant is faster: see the section on latency."
        )
        return
    idle = [variant for variant in promising if _is_no_faster(known, variant)]
    if idle:
        masked = [variant for variant in idle if not _computes_less(known, variant)]
        why = (
            " Dense kernels multiply zeros like other numbers: computing as much as the original: "
            f"{', '.join(masked)}."
            if masked
            else ""
        )
        words = f"Faster in theory, but not in these timings: {', '.join(idle)}."
        meaning = (
            f"{why} Faster: at some batch nearly all runs (95 %) took less time than nearly all of "
            "the original's."
        )
        yield Paragraph((Strong(words), meaning))


def _computes_less(known: Compression, variant: str) -> bool:
    """Return whether a dense pass through a variant has fewer multiplications."""
    own, first = (known.value("macs", each) for each in (variant, known.original(variant)))
    return own is not None and first is not None and own < first


def _is_no_faster(known: Compression, variant: str) -> bool:
    """Return whether a variant was timed, and is faster at no batch."""
    original = known.original(variant)
    pairs = [(known.timed(variant, batch), known.timed(original, batch)) for batch in known.batches]
    whole = [
        pair
        for pair in pairs
        if all(pair) and all(e.state == "done" for entries in pair for e in entries)
    ]
    return bool(whole) and not any(known.comparison.timed_apart(*pair) for pair in whole)


# Robustness, what flipped, explanations


def _robustness(known: Compression, grid: Any, attack: str) -> Iterator[Block]:
    found: Grid = grid(["variant", *_ROBUSTNESS])
    for model_variant in known.model_variants:
        entries = known.entries("attack", model_variant, attack)
        found.rows.append([model_variant, *(found.figure(name, entries) for name in _ROBUSTNESS)])
    yield Heading(f"Robustness: {attack}", 3)
    yield from found.blocks()


def flips(known: Compression) -> Iterator[Block]:
    """Write which decisions each variant changed, and what a gain is worth."""
    found = flipped(known)
    if not found:
        return
    yield Heading("Decisions that flipped", 3)
    rows = [
        [
            flip.variant,
            "before any attack" if flip.attack is None else flip.attack,
            str(flip.lost),
            str(flip.won),
            str(flip.n),
            choosing.apart(flip.difference, "share"),
            tables.number(flip.difference.lower_bound, "share"),
            written(flip.p_value),
            _with_marks(
                _conclusion(flip.difference.value, flip.p_value, flip.gain),
                in_brackets(known.comparison.marks(*flip.basis)),
            ),
        ]
        for flip in found
    ]
    headers = ["variant", "images", "lost", "won", "n", "difference", "at least", "p", "conclusion"]
    table = Table.of(headers, rows, left=2)
    yield replace(table, sides=(*table.sides[:-1], "left"))
    tests = ", ".join(dict.fromkeys(flip.test for flip in found))
    yield Paragraph(
        "Lost, won: images that only the original, only the variant has right, of n; after an "
        "attack, right before and after it. Difference: the variant's share less the original's; "
        "at least: its one-sided 95 % lower bound. "
        f"p: {tests}, Holm over all {len(found)}. A gain of robustness is confirmed where "
        "it is still one, by the same test (Holm over the gains), when the images that were made "
        "on the original count too. Where the variant has fewer of those right than of its own "
        f"attack's images, by the same test, it is reported as {MASKED}: the variant's gradients "
        "guide an attack less well than the original's do."
    )


def _with_marks(words: Text, marks: str) -> Text:
    return (*(words if isinstance(words, tuple) else (words,)), marks) if marks else words


def _conclusion(difference: float, p_value: float, gain: str) -> Text:
    if p_value >= ALPHA:
        return "no significant difference"
    if difference <= 0:
        return "worse"
    words: dict[str, Text] = {
        "": "better",
        "confirmed": "better, confirmed by transfer",
        "not confirmed": "better, not confirmed by transfer",
        "not tested": "better (no transfer to test it)",
    }
    return words.get(gain, Strong(MASKED))


def _drift(known: Compression, grid: Any) -> Iterator[Block]:
    """Write how far explanations moved from the original's."""
    drifts = [
        e
        for e in known.matrix.entries
        if e.kind == "drift"
        and e.coordinates.attack is None
        and e.coordinates.model_variant in known.families
    ]
    if not drifts:
        return
    explainers = list(dict.fromkeys(entry.coordinates.explainer for entry in drifts))
    measures = ("heatmap_similarity", "heatmap_overlap")
    found: Grid = grid(["variant", *(f"{e}, {m}" for e in explainers for m in measures)])
    for variant in known.families:
        mine = [e for e in drifts if e.coordinates.model_variant == variant]
        row = [variant]
        for explainer in explainers:
            entries = [e for e in mine if e.coordinates.explainer == explainer]
            row += [found.figure(measure, entries) for measure in measures]
        found.rows.append(row)
    yield Heading("Explanations against the original's", 3)
    yield from found.blocks()
    yield from map(grids.definition, measures)
