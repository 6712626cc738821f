"""Rules on attacks beside each other: those that a run made on one model, within one budget.

What is a fault of an attack that follows gradients in several steps is no fault of one that is
there to be outdone: it carries a mark. No rule knows an attack but by its facts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bench import statistics
from bench.api import Case, Entry, Evidence, Rule
from bench.api.rules import POINTS, outdone, subject
from bench.records import JSON

if TYPE_CHECKING:
    from pandas import Series

DISTINCT = 0.05
"""An attack is distinguished from noise below this p-value."""


class WeakerThanOneStep(Rule):
    """Compare iterative attacks with a single step at the same budget and target."""

    name = "weaker-than-one-step"
    sees = "a single step fools more images than an iterative attack"
    matters = (
        "An iterative attack may take the single step too: falling short of it means steps "
        "that are too short, gradients that mislead, or a bug."
    )
    needs = "an iterative attack and fgsm at the same linf eps"
    concerns = "attacks"
    probes = ("single-step",)

    def look(self, evidence: Evidence) -> Iterator[Case]:
        for entry, reference in _beside(evidence, "single_step"):
            if evidence.passes_back(entry) <= 1 or entry.facts["minimum_norm"]:
                continue
            words = f"{entry.coordinates} fools {{strong}} of {{n}} images, a single step {{weak}}"
            yield outdone((entry.label,), words, evidence.fooled(entry), evidence.fooled(reference))


class NoBetterThanNoise(Rule):
    """Ask if an attack fools as large a share of what remains correct under noise as noise does.

    An attack that follows gradients fools many more than noise does; where noise fools next to
    none, nothing is reported. The share that noise fools is taken at the lower end of its interval.
    Single steps and targeted attacks that are not distinguished from noise carry a mark.
    """

    name = "no-better-than-noise"
    sees = "an attack adds no more to what noise fools than noise itself"
    matters = (
        "An attack that knows the model fools far more than directions that know nothing, "
        "unless it makes no use of what it knows."
    )
    needs = "an attack and noise at the same linf eps"
    concerns = "attacks"
    probes = ("control",)
    revision = 2

    def look(self, evidence: Evidence) -> Iterator[Case]:
        for entry, control in _beside(evidence, "control"):
            if _only_marked(evidence, entry):
                yield from _beside_noise(evidence, entry, control)
            elif entry.facts["target"] is None:
                yield self._gained(evidence, entry, control)

    def _gained(self, evidence: Evidence, entry: Entry, control: Entry) -> Case:
        noise, attack = evidence.fooled(control), evidence.fooled(entry)
        images = noise.index.intersection(attack.index)
        hits, n = int(noise[images].sum()), len(images)
        others = attack[images][~noise[images].astype(bool)]
        gained, left = int(others.sum()), len(others)
        least = statistics.rate(hits, n).low or 0.0
        words = (
            f"{entry.coordinates}: noise of the same size fools {hits} of {n} images, and of the "
            f"other {left} the attack fools {gained}"
        )
        counts: dict[str, JSON] = {"n": n, "noise": hits, "left": left, "gained": gained}
        p_value = statistics.at_least(left - gained, left, 1 - least)
        return Case((entry.label,), words, counts, p_value, hits >= POINTS * max(1, n))


def _beside_noise(evidence: Evidence, entry: Entry, control: Entry) -> Iterator[Case]:
    """Mark an attack that reaches no more than noise of the same size does."""
    attack, target = evidence.fooled(entry), entry.facts["target"]
    noise = evidence.fooled(control)
    if target is not None:
        noise = evidence.judged(control)["prediction"] == target
    images = noise.index.intersection(attack.index)
    if images.empty:
        return
    one, two = attack[images].to_numpy(bool), noise[images].to_numpy(bool)
    found = statistics.mcnemar(one, two, one_sided=True)
    counts: dict[str, JSON] = {"n": found.n, "attack": int(one.sum()), "noise": int(two.sum())}
    does = "fools" if target is None else "reaches its target for"
    words = (
        f"no better than chance: {entry.coordinates} {does} {counts['attack']} of {found.n} "
        f"images, noise of the same size {counts['noise']}"
    )
    yield Case((entry.label,), words, counts, None, found.p_value >= DISTINCT, is_mark=True)


def _only_marked(evidence: Evidence, entry: Entry) -> bool:
    """Say whether nobody expects an attack to be strong: a control, one step, aimed, blind."""
    return (
        entry.facts.get("control") is True
        or entry.facts["target"] is not None
        or entry.facts["minimum_norm"] is True
        or _is_single_step(evidence, entry)
        or evidence.passes_back(entry) == 0
    )


def _is_single_step(evidence: Evidence, entry: Entry) -> bool:
    """Say whether an attack takes one step along the gradient: declared, or counted."""
    if entry.facts.get("single_step") is True or entry.facts.get("iterations") == 1:
        return True
    is_open = entry.facts.get("iterations") is None and "cascade" not in entry.facts
    return is_open and 0 < evidence.passes_back(entry) <= 1


def _beside(evidence: Evidence, fact: str) -> Iterator[tuple[Entry, Entry]]:
    """Pair attacks with what declares a fact, on one classifier, of one budget.

    An attack of one target is paired with what has the same target, or with a control.
    """
    probes = evidence.probes()
    known = {
        (subject(entry), entry.budget, entry.facts["target"]): entry
        for entry in (*probes, *evidence.attacks)
        if entry.facts.get(fact) is True
    }
    for entry in evidence.attacks:
        place, target = (subject(entry), entry.budget), entry.facts["target"]
        other = known.get((*place, target))
        if other is None and fact == "control":
            other = known.get((*place, None))
        if other is not None and entry.budget is not None and entry.facts.get(fact) is not True:
            yield entry, other


@dataclass(frozen=True)
class Rival:
    """An attack that is compared with the others of its budget."""

    entry: Entry
    fooled: Series[Any]


class WeakerThanAnother(Rule):
    """Compare the untargeted attacks of one model within one budget: each with the strongest other.

    The p-value is that of the strongest of the others, as many times as there are others. Only
    iterative attacks that follow gradients are accused; the others carry a mark.
    """

    name = "weaker-than-another"
    sees = "another attack within the same budget fools more images"
    matters = (
        "Two attacks of one budget are asked the same question: what the weaker does not find is "
        "there. Its rate is the attack's, not the model's."
    )
    needs = "two untargeted attacks of one norm and eps on one model"
    concerns = "attacks"

    def look(self, evidence: Evidence) -> Iterator[Case]:
        for rivals in budgets(evidence).values():
            strong = [rival for rival in rivals if not is_weak(evidence, rival.entry)]
            for rival in rivals:
                others = [other for other in strong if other is not rival]
                if others:
                    yield beaten(evidence, rival, others)


def budgets(evidence: Evidence) -> dict[str, list[Rival]]:
    """Gather untargeted attacks with a verdict by classifier and budget."""
    found: dict[str, list[Rival]] = {}
    for entry in evidence.attacks:
        if entry.budget is None or not entry.budget.eps or entry.facts["target"] is not None:
            continue
        fooled = evidence.fooled(entry)
        if not fooled.empty:
            place = f"{subject(entry)} {entry.budget}"
            found.setdefault(place, []).append(Rival(entry, fooled))
    return found


def is_weak(evidence: Evidence, entry: Entry) -> bool:
    """Say whether no other attack is measured by this one: other rules compare with it."""
    return entry.facts.get("control") is True or _is_single_step(evidence, entry)


def beaten(evidence: Evidence, rival: Rival, others: list[Rival]) -> Case:
    """Test an attack against the strongest of the others, whichever that turns out to be."""
    entry = rival.entry

    def against(other: Rival) -> Case:
        name = other.entry.coordinates.attack
        words = (
            f"{_mark(evidence, entry)}{entry.coordinates} fools {{strong}} of {{n}} images, "
            f"{name} at the same budget {{weak}}"
        )
        return outdone((entry.label,), words, rival.fooled, other.fooled)

    found = min((against(other) for other in others), key=lambda case: case.p_value or 0.0)
    p_value = min(1.0, len(others) * (found.p_value or 0.0))
    return replace(found, p_value=p_value, is_mark=_only_marked(evidence, entry))


def _mark(evidence: Evidence, entry: Entry) -> str:
    """Return what a mark begins with; nothing for an attack that is expected to be strong."""
    if entry.facts.get("control") is True:
        return "a control, no attack: "
    return "one step only: " if _is_single_step(evidence, entry) else ""


RULES = (
    WeakerThanOneStep,
    WeakerThanAnother,
    NoBetterThanNoise,
)
