"""Whether claims hold: two sides compared image by image, over several trainings.

Claims are about recipes, so they need several trainings: the unit is a seed, that is one training
of every model; the folds of a seed are one training. It knows no claim in particular. No torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from bench import statistics
from bench.audit import Basis
from bench.audit.evidence import Evidence
from bench.compare.claims import CLAIMS, Claim, Pair
from bench.compare.models import ALPHA
from bench.matrix import Entry, Matrix
from bench.metrics import METRICS
from bench.records import write_eps
from bench.statistics import Difference, Estimate, Statistic

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame, Series

_RATES = {"evaluate": "clean_accuracy", "attack": "success_rate", "transfer": "target_success"}
"""The rate of each kind of cell that claims count."""

Conclusion: TypeAlias = Literal["holds", "does not hold", "undecided"]


@dataclass(frozen=True)
class Compared:
    """The two sides' shares, and their difference.

    ``p_value`` is corrected, ``agreeing`` counts the seeds in which the first side is ahead, and
    ``opposing`` those in which the second is.
    """

    first: Estimate
    second: Estimate
    difference: Difference
    p_value: float
    agreeing: int
    opposing: int
    seeds: int

    @property
    def conclusion(self) -> Conclusion:
        """Decided where the difference is significant, and of one sign in every seed."""
        if self.p_value < ALPHA and self.seeds > 1:
            if self.agreeing == self.seeds:
                return "holds"
            if self.opposing == self.seeds:
                return "does not hold"
        return "undecided"


@dataclass(frozen=True, order=True)
class Part:
    """One part of a claim: what its pairs have in common."""

    where: str
    attack: str
    eps: str


@dataclass(frozen=True)
class ClaimTest:
    """A claim, tested on a run.

    Attributes:
        claim: what is claimed.
        whole: over all parts, each of which weighs the same; None where there is no part.
        parts: each by itself; p-values are corrected over the parts of the claim.
        left_out: parts that lack a cell, or a verdict on an image, in some seed.
        basis: of each part, the figures that it rests on.

    """

    claim: Claim
    whole: Compared | None
    parts: Mapping[Part, Compared]
    left_out: tuple[Part, ...]
    basis: Mapping[Part, tuple[Basis, ...]] = field(default_factory=dict)

    @property
    def conclusion(self) -> Conclusion:
        """That of all parts together, unless a part supports the opposite."""
        if self.whole is None or self.contrary:
            return "undecided"
        return self.whole.conclusion

    @property
    def contrary(self) -> tuple[Part, ...]:
        """The parts whose conclusion is the opposite of that of all together."""
        whole = "" if self.whole is None else self.whole.conclusion
        opposite = {"holds": "does not hold", "does not hold": "holds"}.get(whole)
        return tuple(part for part, found in self.parts.items() if found.conclusion == opposite)

    @property
    def reason(self) -> str:
        """Why it is undecided; empty where it is not."""
        if self.conclusion != "undecided":
            return ""
        if self.whole is None:
            return "nothing to compare"
        if self.contrary:
            return "a part supports the opposite"
        if self.whole.seeds == 1:
            return "only one training"
        if self.whole.p_value >= ALPHA:
            return "chance may explain it"
        return "seeds disagree"


def claim_tests(matrix: Matrix, claims: Sequence[Claim] = CLAIMS) -> list[ClaimTest]:
    """Test claims; they are one family, over which p-values are corrected.

    Raises:
        StoreError: where the store no longer holds a cell of the run.

    """
    evidence = Evidence(matrix)
    found = [_tested(evidence, claim) for claim in claims]
    wholes = {i: test.whole for i, test in enumerate(found) if test.whole is not None}
    corrected = dict(zip(wholes, _corrected(wholes.values()), strict=True))
    return [replace(test, whole=corrected.get(i)) for i, test in enumerate(found)]


def _corrected(family: Iterable[Compared]) -> list[Compared]:
    found = list(family)
    p_values = statistics.holm([compared.p_value for compared in found])
    return [replace(c, p_value=p) for c, p in zip(found, p_values, strict=True)]


@dataclass(frozen=True)
class _Outcomes:
    """Outcomes of the pairs of one seed, by (pair, image); nan where an image does not count.

    ``importance`` is the weight of each pair.
    """

    first: NDArray[np.float64]
    second: NDArray[np.float64]
    importance: NDArray[np.float64]

    @property
    def counted(self) -> NDArray[np.float64]:
        return (~np.isnan(self.first)).astype(np.float64)

    def share(self, values: NDArray[np.float64]) -> Statistic:
        """Return the weighted mean over pairs of the share of the images that count."""
        counted, hits = self.counted, np.nan_to_num(values)

        def share(weights: NDArray[np.float64]) -> NDArray[np.float64]:
            part, whole = weights @ hits.T, weights @ counted.T
            found: NDArray[np.float64] = (
                statistics.share(part, whole, undefined=float("nan")) @ self.importance
            )
            return found

        return share

    @property
    def contributions(self) -> NDArray[np.float64]:
        """What each image adds to the difference."""
        apart = np.nan_to_num(self.first - self.second) / self.counted.sum(1, keepdims=True)
        found: NDArray[np.float64] = self.importance @ apart
        return found


@dataclass(frozen=True)
class _Found:
    """A pair of cells, and the outcomes of each on the images that count for both."""

    part: Part
    seed: str
    first: Series[bool]
    second: Series[bool]


def _tested(evidence: Evidence, claim: Claim) -> ClaimTest:
    pairs = list(claim.pairs(evidence))
    seeds = list(dict.fromkeys(one.coordinates.training for one, _ in pairs))
    read = [_read(evidence, claim, pair) for pair in pairs]
    wanted = dict.fromkeys(_part(pair) for pair in pairs)
    spoiled = {_part(pair) for pair, found in zip(pairs, read, strict=True) if found is None}
    for part in wanted:
        having = {one.coordinates.training for one, other in pairs if _part((one, other)) == part}
        spoiled |= {part} if len(having) < len(seeds) else set()
    found = [each for each in read if each is not None and each.part not in spoiled]
    kept = [part for part in wanted if part not in spoiled]
    left_out = tuple(part for part in wanted if part in spoiled)
    if not kept:
        return ClaimTest(claim, None, {}, left_out)
    single = [_compare([each for each in found if each.part == part], seeds) for part in kept]
    return ClaimTest(
        claim,
        _compare(found, seeds),
        dict(zip(kept, _corrected(single), strict=True)),
        left_out,
        {part: tuple(_rests_on(pairs, part)) for part in kept},
    )


def _rests_on(pairs: Sequence[Pair], part: Part) -> Iterator[Basis]:
    """Return the figures that a part of a claim compares."""
    for pair in pairs:
        if _part(pair) == part:
            yield from (Basis((entry,), METRICS[_RATES[entry.kind]]) for entry in pair)


def _read(evidence: Evidence, claim: Claim, pair: Pair) -> _Found | None:
    """Read a pair of cells; None where one has no result, no verdict, or no common image."""
    if any(entry.state != "done" for entry in pair):
        return None
    if any(_is_violated(evidence.records(entry)) for entry in pair):
        return None
    one, other = (claim.outcome(evidence, entry) for entry in pair)
    images = one.index.intersection(other.index)
    if not len(images):
        return None
    return _Found(_part(pair), pair[0].coordinates.training, one[images], other[images])


def _is_violated(records: DataFrame) -> bool:
    return "violation" in records and bool(records["violation"].notna().any())


def _part(pair: Pair) -> Part:
    """Return what two cells have in common, whatever their target classes."""
    places = [_place(entry) for entry in pair]
    where = places[0] if places[0] == places[1] else " against ".join(places)
    plugins = list(dict.fromkeys(str(entry.value("plugin") or "none") for entry in pair))
    radii = list(dict.fromkeys(_radius(entry) for entry in pair))
    return Part(where, " against ".join(plugins), " against ".join(radii))


def _place(entry: Entry) -> str:
    source = entry.value("source")
    target = entry.coordinates.model_variant
    return target if source is None else f"{source} to {target}"


def _radius(entry: Entry) -> str:
    eps = entry.value("eps")
    return "" if eps is None else write_eps(float(str(eps)))


def _compare(found: Sequence[_Found], seeds: Sequence[str]) -> Compared:
    """Compare the sides of some pairs: parts weigh the same, and pairs of a part do."""
    images = sorted({image for each in found for image in each.first.index})
    outcomes = [_outcomes([f for f in found if f.seed == seed], images) for seed in seeds]
    count = max(int(o.counted.any(axis=0).sum()) for o in outcomes)
    differences = [o.share(o.first - o.second) for o in outcomes]
    apart = statistics.within(differences, len(images))
    flipped = statistics.sign_flips(np.mean([o.contributions for o in outcomes], axis=0))
    ahead = [float(each(np.ones((1, len(images))))[0]) for each in differences]
    return Compared(
        first=_estimate([o.share(o.first) for o in outcomes], len(images), count),
        second=_estimate([o.share(o.second) for o in outcomes], len(images), count),
        difference=replace(apart, n=count),
        p_value=max(apart.p_value, flipped),
        agreeing=sum(value > 0 for value in ahead),
        opposing=sum(value < 0 for value in ahead),
        seeds=len(seeds),
    )


def _outcomes(found: Sequence[_Found], images: list[str]) -> _Outcomes:
    first, second = (
        np.array([side.astype(float).reindex(images).to_numpy() for side in sides])
        for sides in ([f.first for f in found], [f.second for f in found])
    )
    parts = [f.part for f in found]
    importance = np.array([1 / parts.count(part) for part in parts]) / len(set(parts))
    return _Outcomes(first, second, importance)


def _estimate(shares: Sequence[Statistic], images: int, count: int) -> Estimate:
    """Estimate the mean over seeds of a share, with an interval over images and trainings."""
    values = [float(share(np.ones((1, images)))[0]) for share in shares]
    least = statistics.wilson_variance(count * sum(values) / len(values), count)
    found = statistics.resampled(shares, images, least_variance=least)
    if found.low is None or found.high is None:
        return replace(found, n=count)
    return replace(found, n=count, low=max(0.0, found.low), high=min(1.0, found.high))
