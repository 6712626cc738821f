"""Variants beside the original of their model: which decisions flipped, and what a gain is worth.

A variant's robustness may only look better because its gradients tell an attack less. So a gain
counts where it also stands against the images that were made on the original. No torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bench import metrics, statistics
from bench.comparison import ALPHA, Comparison
from bench.matrix import Entry, Matrix
from bench.metrics import METRICS, Metric
from bench.records import ORIGINAL
from bench.statistics import Difference, Estimate, Statistic

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pandas import DataFrame, Series

MASKED = "masked gradients"
"""The verdict on a gain that the original's images undo."""


@dataclass(frozen=True)
class Flips:
    """Decisions that a variant changed, on the same images.

    Attributes:
        variant: as ``model/variant``.
        attack: after which the images are judged; None before any.
        lost, won: images that only the original, only the variant has right; over all trainings.
        n: images, over all trainings.
        difference: of the two shares, the variant's less the original's.
        p_value: two-sided, for no difference; corrected by Holm over all flips of a run.
        test: its name.
        gain: of a robustness that is significantly higher, whether it still is where the images
            that were made on the original count too: ``stands``, ``masked gradients``, or
            ``not tried`` without such a transfer.

    """

    variant: str
    attack: str | None
    lost: int
    won: int
    n: int
    difference: Difference
    p_value: float
    test: str
    gain: str = ""


@dataclass(frozen=True)
class Compression:
    """The variants of a run beside their originals."""

    matrix: Matrix

    @cached_property
    def comparison(self) -> Comparison:
        """The contenders, compared."""
        return Comparison(self.matrix)

    @cached_property
    def families(self) -> dict[str, str]:
        """What makes the weights of each reduced contender, as ``magnitude, fine_tune``.

        Numbers are left out, as the sparsity: what differs in those only is one family.
        """
        found: dict[str, dict[int, str]] = {}
        reduced = set()
        for entry in self.matrix.entries:
            if entry.kind in ("compress", "train") and "step" in entry.facts:
                contender = entry.coordinates.contender
                place, _, step = str(entry.facts["step"]).partition("-")
                words = self._words(entry.coordinates.variant, int(place))
                found.setdefault(contender, {})[int(place)] = step + words
                reduced |= {contender} if entry.kind == "compress" else set()
        return {
            name: ", ".join(steps[place] for place in sorted(steps))
            for name, steps in found.items()
            if name in reduced
        }

    def _words(self, variant: str, place: int) -> str:
        """Return the parameters of a step that are no numbers, as `` (scope layer)``."""
        steps: Any = (self.matrix.run["document"].get("variants") or {}).get(variant, [])
        step = steps[place - 1] if len(steps) >= place else None
        given = [each or {} for each in step.values()] if isinstance(step, dict) else [{}]
        words = [
            f"{key} {value}"
            for key, value in given[0].items()
            if isinstance(value, bool) or (isinstance(value, str) and not value[:1].isdigit())
        ]
        return f" ({', '.join(words)})" if words else ""

    @cached_property
    def contenders(self) -> list[str]:
        """The reduced variants and their originals, in the plan's order."""
        models = {name.partition("/")[0] for name in self.families}
        return [name for name in self.comparison.models if name in self.families or name in models]

    def original(self, variant: str) -> str:
        """Return the contender that a variant is compared with."""
        return variant.partition("/")[0]

    def estimate(self, name: str, entries: Sequence[Entry]) -> Estimate | None:
        """Return a figure of one contender; None where there is none to draw."""
        if not entries:
            return None
        found = self.comparison.estimate(entries, METRICS[name])
        return found if isinstance(found, Estimate) and found.value is not None else None

    def value(self, name: str, contender: str) -> float | None:
        """Return a contender's figure of which it has one."""
        found = self.estimate(name, self.entries(METRICS[name].kinds[0], contender))
        return None if found is None else found.value

    @property
    def batches(self) -> list[int]:
        """The batches that were timed, in the run's order."""
        found = (e.facts["batch"] for e in self.matrix.entries if e.kind == "latency")
        return list(dict.fromkeys(int(str(batch)) for batch in found))

    def timed(self, contender: str, batch: int) -> list[Entry]:
        """Return the timings of a contender at a batch."""
        return [e for e in self.entries("latency", contender) if e.facts["batch"] == batch]

    @property
    def attacks(self) -> list[str]:
        """The attacks of the run, in its order."""
        names = (e.coordinates.attack for e in self.matrix.entries if e.kind == "attack")
        return list(dict.fromkeys(name for name in names if name is not None))

    def entries(self, kind: str, contender: str, attack: str | None = None) -> list[Entry]:
        """Return the cells of a contender: one for each replica, done or not."""
        found = self.comparison.entries(kind, contender)
        return [entry for entry in found if entry.coordinates.attack == attack]

    @cached_property
    def flips(self) -> list[Flips]:
        """Every variant against its original, before any attack and after each."""
        found = list(self._flips())
        corrected = statistics.holm([flip.p_value for flip in found])
        told = [replace(flip, p_value=p) for flip, p in zip(found, corrected, strict=True)]
        return [replace(flip, gain=self._gain(flip)) for flip in told]

    def _flips(self) -> Iterator[Flips]:
        for variant in self.families:
            for attack in (None, *self.attacks):
                metric = METRICS["clean_accuracy" if attack is None else "robust_accuracy"]
                kind = "evaluate" if attack is None else "attack"
                own = self.entries(kind, variant, attack)
                first = self.entries(kind, self.original(variant), attack)
                if not self._is_told(metric, (*own, *first)) or not own or not first:
                    continue
                pairs = self._pairs(metric, own, first)
                if any(
                    set(here.index) != set(pairs[0][0].index) for pair in pairs for here in pair
                ):
                    continue
                lost = sum(int((there & ~here).sum()) for here, there in pairs)
                won = sum(int((here & ~there).sum()) for here, there in pairs)
                n = sum(len(here) for here, _ in pairs)
                yield Flips(variant, attack, lost, won, n, *_tested(pairs))

    def _is_told(self, metric: Metric, entries: Sequence[Entry]) -> bool:
        """Say whether all cells are there, and have a figure at all."""
        if any(entry.state != "done" for entry in entries):
            return False
        return not any(
            isinstance(self.matrix.estimate([entry], metric), metrics.Withheld) for entry in entries
        )

    def _pairs(
        self, metric: Metric, own: Sequence[Entry], first: Sequence[Entry]
    ) -> list[tuple[Series[bool], Series[bool]]]:
        """Return what each training of a variant, and of the original, has right, by image."""
        sides = [metrics.by_training(self.matrix.readings(part)) for part in (own, first)]
        return [
            (_right(metric, here), _right(metric, there).loc[here["image"]])
            for here, there in zip(*sides, strict=True)
        ]

    def _gain(self, flip: Flips) -> str:
        """Say whether a gain of robustness stands against the original's images."""
        if flip.attack is None or flip.won <= flip.lost or flip.p_value >= ALPHA:
            return ""
        metric = METRICS["robust_accuracy"]
        original = self.original(flip.variant)
        moved = [
            entry
            for entry in self.entries("transfer", flip.variant, flip.attack)
            if entry.coordinates.source == f"{original}/{ORIGINAL}"
        ]
        own = self.entries("attack", flip.variant, flip.attack)
        first = self.entries("attack", original, flip.attack)
        if len(moved) != len(own) or not self._is_told(metric, moved):
            return "not tried"
        direct = self._pairs(metric, own, first)
        transferred = self._pairs(metric, moved, first)
        worst = [(a & b, there) for (a, there), (b, _) in zip(direct, transferred, strict=True)]
        left, p_value, _ = _tested(worst)
        return "stands" if left.value > 0 and p_value < ALPHA else MASKED


def _tested(pairs: Sequence[tuple[Series[bool], Series[bool]]]) -> tuple[Difference, float, str]:
    """Test whether variants and originals differ: the trainings are paired, and the images are."""
    images = list(pairs[0][0].index)
    apart: list[NDArray[np.float64]] = [
        here[images].to_numpy(float) - there[images].to_numpy(float) for here, there in pairs
    ]
    found = statistics.within([_mean(each) for each in apart], len(images))
    if len(pairs) > 1:
        return found, found.p_value, "Student's t over images and trainings"
    [(here, there)] = pairs
    exact = statistics.mcnemar(here[images].to_numpy(bool), there[images].to_numpy(bool))
    return found, exact.p_value, "McNemar's exact test"


def _mean(values: NDArray[np.float64]) -> Statistic:
    def mean(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = (weights @ values) / weights.sum(1)
        return found

    return mean


def _right(metric: Metric, records: DataFrame) -> Series[bool]:
    if metric.values is None:
        raise TypeError(f"{metric.name} has no value of each image")
    found: Series[bool] = metric.values(records.set_index("image", drop=False)).astype(bool)
    return found
