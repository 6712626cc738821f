"""Variants beside the original of their model: which decisions flipped, and what a gain is worth.

A variant's robustness may only look better because its gradients guide an attack less well. So a
gain is confirmed on the images that were made on the original. No torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from bench import metrics, statistics
from bench.compare.models import ALPHA, Comparison
from bench.matrix import Entry, Matrix
from bench.metrics import METRICS, Metric
from bench.records import ORIGINAL
from bench.statistics import Difference, Estimate, Statistic, cross_validation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pandas import DataFrame, Series

MASKED = "masked gradients"
"""The conclusion on a gain where the original's images fool more than the variant's own attack."""


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
            that were made on the original count too: ``confirmed``, or ``not confirmed``; or
            ``masked gradients``, where more of these fool the variant than of its own attack's
            images; or ``not tested`` without such a transfer.

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
        """The model variants, compared."""
        return Comparison(self.matrix)

    @cached_property
    def families(self) -> dict[str, str]:
        """What makes the weights of each reduced model variant, as ``magnitude, fine_tune``.

        Numbers are left out, as the sparsity: what differs in those only is one family.
        """
        found: dict[str, dict[int, str]] = {}
        reduced = set()
        for entry in self.matrix.entries:
            if entry.kind in ("compress", "train") and "step" in entry.facts:
                model_variant = entry.coordinates.model_variant
                place, _, step = str(entry.facts["step"]).partition("-")
                words = self._words(entry.coordinates.variant, int(place))
                found.setdefault(model_variant, {})[int(place)] = step + words
                reduced |= {model_variant} if entry.kind == "compress" else set()
        return {
            name: ", ".join(steps[place] for place in sorted(steps))
            for name, steps in found.items()
            if name in reduced
        }

    def _words(self, variant: str, place: int) -> str:
        """Return the parameters of a step that are no numbers, as `` (scope layer)``."""
        steps = self.matrix.run["variants"].get(variant, [])
        given = steps[place - 1]["parameters"] if len(steps) >= place else {}
        words = [
            f"{key} {value}"
            for key, value in given.items()
            if isinstance(value, bool) or (isinstance(value, str) and not value[:1].isdigit())
        ]
        return f" ({', '.join(words)})" if words else ""

    @cached_property
    def model_variants(self) -> list[str]:
        """The reduced variants and their originals, in the plan's order."""
        models = {name.partition("/")[0] for name in self.families}
        return [name for name in self.comparison.models if name in self.families or name in models]

    def original(self, variant: str) -> str:
        """Return the model variant that a variant is compared with."""
        return variant.partition("/")[0]

    def estimate(self, name: str, entries: Sequence[Entry]) -> Estimate | None:
        """Return a figure of one model variant; None where there is none to draw."""
        if not entries:
            return None
        found = self.comparison.estimate(entries, METRICS[name])
        return found if isinstance(found, Estimate) and found.value is not None else None

    def value(self, name: str, model_variant: str) -> float | None:
        """Return a model_variant's figure of which it has one."""
        found = self.estimate(name, self.entries(METRICS[name].kinds[0], model_variant))
        return None if found is None else found.value

    @property
    def batches(self) -> list[int]:
        """The batches that were timed, in the run's order."""
        found = (e.facts["batch"] for e in self.matrix.entries if e.kind == "latency")
        return list(dict.fromkeys(int(str(batch)) for batch in found))

    def timed(self, model_variant: str, batch: int) -> list[Entry]:
        """Return the timings of a model variant at a batch."""
        return [e for e in self.entries("latency", model_variant) if e.facts["batch"] == batch]

    @property
    def attacks(self) -> list[str]:
        """The attacks of the run, in its order."""
        names = (e.coordinates.attack for e in self.matrix.entries if e.kind == "attack")
        return list(dict.fromkeys(name for name in names if name is not None))

    @property
    def strongest_attack(self) -> str | None:
        """The attack after which the first model variant has the fewest images right."""
        left: dict[str, float] = {}
        for attack in self.attacks:
            cells = self.entries("attack", self.model_variants[0], attack)
            found = self.estimate("robust_accuracy", cells)
            if found is not None and found.value is not None:
                left[attack] = found.value
        return min(left, key=lambda attack: left[attack]) if left else None

    def entries(self, kind: str, model_variant: str, attack: str | None = None) -> list[Entry]:
        """Return the cells of a model variant: one for each replica, done or not."""
        found = self.comparison.entries(kind, model_variant)
        return [entry for entry in found if entry.coordinates.attack == attack]

    @cached_property
    def flips(self) -> list[Flips]:
        """Every variant against its original, before any attack and after each."""
        found = list(self._flips())
        corrected = statistics.holm([flip.p_value for flip in found])
        tested = [replace(flip, p_value=p) for flip, p in zip(found, corrected, strict=True)]
        gains = {i: self._gain(flip) for i, flip in enumerate(tested) if _is_gain(flip)}
        words = _conclusions({i: gain for i, gain in gains.items() if gain is not None})
        return [
            replace(flip, gain=words.get(i, "not tested") if i in gains else "")
            for i, flip in enumerate(tested)
        ]

    def _flips(self) -> Iterator[Flips]:
        for variant in self.families:
            for attack in (None, *self.attacks):
                metric = METRICS["clean_accuracy" if attack is None else "robust_accuracy"]
                kind = "evaluate" if attack is None else "attack"
                own = self.entries(kind, variant, attack)
                first = self.entries(kind, self.original(variant), attack)
                if not self._is_known(metric, (*own, *first)) or not own or not first:
                    continue
                pairs = self._pairs(metric, own, first)
                if any(
                    set(here.index) != set(pairs[0][0].index) for pair in pairs for here in pair
                ):
                    continue
                lost = sum(int((there & ~here).sum()) for here, there in pairs)
                won = sum(int((here & ~there).sum()) for here, there in pairs)
                n = sum(len(here) for here, _ in pairs)
                yield Flips(variant, attack, lost, won, n, *_tested(pairs, self._parts(own)))

    def _is_known(self, metric: Metric, entries: Sequence[Entry]) -> bool:
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
        sides = [metrics.by_training(self.matrix.cell_data(part)) for part in (own, first)]
        return [
            (_right(metric, here), _right(metric, there).loc[here["image"]])
            for here, there in zip(*sides, strict=True)
        ]

    def _parts(self, entries: Sequence[Entry]) -> list[list[str]]:
        """Return the images of each cell."""
        cell_data = self.matrix.cell_data(entries)
        return [list(metrics.by_training([data])[0]["image"]) for data in cell_data]

    def _gain(self, flip: Flips) -> _Gain | None:
        """Test a gain of robustness on the original's images; None without such a transfer."""
        metric = METRICS["robust_accuracy"]
        original = self.original(flip.variant)
        moved = [
            entry
            for entry in self.entries("transfer", flip.variant, flip.attack)
            if entry.coordinates.source == f"{original}/{ORIGINAL}"
        ]
        own = self.entries("attack", flip.variant, flip.attack)
        first = self.entries("attack", original, flip.attack)
        if len(moved) != len(own) or not self._is_known(metric, moved):
            return None
        direct = self._pairs(metric, own, first)
        transferred = self._pairs(metric, moved, first)
        both = list(zip(direct, transferred, strict=True))
        parts = self._parts(own)
        return _Gain(
            _tested([(own & other, there) for (own, there), (other, _) in both], parts),
            _tested([(own, other) for (own, _), (other, _) in both], parts),
        )


_Tested: TypeAlias = tuple[Difference, float, str]


@dataclass(frozen=True)
class _Gain:
    """A gain of robustness, tested on the images that were made on the original.

    Attributes:
        left: the share right under both, less the original's share under its own attack.
        outdone: the share right under its own attack, less that under the original's images.

    """

    left: _Tested
    outdone: _Tested


def _is_gain(flip: Flips) -> bool:
    return flip.attack is not None and flip.won > flip.lost and flip.p_value < ALPHA


def _conclusions(gains: Mapping[int, _Gain]) -> dict[int, str]:
    """Conclude on each gain; each of the two tests is corrected over all gains."""
    left, outdone = (
        statistics.holm([p_value for _, p_value, _ in column])
        for column in ([g.left for g in gains.values()], [g.outdone for g in gains.values()])
    )
    words = {}
    for (place, gain), p_left, p_outdone in zip(gains.items(), left, outdone, strict=True):
        if gain.left[0].value > 0 and p_left < ALPHA:
            words[place] = "confirmed"
        elif gain.outdone[0].value > 0 and p_outdone < ALPHA:
            words[place] = MASKED
        else:
            words[place] = "not confirmed"
    return words


def _tested(
    pairs: Sequence[tuple[Series[bool], Series[bool]]], parts: Sequence[Sequence[str]]
) -> _Tested:
    """Test whether two sides differ: the trainings are paired, and the images are.

    Args:
        pairs: for each training, what each side has right, by image.
        parts: the images of each cell, training by training: where there are more than trainings,
            those of folds.

    """
    images = list(pairs[0][0].index)
    sides = [(here[images].to_numpy(bool), there[images].to_numpy(bool)) for here, there in pairs]
    won = [int((here & ~there).sum()) for here, there in sides]
    lost = [int((there & ~here).sum()) for here, there in sides]
    if len(pairs) == 1:
        name = "McNemar's exact test"
        found = statistics.paired_shares(won[0], lost[0], len(images))
    else:
        name = "the larger of Student's t over images and trainings, and sign flips"
        apart = [here.astype(float) - there for here, there in sides]
        found = statistics.within(
            [_mean(each) for each in apart],
            len(images),
            least_variance=statistics.paired_variance(
                sum(won) / len(pairs), sum(lost) / len(pairs), len(images)
            ),
        )
        # a t test trusts a handful of images too much
        p_value = max(found.p_value, statistics.sign_flips(sum(apart)))
        found = replace(found, p_value=p_value)
    if len(parts) > len(pairs):
        name = "corrected t test over folds"
        of_training = [pair for pair in pairs for _ in range(len(parts) // len(pairs))]
        differences = [
            here[list(part)].mean() - there[list(part)].mean()
            for (here, there), part in zip(of_training, parts, strict=True)
        ]
        found = cross_validation.compared(found, differences, len(pairs))
    return found, found.p_value, name


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
