"""The evidence that rules look at, and what they make of it: cases.

A case is one thing that was looked at, clean or not. Whether chance alone could explain it is
decided elsewhere, over all cases of a rule at once. Only the store is read; no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from bench import metrics, statistics
from bench.matrix import Entry, Matrix
from bench.records import JSON

if TYPE_CHECKING:
    from pandas import DataFrame, Series

Subject: TypeAlias = tuple[str, str, str | None]

POINTS = 0.1
"""How far apart two rates must be to be worth telling."""


@dataclass(frozen=True)
class Case:
    """One thing that a rule looked at.

    Attributes:
        cells: the labels of the cells whose figures it concerns.
        sentence: what is wrong with them, if it is, with the counts.
        figures: the same counts, by name.
        p_value: of seeing this where nothing is wrong; None where chance plays no part.
        is_material: whether it is large enough to be told.
        metrics: the figures of those cells that it concerns; None: those of its rule.

    """

    cells: tuple[str, ...]
    sentence: str
    figures: Mapping[str, JSON]
    p_value: float | None
    is_material: bool
    metrics: frozenset[str] | None = None


@dataclass(frozen=True)
class Rule:
    """Something that the audit looks for.

    Attributes:
        name: what findings call it.
        sees: what it sees, in a few words.
        matters: why that matters.
        needs: what a run must have for it.
        look: from the evidence to cases.
        metrics: the figures that its findings concern, unless a case says otherwise.
        probes: the probes that it reads.

    """

    name: str
    sees: str
    matters: str
    needs: str
    look: Callable[[Evidence], Iterator[Case]]
    metrics: frozenset[str]
    probes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """The cells of a run as rules ask for them; each is read once."""

    matrix: Matrix
    _records: dict[str, DataFrame] = field(default_factory=dict)
    _fooled: dict[str, Series[Any]] = field(default_factory=dict)
    _passes_back: dict[str, float] = field(default_factory=dict)

    def done(self, kind: str) -> list[Entry]:
        """Return the finished cells of a kind."""
        return [e for e in self.matrix.entries if e.kind == kind and e.state == "done"]

    @cached_property
    def attacks(self) -> list[Entry]:
        """The finished attacks."""
        return self.done("attack")

    def probes(self, name: str) -> list[Entry]:
        """Return the finished probes of a name."""
        found = [e for e in self.matrix.probes if e.state == "done"]
        return [e for e in found if e.facts["probe"] == name]

    def records(self, entry: Entry) -> DataFrame:
        """Return the records of a cell that has them, by image."""
        if entry.label not in self._records:
            records = self.matrix.records(entry)
            if records is None:
                raise TypeError(f"{entry.label} has no records")
            self._records[entry.label] = records.set_index("image", drop=False)
        return self._records[entry.label]

    def judged(self, entry: Entry) -> DataFrame:
        """Return the records of an attack or a transfer whose images have a verdict."""
        records = self.records(entry)
        return records[records["violation"].isna()]

    def fooled(self, entry: Entry) -> Series[Any]:
        """Say of each image that counts for success whether it is one."""
        if entry.label not in self._fooled:
            self._fooled[entry.label] = metrics.success(self.judged(entry))
        return self._fooled[entry.label]

    def passes_back(self, entry: Entry) -> float:
        """Return how many gradients an attack took of each image."""
        if entry.label not in self._passes_back:
            told = self.matrix.stored(entry).summary.get("backwards")
            self._passes_back[entry.label] = float(str(told or 0))
        return self._passes_back[entry.label]

    def probed(self, probe: Entry) -> Entry | None:
        """Return the attack that a probe is a variation of."""
        wanted = replace(probe.coordinates, attack=str(probe.facts["of"]))
        return next((e for e in self.attacks if e.coordinates == wanted), None)

    def stands_for(self, probe: Entry, what: str = "group") -> tuple[str, ...]:
        """Return the labels of the attacks that a probe speaks of: the untargeted of its group."""
        return tuple(
            entry.label
            for entry in self.attacks
            if subject(entry) == subject(probe)
            and entry.facts[what] == probe.facts[what]
            and entry.facts["target"] is None
        )


def subject(entry: Entry) -> Subject:
    """Return which classifier was judged."""
    where = entry.coordinates
    return where.model, where.variant, where.replica


def chance(labels: Series[Any], classes: int) -> float:
    """Return the accuracy of whoever always says the same, or draws among the classes."""
    return max(1 / classes, float(labels.value_counts(normalize=True).max()))


def is_random(entry: Entry) -> bool:
    """Say whether a classifier answers the same image in several ways."""
    return entry.facts.get("randomised") is True


def outdone(cells: tuple[str, ...], words: str, strong: Series[Any], weak: Series[Any]) -> Case:
    """Test whether what should be weaker fools images that what should be stronger does not.

    Args:
        cells: the labels of those that should be stronger.
        words: a sentence with places for ``weak``, ``strong`` and ``n``: how many each fools.
        strong, weak: for each image, whether it was fooled; only common images count.

    """
    images = strong.index.intersection(weak.index)
    one, two = weak[images].to_numpy(bool), strong[images].to_numpy(bool)
    found = statistics.mcnemar(one, two, one_sided=True)
    counts: dict[str, JSON] = {
        "n": found.n,
        "weak": int(one.sum()),
        "strong": int(two.sum()),
        "only_weak": found.only_first,
        "only_strong": found.only_second,
    }
    is_material = found.only_first - found.only_second >= POINTS * max(1, found.n)
    return Case(cells, words.format(**counts), counts, found.p_value, is_material)
