"""What a rule of the audit is: what it sees, the evidence that it asks, the cases that it makes.

A case is one thing that was looked at, clean or not. Whether chance alone could explain it is
decided elsewhere, over all cases of a rule at once. No torch, and no knowledge of where evidence
comes from.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from bench import statistics
from bench.api import outcomes
from bench.api.entries import Entry
from bench.records import JSON

if TYPE_CHECKING:
    from pandas import DataFrame, Series

Subject: TypeAlias = tuple[str, str, str | None]
Concern: TypeAlias = Literal["attacks", "robustness", "models", "everything"]
"""What is in doubt with one attack; with all attacks on a model, the worst case included; with a
model, its accuracy included; with every figure of a model. One weak attack leaves the worst case as
it is."""

POINTS = 0.1
"""How far apart two rates must be to be worth reporting."""

CLAIMS: Mapping[str, tuple[str, ...]] = {
    "evaluate": ("clean_accuracy",),
    "attack": ("success_rate", "robust_accuracy"),
    "transfer": ("target_success",),
}
"""The rates of each kind of cell whose n the suite chose. A transfer_rate counts what fooled the
source: its n is an outcome, printed beside it."""


@dataclass(frozen=True)
class Case:
    """One thing that a rule looked at.

    Attributes:
        cells: the labels of the cells whose figures it concerns.
        sentence: what is wrong with them, if it is, with the counts.
        figures: the same counts, by name.
        p_value: of seeing this where nothing is wrong; None where chance plays no part.
        is_material: whether it is large enough to be reported.
        metrics: the figures of those cells that it concerns; None: those of its rule.
        is_mark: whether it belongs beside the figures without being anyone's mistake: it is
            printed there, and counts as no finding.

    """

    cells: tuple[str, ...]
    sentence: str
    figures: Mapping[str, JSON]
    p_value: float | None
    is_material: bool
    metrics: frozenset[str] | None = None
    is_mark: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.cells, str):
            raise TypeError(f"cells: got {self.cells!r}, expected a tuple of labels")
        if self.p_value is not None and not 0 <= self.p_value <= 1:
            raise ValueError(f"p_value: got {self.p_value!r}, expected 0 to 1, or None")


class Evidence(ABC):
    """The cells of a run as rules ask for them."""

    @property
    @abstractmethod
    def entries(self) -> Sequence[Entry]:
        """The cells of the run, finished or not, without probes."""

    @abstractmethod
    def probes(self, name: str | None = None) -> Sequence[Entry]:
        """Return the finished probes of a name, or all."""

    @property
    @abstractmethod
    def dataset(self) -> Mapping[str, Any]:
        """What the run notes of its dataset: ``classes`` by name, ``leaks`` between splits, ..."""

    @abstractmethod
    def records(self, entry: Entry) -> DataFrame:
        """Return the records of a finished cell that has them, by image."""

    @abstractmethod
    def summary(self, entry: Entry) -> Mapping[str, Any]:
        """Return what a finished cell holds that is not per image."""

    def done(self, kind: str) -> list[Entry]:
        """Return the finished cells of a kind."""
        return [entry for entry in self.entries if entry.kind == kind and entry.state == "done"]

    @property
    def attacks(self) -> Sequence[Entry]:
        """The finished attacks."""
        return self.done("attack")

    def judged(self, entry: Entry) -> DataFrame:
        """Return the records of an attack or a transfer whose images have a verdict."""
        records = self.records(entry)
        return records[records["violation"].isna()]

    def fooled(self, entry: Entry) -> Series[Any]:
        """Say of each image that counts for success whether it is one."""
        return outcomes.success(self.judged(entry))

    def passes_back(self, entry: Entry) -> float:
        """Return how many gradients an attack took of each image."""
        return float(str(self.summary(entry).get("backwards") or 0))

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


class Rule(ABC):
    """Something that the audit looks for.

    Attributes:
        name: what findings call it: the entry point's name, unless a table offers it.
        sees: what it sees, in a few words.
        matters: why that matters.
        needs: what a run must have for it.
        concerns: the figures that its findings concern, unless a case says otherwise: a
            :data:`Concern`, or the names of metrics.
        probes: the names of the probes that it reads.
        explains: the names of the rules whose findings, on cells that it concerns too, state
            the same fact: those are listed with its own, once.
        revision: raised by hand whenever it changes, so that runs are looked at anew.

    """

    name: str = ""
    sees: str = ""
    matters: str = ""
    needs: str = ""
    concerns: Concern | frozenset[str] = "attacks"
    probes: tuple[str, ...] = ()
    explains: tuple[str, ...] = ()
    revision: int = 1

    @abstractmethod
    def look(self, evidence: Evidence) -> Iterable[Case]:
        """Return what it looked at, case by case: what is clean as well as what is not."""

    def gaps(self, evidence: Evidence) -> Iterable[str]:
        """Say what it had to do without, beside probes that have no result: a sentence each."""
        return ()

    @property
    def fault(self) -> str:
        """What is missing for it to be used, or nothing."""
        lacking = [name for name in ("sees", "matters", "needs") if not getattr(self, name)]
        if lacking:
            return f"lacks {', '.join(lacking)}"
        if isinstance(self.concerns, str) and self.concerns not in get_args(Concern):
            return (
                f"concerns: got {self.concerns!r}, expected one of "
                f"{', '.join(get_args(Concern))}, or a frozenset of metrics"
            )
        return ""


def subject(entry: Entry) -> Subject:
    """Return which classifier was judged."""
    where = entry.coordinates
    return where.model, where.variant, where.replica


def probed_name(probe: Entry) -> str:
    """Name the attack that a probe is a variation of."""
    return str(replace(probe.coordinates, attack=str(probe.facts["of"])))


def chance(labels: Series[Any], classes: int) -> float:
    """Return the accuracy of whoever always says the same, or draws among the classes."""
    return max(1 / classes, float(labels.value_counts(normalize=True).max()))


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
