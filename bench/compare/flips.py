"""Decisions that variants changed: image by image against the original, and tests of gains.

A variant's robustness may only look better because its gradients guide an attack less well. So a
gain is confirmed on the images that were made on the original. No torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from bench import metrics, statistics
from bench.audit import Basis
from bench.compare.models import ALPHA
from bench.compare.variants import Compression
from bench.matrix import Entry
from bench.metrics import METRICS, Metric
from bench.records import ORIGINAL
from bench.statistics import Difference, Statistic, cross_validation

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
        basis: the two figures that it rests on.

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
    basis: tuple[Basis, ...] = ()


def flips(known: Compression) -> list[Flips]:
    """Every variant against its original, before any attack and after each."""
    found = list(_flips(known))
    corrected = statistics.holm([flip.p_value for flip in found])
    tested = [replace(flip, p_value=p) for flip, p in zip(found, corrected, strict=True)]
    gains = {i: _gain(known, flip) for i, flip in enumerate(tested) if _is_gain(flip)}
    words = _conclusions({i: gain for i, gain in gains.items() if gain is not None})
    return [
        replace(flip, gain=words.get(i, "not tested") if i in gains else "")
        for i, flip in enumerate(tested)
    ]


def _flips(known: Compression) -> Iterator[Flips]:
    for variant in known.families:
        for attack in (None, *known.attacks):
            metric = METRICS["clean_accuracy" if attack is None else "robust_accuracy"]
            kind = "evaluate" if attack is None else "attack"
            own = known.entries(kind, variant, attack)
            first = known.entries(kind, known.original(variant), attack)
            if not _is_known(known, metric, (*own, *first)) or not own or not first:
                continue
            pairs = _pairs(known, metric, own, first)
            if any(set(here.index) != set(pairs[0][0].index) for pair in pairs for here in pair):
                continue
            lost = sum(int((there & ~here).sum()) for here, there in pairs)
            won = sum(int((here & ~there).sum()) for here, there in pairs)
            n = sum(len(here) for here, _ in pairs)
            tested = _tested(pairs, _parts(known, own))
            basis = tuple(Basis(tuple(cells), metric) for cells in (own, first))
            yield Flips(variant, attack, lost, won, n, *tested, basis=basis)


def _is_known(known: Compression, metric: Metric, entries: Sequence[Entry]) -> bool:
    """Return whether all cells are done, and have the figure."""
    if any(entry.state != "done" for entry in entries):
        return False
    return not any(
        isinstance(known.matrix.estimate([entry], metric), metrics.Withheld) for entry in entries
    )


def _pairs(
    known: Compression, metric: Metric, own: Sequence[Entry], first: Sequence[Entry]
) -> list[tuple[Series[bool], Series[bool]]]:
    """Return what each training of a variant, and of the original, has right, by image."""
    sides = [metrics.by_training(known.matrix.cell_data(part)) for part in (own, first)]
    return [
        (_right(metric, here), _right(metric, there).loc[here["image"]])
        for here, there in zip(*sides, strict=True)
    ]


def _parts(known: Compression, entries: Sequence[Entry]) -> list[list[str]]:
    """Return the images of each cell."""
    cell_data = known.matrix.cell_data(entries)
    return [list(metrics.by_training([data])[0]["image"]) for data in cell_data]


def _gain(known: Compression, flip: Flips) -> _Gain | None:
    """Test a gain of robustness on the original's images; None without such a transfer."""
    metric = METRICS["robust_accuracy"]
    original = known.original(flip.variant)
    moved = [
        entry
        for entry in known.entries("transfer", flip.variant, flip.attack)
        if entry.coordinates.source == f"{original}/{ORIGINAL}"
    ]
    own = known.entries("attack", flip.variant, flip.attack)
    first = known.entries("attack", original, flip.attack)
    if len(moved) != len(own) or not _is_known(known, metric, moved):
        return None
    direct = _pairs(known, metric, own, first)
    transferred = _pairs(known, metric, moved, first)
    both = list(zip(direct, transferred, strict=True))
    parts = _parts(known, own)
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
    found, name = _paired(sides)
    if len(parts) > len(pairs):
        name = "corrected t test over folds"
        of_training = [pair for pair in pairs for _ in range(len(parts) // len(pairs))]
        differences = [
            here[list(part)].mean() - there[list(part)].mean()
            for (here, there), part in zip(of_training, parts, strict=True)
        ]
        found = cross_validation.compared(found, differences, len(pairs))
    return found, found.p_value, name


def _paired(sides: Sequence[tuple[NDArray[np.bool_], NDArray[np.bool_]]]) -> tuple[Difference, str]:
    """Test two sides of one training, or of several; returns the name of the test, too."""
    won = [int((here & ~there).sum()) for here, there in sides]
    lost = [int((there & ~here).sum()) for here, there in sides]
    count, images = len(sides), len(sides[0][0])
    if count == 1:
        return statistics.paired_shares(won[0], lost[0], images), "McNemar's exact test"
    apart = [here.astype(float) - there for here, there in sides]
    least = statistics.paired_variance(sum(won) / count, sum(lost) / count, images)
    found = statistics.within([_mean(each) for each in apart], images, least_variance=least)
    # a t test trusts a handful of images too much
    p_value = max(found.p_value, statistics.sign_flips(sum(apart)))
    name = "the larger of Student's t over images and trainings, and sign flips"
    return replace(found, p_value=p_value), name


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
