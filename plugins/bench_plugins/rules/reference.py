"""Rules on what a run's own attacks left, and a strong attack did not: the reference.

It attacks only images that nothing of the run fooled within a budget, so that what the run found
counts for the reference too. No rule knows an attack but by its facts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isclose
from typing import TYPE_CHECKING, Any

from bench import statistics
from bench.api import Case, Entry, Evidence, Rule, outcomes
from bench.api.rules import POINTS, subject
from bench.records import JSON, TOLERANCE, Budget

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    Marks = Series[Any]

CONFIRMED = 0.01
"""The reference is said to fool more than an attack below this p-value."""

AGAIN = 0.05
"""The share of what one attack leaves that another as strong fools, since it starts elsewhere. Of
all that was run and the reference, each may fool so many before an attack is accused."""

WORST_CASE = frozenset({"worst_case_accuracy"})


@dataclass(frozen=True)
class AtBudget:
    """What the reference made of a model variant within one budget; images that were right."""

    entry: Entry
    budget: Budget
    records: DataFrame

    @property
    def left(self) -> Marks:
        """Which images the run's own attacks left correct."""
        return self.records["left"].astype(bool)

    @property
    def seen(self) -> Marks:
        """Of which images it is known whether anything fools them: fooled already, or tried."""
        return ~self.left | self.records["tried"].astype(bool)

    @property
    def fooled(self) -> Marks:
        """Which images the reference fooled."""
        return self.records["method"].notna()

    def counted(self, fooled: Marks) -> tuple[dict[str, JSON], float, float]:
        """Compare what is fooled with what is known to be fooled, the reference included.

        Returns:
            Counts; the p-value, paired, of the images that are seen; and the difference as a share
            of all images, what was tried standing for all that was left.

        """
        images = self.records.index.intersection(fooled.index)
        own, seen = fooled[images].astype(bool), self.seen[images]
        more, left = self.fooled[images] & ~own, self.left[images]
        others = ~left & ~own
        found = statistics.mcnemar((others | more | own)[seen], own[seen], one_sided=True)
        tried, n = int((seen & left).sum()), len(images)
        scale = int(left.sum()) / tried if tried else 0.0
        counts: dict[str, JSON] = {
            "n": n,
            "right": int((~own).sum()),
            "left": int(left.sum()),
            "tried": tried,
            "fooled": int(more.sum()),
        }
        gap = (int(others.sum()) + scale * int(more.sum())) / max(1, n)
        return counts, found.p_value, gap

    def words(self, counts: dict[str, JSON]) -> str:
        """Say what the reference made of what was left."""
        methods = ", ".join(dict.fromkeys(self.records["method"].dropna()))
        by = f" ({methods})" if counts["fooled"] else ""
        return f"of {counts['tried']} of these the reference fools {counts['fooled']}{by}"


def at_budgets(evidence: Evidence) -> Iterator[AtBudget]:
    """Return what the references of a run made of each budget."""
    for entry in evidence.probes("reference"):
        records = evidence.records(entry)
        right = records[outcomes.right_before(records)]
        norm: Any = entry.facts["norm"]
        for eps, rows in right.groupby("eps"):
            yield AtBudget(entry, Budget(norm, float(str(eps))), rows)


def attacks_at(evidence: Evidence, place: AtBudget) -> list[Entry]:
    """Return the run's finished attacks on the same model variant, within the same budget."""
    return [
        entry
        for entry in evidence.attacks
        if subject(entry) == subject(place.entry) and _is_same(entry.budget, place.budget)
    ]


def _is_same(one: Budget | None, other: Budget) -> bool:
    return one is not None and one.norm == other.norm and isclose(one.eps, other.eps)


def confirms(evidence: Evidence, entry: Entry) -> AtBudget | None:
    """Return the reference where it fools more than an attack, by the paired test; else None."""
    for place in at_budgets(evidence):
        if entry in attacks_at(evidence, place):
            _, p_value, gap = place.counted(evidence.fooled(entry))
            if p_value < CONFIRMED and gap >= POINTS:
                return place
    return None


class WeakerThanReference(Rule):
    """Compare attacks, and all attacks of a budget together, with the reference.

    An untargeted attack of several gradients that falls short of what is known to be fooled is a
    finding. The worst case carries a mark where the reference fools more than everything in the
    run, and a rate where nothing but single steps ran carries one with the reference beside it.
    """

    name = "weaker-than-reference"
    sees = "a strong attack fools images that the run's own attacks leave correct"
    matters = (
        "What a stronger attack finds was there: the rate, or the worst case, says how the attack "
        "fares and not how robust the model is."
    )
    needs = "an attack within a budget"
    concerns = "attacks"
    probes = ("reference",)
    explains = ("weaker-than-another", "weaker-than-one-step", "unconverged")

    def look(self, evidence: Evidence) -> Iterator[Case]:
        for place in at_budgets(evidence):
            attacks = attacks_at(evidence, place)
            if not attacks or place.records.empty:
                continue
            for entry in attacks:
                if _is_accused(evidence, entry):
                    yield _weaker(evidence, place, entry, len(attacks))
            yield _worst(evidence, place, attacks)
            yield from _one_step(evidence, place, attacks)


def _is_accused(evidence: Evidence, entry: Entry) -> bool:
    """Say whether an attack follows gradients, several of them, to no class in particular."""
    return (
        entry.facts["target"] is None
        and entry.facts.get("control") is not True
        and not _is_single_step(evidence, entry)
        and evidence.passes_back(entry) > 1
    )


def _is_single_step(evidence: Evidence, entry: Entry) -> bool:
    if entry.facts.get("single_step") is True or entry.facts.get("iterations") == 1:
        return True
    is_open = entry.facts.get("iterations") is None and "cascade" not in entry.facts
    return is_open and 0 < evidence.passes_back(entry) <= 1


def _weaker(evidence: Evidence, place: AtBudget, entry: Entry, others: int) -> Case:
    """Test an attack against what is fooled by any of as many others, the reference among them."""
    counts, p_value, gap = place.counted(evidence.fooled(entry))
    right, left, tried, more = (int(str(counts[n])) for n in ("right", "left", "tried", "fooled"))
    elsewhere = right - left
    by_luck = 1 - (1 - AGAIN) ** others
    p_value = max(p_value, statistics.at_least(elsewhere + more, elsewhere + tried, by_luck))
    words = (
        f"{entry.coordinates} leaves {counts['right']} of {counts['n']} images right, all attacks "
        f"of the run together {counts['left']}; {place.words(counts)}"
    )
    return Case((entry.label,), words, counts, p_value, gap >= POINTS)


def _worst(evidence: Evidence, place: AtBudget, attacks: list[Entry]) -> Case:
    """Compare everything in the run with the reference: transferred images count, too."""
    counts, p_value, _ = place.counted(~place.left | _transferred(evidence, place))
    words = (
        f"{place.entry.coordinates.model_variant} at {place.budget}: the run's attacks leave "
        f"{counts['right']} of {counts['n']} images right; {place.words(counts)}"
    )
    cells = tuple(entry.label for entry in attacks)
    is_material = bool(counts["fooled"])
    return Case(cells, words, counts, p_value, is_material, WORST_CASE, is_mark=True)


def _transferred(evidence: Evidence, place: AtBudget) -> Marks:
    """Say which images one that was made on another model fools, within the budget."""
    found = place.left & False
    for entry in evidence.done("transfer"):
        if subject(entry)[:2] != subject(place.entry)[:2]:
            continue
        records = evidence.judged(entry)
        is_within = records[place.budget.norm].astype(float) <= place.budget.eps + TOLERANCE
        fools = outcomes.truth(records["prediction"] != records["label"]) & is_within
        names = records.index[fools].intersection(found.index)
        found[names] = True
    return found


def _one_step(evidence: Evidence, place: AtBudget, attacks: list[Entry]) -> Iterator[Case]:
    """Mark the rates of a budget at which nothing but single steps ran."""
    steps = [entry for entry in attacks if entry.facts.get("control") is not True]
    if not all(_is_single_step(evidence, entry) for entry in steps):
        return
    for entry in steps:
        if entry.facts["target"] is None:
            counts, _, _ = place.counted(evidence.fooled(entry))
            words = (
                f"one step only: {entry.coordinates} leaves {counts['right']} of {counts['n']} "
                f"images right, all attacks of the run together {counts['left']}; "
                f"{place.words(counts)}"
            )
            yield Case((entry.label,), words, counts, None, is_material=True, is_mark=True)


RULES = (WeakerThanReference,)
