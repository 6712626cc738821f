"""Models side by side: their figures, and which is best where a test shows it.

Two models are called different only after a paired test on the same images, corrected by Holm over
the pairs of models that a figure compares. What has no images is exact (parameters) or was timed.
No torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from bench.audit import Audit, Basis, Finding, known, travelling
from bench.compare.model_tests import Test, paired_tests
from bench.matrix import Entry, Matrix
from bench.metrics import METRICS, Metric, Withheld
from bench.records import Kind
from bench.statistics import NOTHING, Estimate

ALPHA = 0.05
"""Two models are called different below this p-value, after Holm's correction."""

BUSY = 0.1
"""Above this share of the machine's cores, what other processes used disturbs a timing."""

_COMPARED: tuple[tuple[Kind, tuple[str, ...], str | None], ...] = (
    (
        "evaluate",
        ("clean_accuracy", "macro_precision", "macro_recall", "macro_f1", "calibration_error"),
        None,
    ),
    ("profile", ("parameters", "size_bytes", "macs"), None),
    ("latency", ("latency_ms",), "batch"),
    ("train", ("training_seconds", "peak_memory_bytes"), None),
    ("explain", ("faithfulness_gain", "randomisation_similarity"), "explainer"),
)
"""What is compared: kinds of cell, their metrics, and in what several cells of a model differ."""


@dataclass(frozen=True)
class Row:
    """One figure of every model; ``best`` names the one that is better than every other."""

    metric: Metric
    part: str
    estimates: Mapping[str, Estimate | Withheld]
    best: str | None
    tests: tuple[Test, ...]

    def p_value(self, one: str, other: str) -> float | None:
        """Return the p-value of the test of two models; None where there is none."""
        for test in self.tests:
            if {test.first, test.second} == {one, other}:
                return test.p_value
        return None


@dataclass(frozen=True)
class Comparison:
    """The models of a run, compared."""

    matrix: Matrix

    @cached_property
    def audited(self) -> Audit:
        """The audit of the run, whose findings and marks travel with what is derived."""
        return known(self.matrix)

    def marks(self, *basis: Basis) -> tuple[Finding, ...]:
        """Return the findings and marks of all figures that something rests on."""
        return travelling(self.audited, self.matrix, basis)

    @cached_property
    def models(self) -> list[str]:
        """The models and their variants, in the plan's order."""
        return list(dict.fromkeys(entry.coordinates.model_variant for entry in self.matrix.entries))

    def entries(self, kind: str, model: str, part: tuple[str, str] | None = None) -> list[Entry]:
        """Return a model's cells of one kind: one, or one for each replica, done or not."""
        return [
            entry
            for entry in self.matrix.entries
            if entry.kind == kind
            and entry.coordinates.model_variant == model
            and (part is None or str(entry.value(part[0])) == part[1])
        ]

    @cached_property
    def rows(self) -> list[Row]:
        """Every figure that at least one model has."""
        return [row for row in self._rows() if row.estimates]

    def _rows(self) -> Iterator[Row]:
        for kind, names, dimension in _COMPARED:
            for part in self._parts(kind, dimension):
                picked = None if dimension is None or part is None else (dimension, part)
                cells = {m: tuple(self.entries(kind, m, picked)) for m in self.models}
                cells = {model: found for model, found in cells.items() if found}
                for name in names:
                    yield self._row(METRICS[name], "=".join(picked or ()), cells)

    def _parts(self, kind: str, dimension: str | None) -> list[str | None]:
        if dimension is None:
            return [None]
        values = [e.value(dimension) for e in self.matrix.entries if e.kind == kind]
        return [str(value) for value in dict.fromkeys(values)]

    def _row(self, metric: Metric, part: str, cells: Mapping[str, tuple[Entry, ...]]) -> Row:
        known = {model: self.estimate(found, metric) for model, found in cells.items()}
        estimates = {model: found for model, found in known.items() if found != NOTHING}
        tested = {m: cells[m] for m, found in estimates.items() if isinstance(found, Estimate)}
        tests = paired_tests(self.matrix, metric, tested)
        row = Row(metric, part, estimates, None, tests)
        return replace(row, best=self._best(row, cells))

    def estimate(self, entries: Sequence[Entry], metric: Metric) -> Estimate | Withheld:
        """Compute a metric of a model; withheld where a replica of it is missing."""
        missing = [entry for entry in entries if entry.state != "done"]
        if missing:
            among = f"{len(missing)} of {len(entries)} replicas " if len(entries) > 1 else ""
            return Withheld(f"{among}{missing[0].state}")
        return self.matrix.estimate(entries, metric)

    def _best(self, row: Row, cells: Mapping[str, Sequence[Entry]]) -> str | None:
        """Return the model that is better than every other, if one is."""
        if row.metric.better is None:
            return None
        values = {
            model: found.value
            for model, found in row.estimates.items()
            if isinstance(found, Estimate) and found.value is not None
        }
        if len(values) < 2 or len(values) < len(row.estimates):  # noqa: PLR2004 (best of several)
            return None
        choose = max if row.metric.better == "higher" else min
        best = choose(values, key=lambda model: values[model])
        others = [model for model in values if model != best]
        return best if all(self._differ(row, cells, best, other) for other in others) else None

    def _differ(
        self, row: Row, cells: Mapping[str, Sequence[Entry]], best: str, other: str
    ) -> bool:
        p_value = row.p_value(best, other)
        if p_value is not None:
            return p_value < ALPHA
        if "latency" in row.metric.kinds:
            timings = [entry for entries in cells.values() for entry in entries]
            return not self.is_disturbed(timings) and self.timed_apart(cells[best], cells[other])
        if row.metric.is_counted:
            return row.estimates[best] != row.estimates[other]
        return False

    def is_disturbed(self, timings: Sequence[Entry]) -> bool:
        """Return whether other processes took more than :data:`BUSY` during any of some timings."""
        loads = [self.matrix.stored(entry).summary.get("busy_elsewhere") for entry in timings]
        return any(isinstance(load, int | float) and load > BUSY for load in loads)

    def timed_apart(self, best: Sequence[Entry], other: Sequence[Entry]) -> bool:
        """Return whether nearly all runs of one were faster than nearly all runs of the other.

        Runs that follow one another are not independent, so no test is made of them.
        """
        fast, slow = (
            np.concatenate(
                [self.matrix.store.arrays(self.matrix.stored(e))["milliseconds"] for e in entries]
            )
            for entries in (best, other)
        )
        return bool(np.quantile(fast, 0.95) < np.quantile(slow, 0.05))
